//! Resources on their way to an agent that takes them as a whole, and the numbers it gives them.

use super::request::{Failure, Result};
use std::collections::{HashMap, HashSet};
use vaccel_compat::message::{Blob, BlobKind, RegisterResourceRequest, ResourceKind};
use vaccel_compat::{Bytes, DEFAULT_MAX_MESSAGE};
use vaccel_plugin::abi::blob::BLOB_BUFFER;
use vaccel_plugin::abi::error::{EINVAL, ENOENT, ENOMEM, ENOTSUP};
use vaccel_plugin::abi::resource::{PATH_LOCAL_DIR, RESOURCE_DATA, RESOURCE_LIB, RESOURCE_MODEL};
use vaccel_wire::control::{ResourceBegin, ResourceData};

/// What a message has beside the bytes of a resource, at most, for each of its blobs.
const HEAD: u64 = 8192;

/// Resources by the numbers that the plugin knows.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    last: i64,
    arriving: HashMap<i64, Upload>,
    known: HashMap<i64, Known>,
}

#[derive(Debug)]
struct Upload {
    kind: ResourceKind,
    blobs: Vec<(BlobKind, String, u64, Vec<u8>)>,
}

#[derive(Debug)]
struct Known {
    /// The agent's number.
    id: i64,
    /// Sessions it is registered with.
    sessions: HashSet<i64>,
}

impl Uploads {
    /// Begins one; its number, and whether it is complete as it is.
    pub(super) fn begin(&mut self, begin: &ResourceBegin<'_, '_>) -> Result<(i64, bool)> {
        if begin.path_type == PATH_LOCAL_DIR {
            return Err(not_carried("a folder as a resource"));
        }
        let kind = match begin.type_ {
            RESOURCE_LIB => ResourceKind::Lib,
            RESOURCE_DATA => ResourceKind::Data,
            RESOURCE_MODEL => ResourceKind::Model,
            other => {
                let text = format!("{other} is no type of resource");
                return Err(Failure::new(EINVAL, text));
            }
        };
        let mut total = 0_u64;
        let mut blobs = Vec::new();
        for blob in begin.blobs() {
            let name = blob.name.to_string_lossy().into_owned();
            if name.contains('/') {
                return Err(not_carried("a resource with files in folders"));
            }
            total = total.saturating_add(blob.size).saturating_add(HEAD);
            let kind = match blob.type_ {
                BLOB_BUFFER => BlobKind::Buffer,
                // What is mapped here is a file there.
                _ => BlobKind::File,
            };
            blobs.push((kind, name, blob.size, Vec::new()));
        }
        if total > DEFAULT_MAX_MESSAGE.into() {
            let text = format!("a resource of more than {DEFAULT_MAX_MESSAGE} bytes");
            return Err(not_carried(&text));
        }
        self.last += 1;
        let complete = blobs.iter().all(|(_, _, size, _)| *size == 0);
        self.arriving.insert(self.last, Upload { kind, blobs });
        Ok((self.last, complete))
    }

    /// Adds a piece.
    pub(super) fn write(&mut self, data: &ResourceData<'_>) -> Result<()> {
        let upload = self.arriving.get_mut(&data.resource);
        let upload = upload.ok_or_else(|| unknown(data.resource))?;
        let index = usize::try_from(data.blob).unwrap_or(usize::MAX);
        let odd = || Failure::new(EINVAL, "a piece of a resource does not fit");
        let (_, _, size, bytes) = upload.blobs.get_mut(index).ok_or_else(odd)?;
        let end = data.offset.checked_add(data.bytes.len() as u64);
        if data.offset != bytes.len() as u64 || end.is_none_or(|end| end > *size) {
            return Err(odd());
        }
        let room = bytes.try_reserve(data.bytes.len());
        room.map_err(|_| Failure::new(ENOMEM, "no memory for a resource"))?;
        bytes.extend_from_slice(data.bytes);
        Ok(())
    }

    /// What sends one that is complete.
    pub(super) fn commit(&mut self, number: i64, session: i64) -> Result<RegisterResourceRequest> {
        let upload = self.arriving.remove(&number);
        let upload = upload.ok_or_else(|| unknown(number))?;
        let mut blobs = Vec::with_capacity(upload.blobs.len());
        for (kind, name, size, data) in upload.blobs {
            if data.len() as u64 != size {
                let text = format!("{name:?} has {} of {size} bytes", data.len());
                return Err(Failure::new(EINVAL, text));
            }
            blobs.push(Blob {
                kind: kind as i32,
                name,
                // At most as large as a message.
                size: data.len() as u32,
                data: Bytes::from(data),
            });
        }
        Ok(RegisterResourceRequest {
            paths: Vec::new(),
            blobs,
            resource_type: upload.kind as i32,
            resource_id: 0,
            session_id: session,
        })
    }

    /// The agent has one, registered with this session.
    pub(super) fn learn(&mut self, number: i64, id: i64, session: i64) {
        let known = self.known.entry(number).or_insert_with(|| Known {
            id,
            sessions: HashSet::new(),
        });
        known.sessions.insert(session);
    }

    /// The agent's number.
    pub(super) fn id(&self, number: i64) -> Result<i64> {
        let known = self.known.get(&number);
        known.map(|known| known.id).ok_or_else(|| unknown(number))
    }

    /// Forgets one that is still arriving; false when it is not.
    pub(super) fn abandon(&mut self, number: i64) -> bool {
        self.arriving.remove(&number).is_some()
    }

    /// A session has given one back.
    pub(super) fn forget(&mut self, number: i64, session: i64) {
        if let Some(known) = self.known.get_mut(&number) {
            known.sessions.remove(&session);
            if known.sessions.is_empty() {
                self.known.remove(&number);
            }
        }
    }

    /// A session has gone.
    pub(super) fn forget_session(&mut self, session: i64) {
        self.known.retain(|_, known| {
            known.sessions.remove(&session);
            !known.sessions.is_empty()
        });
    }
}

pub(super) fn not_carried(what: &str) -> Failure {
    Failure::new(
        ENOTSUP,
        format!("the agent speaks the compatible protocol, which does not carry {what}"),
    )
}

fn unknown(number: i64) -> Failure {
    Failure::new(ENOENT, format!("the agent has no resource {number}"))
}
