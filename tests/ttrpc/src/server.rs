//! An agent on the ttrpc crate, for clients of ours: it does what it is asked for.
//!
//! Where agents of the C implementation have habits, it has them too: outputs are written to
//! the bytes that were sent for them, and numbers of resources begin at 1.

use crate::vaccel::{
    Arg, CreateSessionRequest, CreateSessionResponse, DestroySessionRequest, Empty, GenopRequest,
    GenopResponse, ImageClassificationRequest, ImageClassificationResponse, ModelRequest,
    ProtoError, RegisterResourceRequest, RegisterResourceResponse, Status, SyncResourceRequest,
    SyncResourceResponse, TensorflowLiteModelRunRequest, TensorflowLiteModelRunResponse,
    TensorflowModelLoadResponse, TensorflowModelRunRequest, TensorflowModelRunResponse,
    TorchModelRunRequest, TorchModelRunResponse, UnregisterResourceRequest, UpdateSessionRequest,
    proto_error,
};
use crate::vaccel_ttrpc::{AgentService, create_agent_service};
use anyhow::{Context, Result};
use protobuf::well_known_types::any::Any;
use protobuf::{Message, MessageField};
use std::collections::{HashMap, HashSet};
use std::net::TcpListener;
use std::os::fd::IntoRawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use ttrpc::{Code, TtrpcContext, get_status};
use vaccel_abi::error::{EINVAL, ENOENT, ENOTSUP};
use vaccel_abi::op::{OP_BLAS_SGEMM, OP_EXEC, OP_EXEC_WITH_RESOURCE, OP_NOOP};
use vaccel_reference::digest;

type Answer<T> = ttrpc::Result<T>;

/// A running server; ends when dropped.
pub struct Server {
    /// One for each address: the crate has no more.
    servers: Vec<ttrpc::Server>,
    addresses: Vec<String>,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts one on a Unix socket and on TCP.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("vaccel-").tempdir()?;
        let unix = format!("unix://{}", folder.path().join("agent.sock").display());
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let tcp = format!("tcp://{}", listener.local_addr()?);
        listener.set_nonblocking(true)?;
        let new = || {
            let service = create_agent_service(Arc::new(Agent::default()));
            ttrpc::Server::new().register_service(service)
        };
        let mut servers = vec![
            new().bind(&unix)?,
            new().add_listener(listener.into_raw_fd())?,
        ];
        for server in &mut servers {
            server.start().context("the server does not start")?;
        }
        Ok(Self {
            servers,
            addresses: vec![unix, tcp],
            _folder: folder,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for server in self.servers.drain(..) {
            server.shutdown();
        }
    }
}

#[derive(Default)]
struct Agent {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: i64,
    sessions: HashSet<i64>,
    resources: HashMap<i64, RegisterResourceRequest>,
}

fn failed(errno: i32, message: impl Into<String>, status: Option<Status>) -> ttrpc::Error {
    use proto_error::Type;
    let type_ = match status {
        Some(_) => Type::FFI_WITH_STATUS,
        None => Type::FFI,
    };
    let error = ProtoError {
        type_: type_.into(),
        ffi_error: Some(errno.unsigned_abs()),
        status: status.map_or_else(MessageField::none, MessageField::some),
        ..Default::default()
    };
    let detail = Any {
        type_url: "type.googleapis.com/vaccel.ProtoError".into(),
        value: error.write_to_bytes().unwrap_or_default(),
        ..Default::default()
    };
    let mut status = get_status(Code::INTERNAL, message.into());
    status.details.push(ttrpc_any(detail));
    ttrpc::Error::RpcStatus(status)
}

/// The crate has a type of its own for it.
fn ttrpc_any(any: Any) -> ttrpc::proto::Any {
    ttrpc::proto::Any {
        type_url: any.type_url,
        value: any.value,
        ..Default::default()
    }
}

impl Agent {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, session: i64) -> Answer<()> {
        match self.lock().sessions.contains(&session) {
            true => Ok(()),
            false => Err(failed(EINVAL, format!("no session {session}"), None)),
        }
    }

