//! Error codes: Linux errno numbers under names of their own.

use libc::c_int;
use std::ffi::CStr;

const fn c_str(text: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(text) => text,
        Err(_) => c"",
    }
}

macro_rules! codes {
    ($($name:ident = $value:literal, $text:literal;)*) => {
        $(#[doc = $text] pub const $name: c_int = $value;)*

        /// What a code means, in a few words.
        #[must_use]
        pub const fn describe(code: c_int) -> &'static str {
            match code {
                $($value => $text,)*
                _ => "unknown error",
            }
        }

        /// The name of a code, for example `VACCEL_EINVAL`.
        #[must_use]
        pub const fn name(code: c_int) -> &'static str {
            match code {
                $($value => concat!("VACCEL_", stringify!($name)),)*
                _ => "unknown",
            }
        }

        /// What a code means, as a C string.
        #[must_use]
        pub const fn c_describe(code: c_int) -> &'static CStr {
            match code {
                $($value => c_str(concat!($text, "\0")),)*
                _ => c"unknown error",
            }
        }

        /// The name of a code, as a C string.
        #[must_use]
        pub const fn c_name(code: c_int) -> &'static CStr {
            match code {
                $($value => c_str(concat!("VACCEL_", stringify!($name), "\0")),)*
                _ => c"unknown",
            }
        }

        /// True for 0 and for every code of this list.
        #[must_use]
        pub const fn is_known(code: c_int) -> bool {
            matches!(code, $($value)|*)
        }
    };
}

codes! {
    OK = 0, "success";
    EPERM = 1, "operation not permitted";
    ENOENT = 2, "no such file, plugin or object";
    EIO = 5, "input/output error";
    ENOEXEC = 8, "cannot be executed";
    EBADF = 9, "bad file descriptor";
    EAGAIN = 11, "try again";
    ENOMEM = 12, "out of memory";
    EACCES = 13, "permission denied";
    EFAULT = 14, "bad address";
    EBUSY = 16, "in use";
    EEXIST = 17, "exists already";
    ENODEV = 19, "no such device or plugin";
    ENOTDIR = 20, "not a directory";
    EINVAL = 22, "invalid argument";
    ENOSPC = 28, "no space left";
    EROFS = 30, "read-only file system";
    EMLINK = 31, "too many links";
    ERANGE = 34, "out of range";
    ENAMETOOLONG = 36, "name too long";
    ENOSYS = 38, "not implemented";
    ELOOP = 40, "too many symbolic links";
    EBACKEND = 71, "the library is not initialised";
    ELIBBAD = 80, "not a vaccel plugin or library";
    EUSERS = 87, "too many users";
    ENOTSUP = 95, "not supported";
    ESESS = 104, "session lost or library not initialised";
    ETIMEDOUT = 110, "deadline passed";
    ECANCELED = 125, "cancelled";
    EINPROGRESS = 115, "in progress";
    EREMOTEIO = 121, "error on the remote side";
}
