//! What stands between C and Rust: pointers are checked, errors become codes,
//! and no panic gets out.

use std::any::Any;
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use vaccel_abi::log::{SLOG_DEBUG, SLOG_ERROR};
use vaccel_core::{Error, Result, err, last_error, log};

/// Runs the body of an exported function and turns its result into a code.
#[inline(always)]
pub(crate) fn code(name: &'static str, body: impl FnOnce() -> Result) -> c_int {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => 0,
        Ok(Err(e)) => failed(name, &e),
        Err(panic) => panicked(name, panic),
    }
}

/// Runs the body of an exported function that returns something else than a
/// code; `otherwise` is returned when it fails.
#[inline(always)]
pub(crate) fn value<T>(name: &'static str, otherwise: T, body: impl FnOnce() -> Result<T>) -> T {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(value)) => value,
        Ok(Err(e)) => {
            failed(name, &e);
            otherwise
        }
        Err(panic) => {
            panicked(name, panic);
            otherwise
        }
    }
}

/// Keeps the message for `vaccel_error_message` and logs it.
#[cold]
#[inline(never)]
fn failed(name: &'static str, error: &Error) -> c_int {
    last_error::record(error);
    let kind = if error.is_quiet() {
        SLOG_DEBUG
    } else {
        SLOG_ERROR
    };
    if log::enabled(kind) {
        log::write(kind, true, format!("{name}: {error}").as_bytes());
    }
    error.code()
}

#[cold]
#[inline(never)]
fn panicked(name: &'static str, panic: Box<dyn Any + Send>) -> c_int {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("unknown reason");
    let error = err!(EFAULT, "internal error, please report it: {text}");
    // Dropping what was thrown may throw again.
    std::mem::forget(panic);
    catch_unwind(AssertUnwindSafe(|| failed(name, &error))).unwrap_or(vaccel_abi::error::EFAULT)
}

/// Defines exported functions. With a body alone they return a code; with
/// `-> T, otherwise` they return a `T`, and `otherwise` when something fails.
macro_rules! export {
    ($(
        $(#[$attribute:meta])*
        fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty, $otherwise:expr;)? $body:block
    )*) => {$(
        $(#[$attribute])*
        ///
        /// # Safety
        /// Pointers are null or what the C header says.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($arg: $type),*) -> export!(@result $($result)?) {
            export!(@guard $name, $body $(, $otherwise)?)
        }
    )*};
    (@result) => { std::ffi::c_int };
    (@result $result:ty) => { $result };
    (@guard $name:ident, $body:block) => {
        $crate::guard::code(stringify!($name), move || -> vaccel_core::Result { $body })
    };
    (@guard $name:ident, $body:block, $otherwise:expr) => {
        $crate::guard::value(stringify!($name), $otherwise, move || $body)
    };
}

/// A pointer from C that must not be null.
macro_rules! ptr {
    ($pointer:ident) => {{
        #[allow(unused_unsafe)]
        // SAFETY: the contract of the exported function.
        let checked = unsafe { vaccel_core::ptr::Ptr::new($pointer, stringify!($pointer)) };
        checked?
    }};
}

/// A pointer from C that may be null.
macro_rules! optional {
    ($pointer:ident) => {{
        if $pointer.is_null() {
            None
        } else {
            Some(ptr!($pointer))
        }
    }};
}

/// A C string that must not be null.
macro_rules! text {
    ($pointer:ident) => {{
        #[allow(unused_unsafe)]
        // SAFETY: the contract of the exported function.
        let checked = unsafe { vaccel_core::ptr::text($pointer, stringify!($pointer)) };
        checked?
    }};
}

/// A C string that may be null.
macro_rules! optional_text {
    ($pointer:ident) => {{
        // SAFETY: the contract of the exported function.
        unsafe { vaccel_core::ptr::optional_text($pointer) }
    }};
}

/// A list of pointers from C, none of them null.
macro_rules! pointers {
    ($list:ident, $count:expr) => {{
        let list = ptr!($list);
        let mut pointers = Vec::new();
        for i in 0..$count {
            // SAFETY: the contract of the exported function: as many are there.
            let one = unsafe {
                vaccel_core::ptr::Ptr::new(list.as_ptr().add(i).read(), stringify!($list))
            };
            pointers.push(one?);
        }
        pointers
    }};
}