    /// The first bytes of a resource.
    fn content(&self, id: i64) -> Answer<Vec<u8>> {
        let state = self.lock();
        let resource = state.resources.get(&id);
        let resource = resource.ok_or_else(|| failed(ENOENT, format!("no resource {id}"), None))?;
        Ok(resource
            .blobs
            .first()
            .map(|blob| blob.data.clone())
            .unwrap_or_default())
    }

    fn model(&self, request: &ModelRequest) -> Answer<()> {
        self.check(request.session_id)?;
        if self.content(request.model_id)?.starts_with(b"broken") {
            let status = Status {
                code: 3,
                message: "the graph is broken".into(),
                ..Default::default()
            };
            return Err(failed(EINVAL, "cannot load the model", Some(status)));
        }
        Ok(())
    }
}

/// Writes to the bytes that came for an output.
fn put(arg: &mut Arg, bytes: &[u8]) -> Answer<()> {
    if arg.buf.len() != arg.size as usize || bytes.len() > arg.buf.len() {
        let text = format!(
            "an output of {} bytes comes with {}",
            arg.size,
            arg.buf.len()
        );
        return Err(failed(EINVAL, text, None));
    }
    arg.buf[..bytes.len()].copy_from_slice(bytes);
    Ok(())
}

fn call(symbol: &[u8], library: &[u8], read: &[Arg], write: &mut [Arg]) -> Answer<()> {
    match symbol {
        b"echo\0" => write
            .iter_mut()
            .zip(read)
            .try_for_each(|(to, from)| put(to, &from.buf)),
        b"library\0" => put(&mut write[0], &digest(library).to_le_bytes()),
        b"wait\0" => {
            let millis = read[0].buf[..].try_into().map(u32::from_le_bytes);
            std::thread::sleep(Duration::from_millis(millis.unwrap_or_default().into()));
            Ok(())
        }
        b"no-details\0" => Err(ttrpc::Error::RpcStatus(get_status(
            Code::INTERNAL,
            "it does not say why",
        ))),
        _ => Err(failed(ENOENT, "there is no such function", None)),
    }
}

fn sgemm(read: &[Arg], c: &mut Arg) -> Answer<()> {
    let integer = |i: usize| read[i].buf[..].try_into().map_or(0, i64::from_le_bytes) as usize;
    let scalar = |i: usize| read[i].buf[..].try_into().map_or(0.0, f32::from_le_bytes);
    let floats = |bytes: &[u8]| -> Vec<f32> {
        let (all, _) = bytes.as_chunks::<4>();
        all.iter().map(|x| f32::from_le_bytes(*x)).collect()
    };
    let (m, n, k, alpha, beta) = (integer(0), integer(1), integer(2), scalar(3), scalar(8));
    let (a, lda, b, ldb, ldc) = (
        floats(&read[4].buf),
        integer(5),
        floats(&read[6].buf),
        integer(7),
        integer(9),
    );
    let mut out = floats(&c.buf);
    for i in 0..m {
        for j in 0..n {
            let dot: f32 = (0..k).map(|p| a[i * lda + p] * b[p * ldb + j]).sum();
            out[i * ldc + j] = alpha * dot + beta * out[i * ldc + j];
        }
    }
    let bytes: Vec<u8> = out.iter().flat_map(|x| x.to_le_bytes()).collect();
    put(c, &bytes)
}

impl AgentService for Agent {
    fn create_session(
        &self,
        _: &TtrpcContext,
        _: CreateSessionRequest,
    ) -> Answer<CreateSessionResponse> {
        let mut state = self.lock();
        state.last += 1;
        let session_id = state.last;
        state.sessions.insert(session_id);
        Ok(CreateSessionResponse {
            session_id,
            ..Default::default()
        })
    }

    fn update_session(&self, _: &TtrpcContext, request: UpdateSessionRequest) -> Answer<Empty> {
        self.check(request.session_id).map(|()| Empty::new())
    }

    fn destroy_session(&self, _: &TtrpcContext, request: DestroySessionRequest) -> Answer<Empty> {
        self.check(request.session_id)?;
        self.lock().sessions.remove(&request.session_id);
        Ok(Empty::new())
    }

