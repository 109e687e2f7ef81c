//! The methods of the service; sessions and resources.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use vaccel_abi::resource::PATH_LOCAL_FILE;
use vaccel_abi::table;
use vaccel_compat::message::{
    Blob, BlobKind, CreateSessionRequest, CreateSessionResponse, DestroySessionRequest, Empty,
    GetProfilerRequest, GetProfilerResponse, RegisterResourceRequest, RegisterResourceResponse,
    ResourceKind, SyncResourceRequest, SyncResourceResponse, UnregisterResourceRequest,
    UpdateSessionRequest,
};
use vaccel_compat::{Bytes, Message, Method, decode};
use vaccel_transport::Pool;
use vaccel_wire::control::{BlobHead, RESOURCE_BEGIN, ResourceBegin};
use vaccel_wire::{Args, FrameBuffer};

use super::super::failure::Failure;
use super::super::generic::Call;
use super::super::shared::Room;
use super::connection::Connection;
use super::fault::{Fault, Result};
use super::frames::{self, Output, Request};
use crate::counts;

/// Kind and name of the first blob of each resource, which clients ask back.
#[derive(Debug, Default)]
pub(super) struct Heads(Mutex<HashMap<i64, (i32, String)>>);

impl Heads {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i64, (i32, String)>> {
        // No step leaves the map half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Runs a method; its answer, encoded.
    pub(super) fn call(&self, method: Method, payload: Bytes, call: &mut Call) -> Result<Vec<u8>> {
        match method {
            Method::CreateSession => {
                let request: CreateSessionRequest = decode(payload)?;
                let session_id = self.sessions.open(request.flags)?;
                Ok(CreateSessionResponse { session_id }.encode_to_vec())
            }
            Method::UpdateSession => {
                let request: UpdateSessionRequest = decode(payload)?;
                self.sessions.update(request.session_id, request.flags)?;
                empty()
            }
            Method::DestroySession => {
                let DestroySessionRequest { session_id } = decode(payload)?;
                let session = self.sessions.close(session_id)?;
                // Resources go while the session is there to give them back.
                self.resources.forget_session(session_id);
                self.times.forget(session_id);
                self.forget_heads();
                drop(session);
                empty()
            }
            Method::RegisterResource => {
                let resource_id = self.register(decode(payload)?)?;
                Ok(RegisterResourceResponse { resource_id }.encode_to_vec())
            }
            Method::UnregisterResource => {
                let request: UnregisterResourceRequest = decode(payload)?;
                let number = request.session_id;
                let session = self.sessions.get(number)?;
                let result = self.resources.detach(request.resource_id, number, &session);
                self.forget_heads();
                result?;
                empty()
            }
            Method::SyncResource => self.sync(decode(payload)?),
            Method::GetProfiler => {
                let GetProfilerRequest { session_id } = decode(payload)?;
                self.sessions.get(session_id)?;
                let profiler = Some(self.times.of(session_id));
                Ok(GetProfilerResponse { profiler }.encode_to_vec())
            }
            Method::Genop => self.genop(decode(payload)?, call),
            Method::ImageClassification => self.classify(decode(payload)?, call),
            _ => self.model(method, payload, call),
        }
    }

    /// Runs an operation of the library.
    pub(super) fn operate(
        &self,
        number: i64,
        mut request: Request,
        call: &mut Call,
    ) -> Result<Vec<Output>> {
        let (session, plugin) = self.sessions.get_counted(number)?;
        let header = request.header;
        let bytes = request.payload.len() as u64;
        let _pass = self.tenant.begin(header.operation, bytes)?;
        let args = Args::decode(&header, &request.meta, &self.limits)?;
        let begun = Instant::now();
        let result = call.run(
            &header,
            &args,
            &mut request.payload,
            (&session, &self.tensors),
            &self.resources,
            &mut Room::new(None, &self.pool),
        );
        let took = begun.elapsed();
        counts::mine().note(&counts::Request {
            plugin,
            operation: header.operation,
            bytes_in: header.frame_len(),
            bytes_out: call.written(),
            error: result.as_ref().map_or_else(|failure| failure.code, |()| 0),
            compute: took,
            ..counts::Request::default()
        });
        if let Some(spec) = table::find(header.operation.into()) {
            self.times.note(number, spec.name, took);
            // The session may have been destroyed meanwhile.
            if self.sessions.get(number).is_err() {
                self.times.forget(number);
            }
        }
        let mut buffer = FrameBuffer::new();
        if let Err(failure) = result {
            let reply = call.failure_reply(&header, &failure, &mut buffer);
            let outputs = reply.and_then(|frame| frames::outputs(&frame).ok());
            let status = outputs.and_then(|outputs| super::models::status(&header, &outputs));
            return Err(Fault::Failed { failure, status });
        }
        let frame = call.reply(&header, &request.payload, &mut buffer)?;
        Ok(frames::outputs(&frame)?)
    }

