//! Operations that manage sessions and resources.

use vaccel_abi::arg::ARG_BUFFER;
use vaccel_abi::error::{EINVAL, ENOTSUP};
use vaccel_wire::changes::ResourceChanges;
use vaccel_wire::control::{
    DESCRIBE, REGION_ADD, RESOURCE_ATTACH, RESOURCE_BEGIN, RESOURCE_CHANGES, RESOURCE_COMMIT,
    RESOURCE_DATA, RESOURCE_DETACH, RESOURCE_OFFSETS, RESOURCE_SYNC, ResourceBegin, ResourceData,
    SESSION_CLOSE, SESSION_OPEN, SESSION_UPDATE, TENSOR_FETCH, TENSOR_FREE, TENSOR_KEEP, only,
};
use vaccel_wire::{ArgReader, Args, Frame, FrameBuffer, Header};

use super::connection::Connection;
use super::failure::{Failure, Result};

/// The first of their codes; those below are operations of the library.
pub const FIRST: u16 = 256;

/// Runs one and builds the reply.
///
/// # Errors
/// What the client is told instead.
pub fn run<'b>(
    connection: &Connection,
    header: &Header,
    args: &Args<'_>,
    payload: &[u8],
    buffer: &'b mut FrameBuffer,
) -> Result<Frame<'b, 'static>> {
    let Connection {
        sessions,
        resources,
        tensors,
        memory,
        ..
    } = connection;
    let number = header.session;
    let mut builder = buffer.reply(header);
    match header.operation {
        SESSION_OPEN => {
            let session = sessions.open(only(args, payload)?)?;
            builder.write_scalar(session);
        }
        SESSION_UPDATE => {
            let flags: u32 = only(args, payload)?;
            sessions.update(number, flags)?;
        }
        SESSION_CLOSE => {
            nothing(args, payload)?;
            let session = sessions.close(number)?;
            // Tensors and resources go while the session is there to give them back.
            tensors.forget_session(number);
            resources.forget_session(number);
            drop(session);
        }
        RESOURCE_BEGIN => {
            sessions.get(number)?;
            let begin = ResourceBegin::decode(args, payload)?;
            let (resource, complete) = resources.begin(number, &begin)?;
            builder
                .write_scalar(resource)
                .write_scalar(u8::from(complete));
        }
        RESOURCE_OFFSETS => {
            sessions.get(number)?;
            let offsets = resources.offsets(only(args, payload)?)?;
            let bytes: Vec<u8> = offsets.into_iter().flat_map(u64::to_le_bytes).collect();
            builder.write_copy(ARG_BUFFER, 0, &bytes);
        }
        RESOURCE_DATA => {
            sessions.get(number)?;
            let data = ResourceData::decode(args, payload)?;
            resources.write(data.resource, data.blob, data.offset, data.bytes)?;
        }
        RESOURCE_COMMIT => {
            let session = sessions.get(number)?;
            resources.commit(only(args, payload)?, number, &session)?;
        }
        RESOURCE_ATTACH => {
            let session = sessions.get(number)?;
            resources.attach(only(args, payload)?, number, &session)?;
        }
        RESOURCE_DETACH => {
            let session = sessions.get(number)?;
            resources.detach(only(args, payload)?, number, &session)?;
        }
        RESOURCE_SYNC => {
            let session = sessions.get(number)?;
            let bytes = resources.sync(only(args, payload)?, number, &session)?;
            builder.write_copy(ARG_BUFFER, 0, &bytes);
        }
        RESOURCE_CHANGES => {
            let session = sessions.get(number)?;
            let theirs = ResourceChanges::decode(args, payload)?;
            let bytes = resources.sync(theirs.resource, number, &session)?;
            let (numbers, changed) = super::changes::find(&bytes, &theirs)?;
            builder
                .write_copy(ARG_BUFFER, 0, &numbers)
                .write_copy(ARG_BUFFER, 0, &changed);
        }
        TENSOR_KEEP => {
            let session = sessions.get(number)?;
            let owner = (number, &session);
            tensors.keep(owner, args, payload, memory.as_ref(), &mut builder)?;
        }
        TENSOR_FETCH => {
            sessions.get(number)?;
            tensors.fetch(number, args, payload, memory.as_ref(), &mut builder)?;
        }
        TENSOR_FREE => {
            sessions.get(number)?;
            tensors.remove(number, only(args, payload)?)?;
        }
        DESCRIBE => {
            nothing(args, payload)?;
            builder.write_copy(ARG_BUFFER, 0, describe()?.as_bytes());
        }
        REGION_ADD => {
            let memory = connection
                .memory
                .as_ref()
                .ok_or_else(|| Failure::new(EINVAL, "no memory is shared on this connection"))?;
            let added = memory.add(only(args, payload)?);
            builder.write_scalar(added.map_err(|e| Failure::new(e.code(), e.to_string()))?);
        }
        other => {
            return Err(Failure::new(
                ENOTSUP,
                format!("the agent knows no operation {other}"),
            ));
        }
    }
    Ok(builder.finish()?)
}

fn nothing(args: &Args<'_>, payload: &[u8]) -> Result<()> {
    Ok(ArgReader::new(args.reads(), payload).finish()?)
}

/// What the library says of itself and its plugins, and the agent of itself.
fn describe() -> Result<String> {
    let mut about = vaccel::describe()?;
    if let Some(object) = about.as_object_mut() {
        object.insert("agent".into(), env!("CARGO_PKG_VERSION").into());
    }
    Ok(about.to_string())
}
