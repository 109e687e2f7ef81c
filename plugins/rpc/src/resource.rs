//! Resources: sent to the agent once a connection, and registered with as many
//! sessions as need them.

use crate::call;
use crate::changes;
use crate::held::Held;
use crate::link::{self, lock};
use crate::session::Session;
use crate::{NAME, upload};
use std::sync::atomic::Ordering;
use vaccel_plugin::abi::CResult;
use vaccel_plugin::abi::arg::ARG_BUFFER;
use vaccel_plugin::abi::blob::{BLOB_BUFFER, vaccel_blob};
use vaccel_plugin::abi::error::ENOENT;
use vaccel_plugin::abi::resource::vaccel_resource;
use vaccel_plugin::abi::session::vaccel_session;
use vaccel_plugin::raw::guard;
use vaccel_plugin::{Result, bail};
use vaccel_wire::control::{RESOURCE_ATTACH, RESOURCE_DETACH, RESOURCE_SYNC};

/// # Safety
/// Both are null or live.
unsafe fn both<'a>(
    resource: *mut vaccel_resource,
    session: *mut vaccel_session,
) -> Result<(i64, &'a Held)> {
    if resource.is_null() {
        bail!(EINVAL, "the resource is null");
    }
    // SAFETY: as promised by the caller.
    unsafe { Ok(((&raw const (*resource).id).read(), Held::of(session)?)) }
}

/// Sends a resource to the session's agent unless it has it, and registers it
/// there; sets `remote_id`.
pub(crate) unsafe extern "C" fn register(
    resource: *mut vaccel_resource,
    session: *mut vaccel_session,
) -> CResult {
    guard(NAME, "resource", || {
        // SAFETY: the library passes live structures.
        let (id, held) = unsafe { both(resource, session) }?;
        // SAFETY: as above.
        unsafe { send(&*held.live(session)?, id, resource) }?;
        held.keep(id, resource);
        Ok(())
    })
}

/// Sends a resource to the agent unless it has it, and registers it with the session.
///
/// # Safety
/// `resource` is live.
pub(crate) unsafe fn send(
    session: &Session,
    id: i64,
    resource: *mut vaccel_resource,
) -> Result<()> {
    let remote = session.link.remote(id);
    // Two threads must not send the same resource; others are not held up.
    let mut sessions = lock(&remote.sessions);
    if !sessions.contains(&session.number) {
        let known = remote.number.load(Ordering::Acquire);
        let attached = if known > 0 {
            attach(session, known)?
        } else {
            false
        };
        if !attached {
            // SAFETY: as promised by the caller.
            let number = unsafe { upload::send(session, resource) }?;
            remote.number.store(number, Ordering::Release);
            sessions.clear();
        }
        sessions.push(session.number);
    }
    let number = remote.number.load(Ordering::Acquire);
    // SAFETY: the library's structure.
    unsafe { (&raw mut (*resource).remote_id).write(number) };
    Ok(())
}

/// Registers a resource that the agent has; false when it has it no more.
fn attach(session: &Session, number: i64) -> Result<bool> {
    let result = call::run(&session.link, session.number, RESOURCE_ATTACH, |call| {
        call.scalar(number);
        Ok(())
    });
    match result {
        Ok(()) => Ok(true),
        Err(e) if e.code() == ENOENT => Ok(false),
        Err(e) => Err(e),
    }
}

/// Takes a resource back from a session; the agent frees it with the last one.
pub(crate) unsafe extern "C" fn unregister(
    resource: *mut vaccel_resource,
    session: *mut vaccel_session,
) -> CResult {
    guard(NAME, "resource", || {
        // SAFETY: the library passes live structures.
        let (id, held) = unsafe { both(resource, session) }?;
        if held.is_foreign() {
            return Ok(());
        }
        held.forget(id);
        // Else it went with the connection.
        let Some(session) = held.now() else {
            return Ok(());
        };
        let remote = session.link.remote(id);
        let mut sessions = lock(&remote.sessions);
        if !sessions.contains(&session.number) {
            return Err(link::not_registered(id));
        }
        let number = remote.number.load(Ordering::Acquire);
        remote.forget(session.number, &mut sessions);
        let result = call::run(&session.link, session.number, RESOURCE_DETACH, |call| {
            call.scalar(number);
            Ok(())
        });
        if session.link.connection.is_usable() {
            result
        } else {
            Ok(())
        }
    })
}

/// Fetches the bytes of a buffer as the agent has them now.
pub(crate) unsafe extern "C" fn sync(
    resource: *mut vaccel_resource,
    session: *mut vaccel_session,
) -> CResult {
    guard(NAME, "resource", || {
        // SAFETY: the library passes live structures.
        let (id, held) = unsafe { both(resource, session) }?;
        // SAFETY: as above.
        let session = unsafe { held.live(session) }?;
        let number = session
            .link
            .number(id)
            .ok_or_else(|| link::not_registered(id))?;
        // SAFETY: the blobs of a live resource.
        let blob: *mut vaccel_blob = unsafe {
            let list = (&raw const (*resource).blobs).read();
            if list.is_null() || (&raw const (*resource).nr_blobs).read() == 0 {
                bail!(EINVAL, "resource {id} has no data");
            }
            list.read()
        };
        if blob.is_null() {
            bail!(EINVAL, "resource {id} has no data");
        }
        // SAFETY: a live blob.
        let (type_, data, size) = unsafe { ((*blob).type_, (*blob).data, (*blob).size) };
        if type_ != BLOB_BUFFER {
            bail!(EINVAL, "resource {id} is not a buffer in memory");
        }
        if size >= changes::SMALLEST && size <= isize::MAX as usize && !data.is_null() {
            // SAFETY: a buffer of `size` bytes, which the library lets nobody else use now.
            let buffer = unsafe { std::slice::from_raw_parts_mut(data, size) };
            if changes::fetch(&session, number, buffer)? {
                return Ok(());
            }
        }
        call::run(&session.link, session.number, RESOURCE_SYNC, |call| {
            call.scalar(number);
            call.out_sync(ARG_BUFFER, data, size);
            Ok(())
        })
    })
}
