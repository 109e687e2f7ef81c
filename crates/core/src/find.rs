//! Finding resources.

use crate::ptr::Ptr;
use crate::resource::{RESOURCES, by_id, class_of, identify, type_name};
use crate::{Result, err, fail, get, session};
use vaccel_abi::resource::{ResourceType, vaccel_resource};
use vaccel_abi::session::vaccel_session;
use vaccel_abi::vaccel_id_t;

/// `vaccel_resource_get_by_id`.
///
/// # Errors
/// `ENOENT` when no resource has this number.
pub fn get_by_id(id: vaccel_id_t) -> Result<*mut vaccel_resource> {
    match by_id(id) {
        Some(res) => Ok(res.as_ptr()),
        None => Err(err!(ENOENT, "there is no resource {id}").quiet()),
    }
}

/// `vaccel_resource_get_by_type`: the oldest one.
///
/// # Errors
/// `EINVAL` for an unknown type, `ENOENT` when there is none.
pub fn get_by_type(type_: ResourceType) -> Result<*mut vaccel_resource> {
    let first = RESOURCES.first(class_of(type_)?).and_then(by_id);
    match first {
        Some(res) => Ok(res.as_ptr()),
        // The oldest may be in the making; then look further.
        None => get_all_by_type(type_).map(|all| all[0]),
    }
}

/// `vaccel_resource_get_all_by_type`: from the oldest on, at least one.
///
/// # Errors
/// `EINVAL` for an unknown type, `ENOENT` when there is none.
pub fn get_all_by_type(type_: ResourceType) -> Result<Vec<*mut vaccel_resource>> {
    let ids = RESOURCES.all(class_of(type_)?);
    let list: Vec<_> = ids.into_iter().filter_map(by_id).map(Ptr::as_ptr).collect();
    if list.is_empty() {
        return Err(err!(ENOENT, "there is no {} resource", type_name(type_)).quiet());
    }
    Ok(list)
}

/// Whether a resource is registered with a session.
///
/// # Errors
/// `EINVAL` for a resource of another type than `wanted`, `EPERM` when it is not
/// registered.
pub fn require(
    sess: Ptr<vaccel_session>,
    res: Ptr<vaccel_resource>,
    wanted: ResourceType,
) -> Result {
    let slot = session::slot(sess)?;
    let (_, id, class) = identify(res)?;
    if get!(res.type_) != wanted {
        fail!(
            EINVAL,
            "resource {id} is a {} resource, a {} resource is needed",
            type_name(get!(res.type_)),
            type_name(wanted)
        );
    }
    if !slot.registered.lock().resources[class].contains(id) {
        fail!(
            EPERM,
            "resource {id} is not registered with session {}; call vaccel_resource_register() first",
            get!(sess.id)
        );
    }
    Ok(())
}