    fn register(&self, request: RegisterResourceRequest) -> Result<i64> {
        let number = request.session_id;
        let session = self.sessions.get(number)?;
        if request.resource_id != 0 {
            self.resources
                .attach(request.resource_id, number, &session)?;
            return Ok(request.resource_id);
        }
        if request.blobs.is_empty() {
            return Err(match request.paths.first() {
                Some(path) => Fault::unsupported(format!(
                    "{path:?} comes without its bytes, and the agent opens and downloads nothing \
                     itself: make the resource from a file or a buffer"
                )),
                None => Fault::invalid("a resource needs blobs"),
            });
        }
        let begin = begin_frame(&request, &self.pool)?;
        let args = Args::decode(&begin.header, &begin.meta, &self.limits)?;
        let begin = ResourceBegin::decode(&args, &begin.payload)?;
        let (id, _) = self.resources.begin(number, &begin)?;
        let written = request.blobs.iter().zip(0..).try_for_each(|(blob, index)| {
            let empty = blob.data.is_empty();
            match empty {
                true => Ok(()),
                false => self.resources.write(id, index, 0, &blob.data),
            }
        });
        if let Err(failure) = written {
            // It is not complete, so that there is nothing else to undo.
            let _ = self.resources.detach(id, number, &session);
            return Err(failure.into());
        }
        self.resources.commit(id, number, &session)?;
        if let Some(first) = request.blobs.into_iter().next() {
            self.heads.lock().insert(id, (first.kind, first.name));
        }
        Ok(id)
    }

    fn sync(&self, request: SyncResourceRequest) -> Result<Vec<u8>> {
        let id = request.resource_id;
        // Clients do not say for which of its sessions they ask.
        let number = self.resources.session_of(id)?;
        let session = self.sessions.get(number)?;
        let data = self.resources.sync(id, number, &session)?;
        let (kind, name) = self.heads.lock().get(&id).cloned().unwrap_or_default();
        let size = u32::try_from(data.len()).map_err(|_| {
            Fault::unsupported(format!(
                "the resource has {} bytes; this protocol carries 4 GiB",
                data.len()
            ))
        })?;
        let blob = Blob {
            kind,
            name,
            data: data.into(),
            size,
        };
        Ok(SyncResourceResponse { blobs: vec![blob] }.encode_to_vec())
    }

    /// Forgets heads of resources that have gone.
    fn forget_heads(&self) {
        let mut heads = self.heads.lock();
        heads.retain(|id, _| self.resources.session_of(*id).is_ok());
    }
}

/// What a client of the native protocol would announce.
fn begin_frame(request: &RegisterResourceRequest, pool: &std::sync::Arc<Pool>) -> Result<Request> {
    let kind = match ResourceKind::try_from(request.resource_type) {
        Ok(ResourceKind::Lib) => vaccel::ResourceType::Library,
        Ok(ResourceKind::Data) => vaccel::ResourceType::Data,
        Ok(ResourceKind::Model) => vaccel::ResourceType::Model,
        Err(_) => {
            let text = format!("{} is no type of resource", request.resource_type);
            return Err(Fault::invalid(text));
        }
    };
    let names = request
        .blobs
        .iter()
        .zip(0..)
        .map(|(blob, index)| name(blob, index));
    let names = names.collect::<Result<Vec<CString>>>()?;
    let mut buffer = FrameBuffer::new();
    let mut builder = buffer.request(RESOURCE_BEGIN);
    builder
        .read_scalar(kind.as_raw())
        .read_scalar(PATH_LOCAL_FILE);
    for (blob, name) in request.blobs.iter().zip(&names) {
        let size = blob.data.len() as u64;
        if blob.size != 0 && u64::from(blob.size) != size {
            return Err(Fault::invalid(format!(
                "{name:?} should have {} bytes and comes with {size}",
                blob.size
            )));
        }
        let type_ = match BlobKind::try_from(blob.kind) {
            Ok(BlobKind::File) => vaccel_abi::blob::BLOB_FILE,
            Ok(BlobKind::Buffer) => vaccel_abi::blob::BLOB_BUFFER,
            Ok(BlobKind::Mapped) => vaccel_abi::blob::BLOB_MAPPED,
            Err(_) => return Err(Fault::invalid(format!("{} is no type of blob", blob.kind))),
        };
        BlobHead {
            type_,
            name,
            size,
            hash: &[],
        }
        .encode(&mut builder);
    }
    Ok(Request::new(&builder.finish()?, pool)?)
}

/// The name a blob gets: the last part of an absolute path, for that of the client means
/// nothing here, and one of our own for none. Others must stay below the resource's folder,
/// which is checked with the rest.
fn name(blob: &Blob, index: u32) -> Result<CString> {
    let name = match blob.name.strip_prefix('/') {
        Some(path) => path.rsplit('/').next().unwrap_or_default(),
        None => &blob.name,
    };
    let name = match name {
        "" => format!("blob-{index}"),
        name => name.to_owned(),
    };
    CString::new(name).map_err(|_| Failure::invalid("the name of a blob has a zero in it").into())
}

fn empty() -> Result<Vec<u8>> {
    Ok(Empty {}.encode_to_vec())
}
