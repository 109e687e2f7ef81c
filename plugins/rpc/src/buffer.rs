//! Buffers of the application in shared memory.

use crate::NAME;
use crate::held::Held;
use std::ffi::c_void;
use vaccel_plugin::abi::CResult;
use vaccel_plugin::abi::error::{EINVAL, ENOENT, ENOTSUP};
use vaccel_plugin::abi::session::vaccel_session;
use vaccel_plugin::bail;
use vaccel_plugin::raw::guard;
use vaccel_transport::shm::buffers;

/// `ENOTSUP`, without a message, where no memory is shared or none is left: then the
/// library takes ordinary memory, and that is no failure.
pub(crate) unsafe extern "C" fn alloc(
    session: *mut vaccel_session,
    size: usize,
    buf: *mut *mut c_void,
) -> CResult {
    let mut found = false;
    let code = guard(NAME, "buffer_alloc", || {
        if buf.is_null() {
            bail!(EINVAL, "the place for the address is null");
        }
        // SAFETY: the library passes live sessions.
        let held = unsafe { Held::of(session) }?;
        let block = held.now().and_then(|own| own.link.connection.block(size));
        if let Some(block) = block {
            let at = buffers::enter(block);
            // SAFETY: the caller's pointer, which is not null.
            unsafe { buf.write(at.as_ptr().cast()) };
            found = true;
        }
        Ok(())
    });
    if code == 0 && !found { ENOTSUP } else { code }
}

pub(crate) unsafe extern "C" fn free(session: *mut vaccel_session, buf: *mut c_void) -> CResult {
    if session.is_null() {
        return EINVAL;
    }
    if buffers::leave(buf.cast_const().cast()) {
        0
    } else {
        ENOENT
    }
}
