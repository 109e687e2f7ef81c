//! Who is told how far files and memory on their way have come.
//!
//! The function belongs to one thread: what is sent by a call is reported to the thread
//! that makes the call, so that no other one can meet a function that is being replaced.

use std::cell::Cell;
use std::ffi::{CStr, c_void};
use vaccel_abi::resource::ProgressFn;

thread_local! {
    static CALL: Cell<Option<(ProgressFn, *mut c_void)>> = const { Cell::new(None) };
}

/// `vaccel_progress_set`: the function of the calling thread, or none.
pub fn set(call: Option<ProgressFn>, user: *mut c_void) {
    // A thread that ends sends nothing any more.
    let _ = CALL.try_with(|cell| cell.set(call.map(|call| (call, user))));
}

/// `vaccel_progress_report`: `done` of `total` bytes have arrived; a total of 0 is not known.
pub fn report(name: &CStr, done: u64, total: u64) {
    if let Some((call, user)) = CALL.try_with(Cell::get).ok().flatten() {
        // SAFETY: the program set it for this thread and keeps it callable until it sets another.
        unsafe { call(user, name.as_ptr(), done, total) };
    }
}
