//! The resources that are registered with a session.

use std::sync::atomic::{AtomicUsize, Ordering};

use vaccel_abi::resource::{ResourceType, vaccel_resource};
use vaccel_abi::session::vaccel_session;
use vaccel_abi::vaccel_id_t;

use super::{Slot, slot};
use crate::ordered::OrderedSet;
use crate::ptr::Ptr;
use crate::{Result, err, get, link, resource};

/// `vaccel_session_has_resource`.
///
/// # Errors
/// `EINVAL` when session or resource is not alive.
pub fn has_resource(sess: Ptr<vaccel_session>, res: Ptr<vaccel_resource>) -> Result<bool> {
    let slot = slot(sess)?;
    let (_, id, class) = resource::identify(res)?;
    Ok(slot.registered.lock().resources[class].contains(id))
}

/// `vaccel_session_resource_by_id`.
///
/// # Errors
/// `ENOENT` when no resource with this number is registered with the session.
pub fn resource_by_id(sess: Ptr<vaccel_session>, id: vaccel_id_t) -> Result<*mut vaccel_resource> {
    let slot = slot(sess)?;
    if let Ok(index) = u32::try_from(id)
        && slot
            .registered
            .lock()
            .resources
            .iter()
            .any(|r| r.contains(index))
        && let Some(res) = resource::by_id(id)
    {
        return Ok(res.as_ptr());
    }
    Err(err!(
        ENOENT,
        "resource {id} is not registered with session {}",
        get!(sess.id)
    )
    .quiet())
}

/// `vaccel_session_resource_by_type`: the one that was registered first.
///
/// # Errors
/// `EINVAL` for an unknown type, `ENOENT` when there is none.
pub fn resource_by_type(
    sess: Ptr<vaccel_session>,
    type_: ResourceType,
) -> Result<*mut vaccel_resource> {
    let class = resource::class_of(type_)?;
    let slot = slot(sess)?;
    let first = slot.registered.lock().resources[class].first();
    match first.and_then(|id| resource::by_id(vaccel_id_t::from(id))) {
        Some(res) => Ok(res.as_ptr()),
        None => Err(none_of(sess, type_)),
    }
}

/// `vaccel_session_resources_by_type`: all, in the order of registration.
///
/// # Errors
/// `EINVAL` for an unknown type, `ENOENT` when there is none.
pub fn resources_by_type(
    sess: Ptr<vaccel_session>,
    type_: ResourceType,
) -> Result<Vec<*mut vaccel_resource>> {
    let class = resource::class_of(type_)?;
    let slot = slot(sess)?;
    let ids: Vec<_> = slot.registered.lock().resources[class].iter().collect();
    let list: Vec<_> = ids
        .into_iter()
        .filter_map(|id| resource::by_id(vaccel_id_t::from(id)))
        .map(Ptr::as_ptr)
        .collect();
    if list.is_empty() {
        return Err(none_of(sess, type_));
    }
    Ok(list)
}

fn none_of(sess: Ptr<vaccel_session>, type_: ResourceType) -> crate::Error {
    err!(
        ENOENT,
        "no {} resource is registered with session {}",
        resource::type_name(type_),
        get!(sess.id)
    )
    .quiet()
}

/// Shows in the program's structure how many resources of a class there are.
/// The caller holds the session's lock.
pub(crate) fn show(sess: Ptr<vaccel_session>, slot: &Slot, resources: &OrderedSet, class: usize) {
    let p = sess.as_ptr();
    let count = resources.len();
    // SAFETY: fields of a structure whose session is open; the lock is held.
    unsafe {
        AtomicUsize::from_ptr(&raw mut (*p).resource_counts[class]).store(count, Ordering::Relaxed);
        if count == 0 {
            link::clear(&raw mut (*p).resources[class]);
        } else {
            slot.markers[class].fill(&raw mut (*p).resources[class]);
        }
    }
}
