//! Sessions.

use std::ffi::c_char;
use vaccel_abi::resource::{ResourceType, vaccel_resource};
use vaccel_abi::session::vaccel_session;
use vaccel_abi::vaccel_id_t;
use vaccel_core::{alloc, session};

export! {
    /// Opens a session.
    fn vaccel_session_init(sess: *mut vaccel_session, flags: u32) {
        session::init(ptr!(sess), flags)
    }

    /// Closes a session.
    fn vaccel_session_release(sess: *mut vaccel_session) { session::release(ptr!(sess)) }

    /// Makes and opens a session.
    fn vaccel_session_new(sess: *mut *mut vaccel_session, flags: u32) {
        let out = ptr!(sess);
        out.write(session::new(flags)?);
        Ok(())
    }

    /// Closes and frees a session that was made.
    fn vaccel_session_delete(sess: *mut vaccel_session) { session::delete(ptr!(sess)) }

    /// Changes the flags of a session.
    fn vaccel_session_update(sess: *mut vaccel_session, flags: u32) {
        session::update(ptr!(sess), flags)
    }

    /// Sets how long calls of a session may take.
    fn vaccel_session_set_timeout(sess: *mut vaccel_session, timeout_ms: u64) {
        session::set_timeout(ptr!(sess), timeout_ms)
    }

    /// Sets the span that calls of a session are made in.
    fn vaccel_session_set_trace(sess: *mut vaccel_session, traceparent: *const c_char) {
        session::set_trace(ptr!(sess), optional_text!(traceparent))
    }

    /// The session with a number.
    fn vaccel_session_get_by_id(sess: *mut *mut vaccel_session, id: vaccel_id_t) {
        let out = ptr!(sess);
        out.write(session::get_by_id(id)?);
        Ok(())
    }

    /// Whether a resource is registered with a session.
    fn vaccel_session_has_resource(
        sess: *mut vaccel_session,
        res: *mut vaccel_resource,
    ) -> bool, false; {
        session::has_resource(ptr!(sess), ptr!(res))
    }

    /// The registered resource with a number.
    fn vaccel_session_resource_by_id(
        sess: *mut vaccel_session,
        res: *mut *mut vaccel_resource,
        id: vaccel_id_t,
    ) {
        let out = ptr!(res);
        out.write(session::resource_by_id(ptr!(sess), id)?);
        Ok(())
    }

    /// The resource of a type that was registered first.
    fn vaccel_session_resource_by_type(
        sess: *mut vaccel_session,
        res: *mut *mut vaccel_resource,
        r#type: ResourceType,
    ) {
        let out = ptr!(res);
        out.write(session::resource_by_type(ptr!(sess), r#type)?);
        Ok(())
    }

    /// All registered resources of a type, in a malloc'ed array.
    fn vaccel_session_resources_by_type(
        sess: *mut vaccel_session,
        resources: *mut *mut *mut vaccel_resource,
        nr_resources: *mut usize,
        r#type: ResourceType,
    ) {
        let (out, count) = (ptr!(resources), ptr!(nr_resources));
        let list = session::resources_by_type(ptr!(sess), r#type)?;
        out.write(alloc::copy(&list)?);
        count.write(list.len());
        Ok(())
    }

    /// Deprecated: `vaccel_session_init`.
    fn vaccel_sess_init(sess: *mut vaccel_session, flags: u32) {
        session::init(ptr!(sess), flags)
    }

    /// Deprecated: `vaccel_session_update`.
    fn vaccel_sess_update(sess: *mut vaccel_session, flags: u32) {
        session::update(ptr!(sess), flags)
    }

    /// Deprecated: `vaccel_session_release`.
    fn vaccel_sess_free(sess: *mut vaccel_session) { session::release(ptr!(sess)) }

    /// Deprecated: `vaccel_session_has_resource`.
    fn vaccel_sess_has_resource(
        sess: *mut vaccel_session,
        res: *mut vaccel_resource,
    ) -> bool, false; {
        session::has_resource(ptr!(sess), ptr!(res))
    }
}
