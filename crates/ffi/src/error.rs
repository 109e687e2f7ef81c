//! Error codes and messages.

use std::ffi::{c_char, c_int};
use vaccel_core::last_error;

export! {
    /// The text of the last failed call of this thread, "" when there was none;
    /// valid until the next one fails.
    fn vaccel_error_message() -> *const c_char, c"".as_ptr(); { Ok(last_error::message()) }

    /// For plugins: why the operation that is under way is about to fail.
    fn vaccel_error_set(message: *const c_char) -> (), (); {
        last_error::set_by_plugin(optional_text!(message).unwrap_or(c""));
        Ok(())
    }

    /// The name of a code, for example `VACCEL_EINVAL`.
    fn vaccel_error_name(code: c_int) -> *const c_char, c"unknown".as_ptr(); {
        Ok(vaccel_abi::error::c_name(code).as_ptr())
    }

    /// What a code means, in a few words.
    fn vaccel_error_string(code: c_int) -> *const c_char, c"unknown error".as_ptr(); {
        Ok(vaccel_abi::error::c_describe(code).as_ptr())
    }
}
