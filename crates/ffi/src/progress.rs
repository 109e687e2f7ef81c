//! How far resources on their way have come.

use std::ffi::{c_char, c_void};
use vaccel_abi::resource::ProgressFn;
use vaccel_core::progress;

export! {
    /// Sets the function of the calling thread that is told; null for none.
    fn vaccel_progress_set(progress: Option<ProgressFn>, user: *mut c_void) {
        progress::set(progress, user);
        Ok(())
    }

    /// For plugins: tells it.
    fn vaccel_progress_report(name: *const c_char, done: u64, total: u64) -> (), (); {
        progress::report(optional_text!(name).unwrap_or(c""), done, total);
        Ok(())
    }
}
