//! How far resources on their way have come.

use std::ffi::{CStr, c_char, c_void};
use std::ptr;

use crate::library::Library;

/// Does some work of this thread and tells a function how far files and memory come that
/// are downloaded or sent to an agent meanwhile: a name, the bytes that have arrived, and
/// of how many (0 when that is not known).
///
/// With a library that is too old the function is never called.
pub fn with_progress<R>(mut report: impl FnMut(&str, u64, u64), work: impl FnOnce() -> R) -> R {
    /// Takes the function away, also when the work panics.
    struct Guard(unsafe extern "C" fn(Option<Call>, *mut c_void) -> i32);
    impl Drop for Guard {
        fn drop(&mut self) {
            // SAFETY: no function and no data.
            unsafe { (self.0)(None, ptr::null_mut()) };
        }
    }
    type Call = unsafe extern "C" fn(*mut c_void, *const c_char, u64, u64);

    unsafe extern "C" fn call(user: *mut c_void, name: *const c_char, done: u64, total: u64) {
        if user.is_null() || name.is_null() {
            return;
        }
        // SAFETY: set below, and taken away before the reference ends; this thread has it alone.
        let report = unsafe { &mut *user.cast::<&mut dyn FnMut(&str, u64, u64)>() };
        // SAFETY: a C string that lives during the call.
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
        // What it throws must not reach C; the next report comes all the same.
        let told = std::panic::AssertUnwindSafe(|| report(&name, done, total));
        let _ = std::panic::catch_unwind(told);
    }

    let set = Library::get()
        .ok()
        .and_then(|library| library.functions().progress_set);
    let Some(set) = set else {
        return work();
    };
    let mut report: &mut dyn FnMut(&str, u64, u64) = &mut report;
    // SAFETY: the reference outlives the guard, which takes the function away.
    unsafe { set(Some(call), (&raw mut report).cast()) };
    let guard = Guard(set);
    let result = work();
    drop(guard);
    result
}
