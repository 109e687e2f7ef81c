//! Memory that calls of a session need not copy.

use std::ffi::c_void;
use vaccel_abi::session::vaccel_session;
use vaccel_core::shared_buffer;

export! {
    /// Allocates memory that calls of the session need not copy.
    fn vaccel_buffer_alloc(sess: *mut vaccel_session, size: usize, buf: *mut *mut c_void) {
        let out = ptr!(buf);
        out.write(shared_buffer::alloc(ptr!(sess), size)?);
        Ok(())
    }

    /// Frees it.
    fn vaccel_buffer_free(sess: *mut vaccel_session, buf: *mut c_void) {
        // SAFETY: the contract of the exported function.
        unsafe { shared_buffer::free(ptr!(sess), buf) }
    }
}
