//! Sessions, resources, and the description.

use super::{Exported, call};
use crate::memory::CBuffer;
use crate::op::Op;
use crate::resource::Resource;
use libc::c_char;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use vaccel_abi::CResult;
use vaccel_abi::resource::vaccel_resource;
use vaccel_abi::session::vaccel_session;

pub(crate) unsafe extern "C" fn session_init<P: Exported>(
    session: *mut vaccel_session,
    flags: u32,
) -> CResult {
    call::<P>("session_init", |this| {
        // SAFETY: the library passes a session whose number it has set; the
        // rest of it may not be filled yet and is not looked at.
        let id = unsafe { this.session(session) }?.id();
        this.plugin.session_opened(id, flags)?;
        this.sessions.fetch_add(1, Ordering::AcqRel);
        Ok(())
    })
}

pub(crate) unsafe extern "C" fn session_release<P: Exported>(
    session: *mut vaccel_session,
) -> CResult {
    call::<P>("session_release", |this| {
        // SAFETY: the library passes a session that is still live.
        let id = unsafe { this.session(session) }?.id();
        // A library may tell of the end alone.
        let _ = this
            .sessions
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1));
        this.models.close(id);
        this.plugin.session_closed(id);
        Ok(())
    })
}

pub(crate) unsafe extern "C" fn resource_register<P: Exported>(
    resource: *mut vaccel_resource,
    session: *mut vaccel_session,
) -> CResult {
    call::<P>("resource_register", |this| {
        // SAFETY: the library passes live ones.
        let (session, resource) =
            unsafe { (this.session(session)?, Resource::from_raw(resource)?) };
        this.plugin.resource_registered(&session, &resource)
    })
}

pub(crate) unsafe extern "C" fn resource_unregister<P: Exported>(
    resource: *mut vaccel_resource,
    session: *mut vaccel_session,
) -> CResult {
    call::<P>("resource_unregister", |this| {
        // SAFETY: the library passes live ones.
        let (session, resource) =
            unsafe { (this.session(session)?, Resource::from_raw(resource)?) };
        this.models.forget(session.id(), resource.id());
        this.plugin.resource_unregistered(&session, &resource);
        Ok(())
    })
}

pub(crate) unsafe extern "C" fn describe<P: Exported>(out: *mut *mut c_char) -> CResult {
    call::<P>("describe", |this| {
        if out.is_null() {
            crate::bail!(EINVAL, "the place for the text is null");
        }
        let mut text = serde_json::to_value(this.plugin.describe())
            .map_err(|e| crate::err!(EIO, "cannot write the description: {e}"))?;
        if let Value::Object(fields) = &mut text {
            let ops: Vec<&str> = P::OPS.iter().copied().map(Op::name).collect();
            fields.insert("name".into(), json!(P::NAME.to_string_lossy()));
            fields.insert("version".into(), json!(P::VERSION.to_string_lossy()));
            fields.insert("operations".into(), json!(ops));
            fields.insert("models".into(), json!(P::MODELS));
        }
        let text = CBuffer::c_string(&text.to_string())?;
        // SAFETY: not null; the caller's to write to.
        unsafe { out.write(text.into_raw()) };
        Ok(())
    })
}