    fn register_resource(
        &self,
        _: &TtrpcContext,
        request: RegisterResourceRequest,
    ) -> Answer<RegisterResourceResponse> {
        self.check(request.session_id)?;
        if request.resource_id != 0 {
            self.content(request.resource_id)?;
        }
        let mut state = self.lock();
        let resource_id = match request.resource_id {
            0 => {
                state.last += 1;
                let id = state.last;
                state.resources.insert(id, request);
                id
            }
            id => id,
        };
        Ok(RegisterResourceResponse {
            resource_id,
            ..Default::default()
        })
    }

    fn unregister_resource(
        &self,
        _: &TtrpcContext,
        request: UnregisterResourceRequest,
    ) -> Answer<Empty> {
        self.content(request.resource_id)?;
        self.lock().resources.remove(&request.resource_id);
        Ok(Empty::new())
    }

    fn sync_resource(
        &self,
        _: &TtrpcContext,
        request: SyncResourceRequest,
    ) -> Answer<SyncResourceResponse> {
        self.content(request.resource_id)?;
        let state = self.lock();
        let mut blobs = state.resources[&request.resource_id].blobs.clone();
        // So that it shows who was asked.
        blobs.iter_mut().for_each(|blob| blob.data.reverse());
        Ok(SyncResourceResponse {
            blobs,
            ..Default::default()
        })
    }

    fn image_classification(
        &self,
        _: &TtrpcContext,
        request: ImageClassificationRequest,
    ) -> Answer<ImageClassificationResponse> {
        self.check(request.session_id)?;
        let text = format!("{:016x}\0", digest(&request.image));
        Ok(ImageClassificationResponse {
            tags: text.into_bytes(),
            ..Default::default()
        })
    }

    fn tensorflow_model_load(
        &self,
        _: &TtrpcContext,
        request: ModelRequest,
    ) -> Answer<TensorflowModelLoadResponse> {
        self.model(&request)?;
        Ok(TensorflowModelLoadResponse::new())
    }

    fn tensorflow_model_run(
        &self,
        _: &TtrpcContext,
        request: TensorflowModelRunRequest,
    ) -> Answer<TensorflowModelRunResponse> {
        self.check(request.session_id)?;
        Ok(TensorflowModelRunResponse {
            out_tensors: request.in_tensors,
            ..Default::default()
        })
    }

    fn tensorflow_lite_model_load(&self, _: &TtrpcContext, r: ModelRequest) -> Answer<Empty> {
        self.model(&r).map(|()| Empty::new())
    }

    fn tensorflow_lite_model_run(
        &self,
        _: &TtrpcContext,
        request: TensorflowLiteModelRunRequest,
    ) -> Answer<TensorflowLiteModelRunResponse> {
        self.check(request.session_id)?;
        Ok(TensorflowLiteModelRunResponse {
            out_tensors: request.in_tensors,
            ..Default::default()
        })
    }

    fn torch_model_load(&self, _: &TtrpcContext, request: ModelRequest) -> Answer<Empty> {
        self.model(&request).map(|()| Empty::new())
    }

    fn torch_model_run(
        &self,
        _: &TtrpcContext,
        request: TorchModelRunRequest,
    ) -> Answer<TorchModelRunResponse> {
        self.check(request.session_id)?;
        Ok(TorchModelRunResponse {
            out_tensors: request.in_tensors,
            ..Default::default()
        })
    }

    fn genop(&self, _: &TtrpcContext, request: GenopRequest) -> Answer<GenopResponse> {
        self.check(request.session_id)?;
        let mut write_args = request.write_args;
        let (code, read) = match request.read_args.split_first() {
            Some((code, read)) if code.buf.len() == 1 => (u32::from(code.buf[0]), read),
            _ => return Err(failed(EINVAL, "no operation", None)),
        };
        match code {
            OP_NOOP => {}
            OP_EXEC => call(&read[1].buf, &read[0].buf, &read[2..], &mut write_args)?,
            OP_EXEC_WITH_RESOURCE => {
                let id = read[0].buf[..].try_into().map_or(0, i64::from_le_bytes);
                let library = self.content(id)?;
                call(&read[1].buf, &library, &read[2..], &mut write_args)?;
            }
            OP_BLAS_SGEMM => sgemm(read, &mut write_args[0])?,
            other => {
                let text = format!("operation {other} is not there");
                return Err(failed(ENOTSUP, text, None));
            }
        }
        Ok(GenopResponse {
            write_args,
            ..Default::default()
        })
    }
}
