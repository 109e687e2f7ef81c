//! Memory that calls of a session need not copy.

use crate::ptr::Ptr;
use crate::{Result, fail, get, plugin};
use std::ffi::c_void;
use vaccel_abi::error::ENOENT;
use vaccel_abi::plugin::vaccel_plugin_ext;
use vaccel_abi::session::vaccel_session;

/// What every buffer begins at a multiple of.
const ALIGN: usize = 64;

fn table(sess: Ptr<vaccel_session>) -> Option<&'static vaccel_plugin_ext> {
    plugin::by_raw(get!(sess.plugin)).map(plugin::Plugin::ext)
}

/// `vaccel_buffer_alloc`.
///
/// # Errors
/// `EINVAL` for no bytes, `ENOMEM`.
pub fn alloc(sess: Ptr<vaccel_session>, size: usize) -> Result<*mut c_void> {
    if size == 0 || size > isize::MAX as usize - ALIGN {
        fail!(EINVAL, "a buffer cannot have {size} bytes");
    }
    let mut at = std::ptr::null_mut();
    if let Some(alloc) = table(sess).and_then(|ext| ext.buffer_alloc) {
        // SAFETY: a function of a loaded plugin; the session is alive.
        if unsafe { alloc(sess.as_ptr(), size, &raw mut at) } == 0 && !at.is_null() {
            return Ok(at);
        }
    }
    // SAFETY: `at` takes the address; the alignment is a power of two.
    if unsafe { libc::posix_memalign(&raw mut at, ALIGN, size) } != 0 {
        fail!(ENOMEM, "there is no memory for a buffer of {size} bytes");
    }
    Ok(at)
}

/// `vaccel_buffer_free`.
///
/// # Errors
/// Those of the plugin.
///
/// # Safety
/// `at` is null or came from [`alloc`] with this session, and nobody uses it any more.
pub unsafe fn free(sess: Ptr<vaccel_session>, at: *mut c_void) -> Result {
    if at.is_null() {
        return Ok(());
    }
    if let Some(free) = table(sess).and_then(|ext| ext.buffer_free) {
        // SAFETY: a function of a loaded plugin; the session is alive.
        match unsafe { free(sess.as_ptr(), at) } {
            0 => return Ok(()),
            ENOENT => {}
            code => fail!(
                EINVAL,
                "the plugin does not take the buffer back: error {code}"
            ),
        }
    }
    // SAFETY: by contract from `alloc`, and not the plugin's, so from posix_memalign.
    unsafe { libc::free(at) };
    Ok(())
}
