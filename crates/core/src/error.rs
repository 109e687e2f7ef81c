//! Errors: a code of the C API and a sentence that names the thing and the way out.

use std::borrow::Cow;
use vaccel_abi::{CResult, error as code};

/// Result of everything in this crate.
pub type Result<T = ()> = std::result::Result<T, Error>;

/// Why a call failed. One pointer, so that a `Result` of a call that works goes
/// through a register.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", .0.message)]
pub struct Error(Box<Detail>);

#[derive(Debug, Clone)]
struct Detail {
    code: CResult,
    message: Cow<'static, str>,
    quiet: bool,
}

impl Error {
    /// An error with one of the codes of [`vaccel_abi::error`].
    #[cold]
    pub fn new(code: CResult, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Detail {
            code,
            message: message.into(),
            quiet: false,
        }))
    }

    /// The error of a failed system call on something, for example a path.
    pub fn io(what: impl std::fmt::Display, error: &std::io::Error) -> Self {
        let code = match error.raw_os_error() {
            Some(errno) if errno != 0 && code::is_known(errno) => errno,
            _ => match error.kind() {
                std::io::ErrorKind::NotFound => code::ENOENT,
                std::io::ErrorKind::PermissionDenied => code::EACCES,
                std::io::ErrorKind::OutOfMemory => code::ENOMEM,
                _ => code::EIO,
            },
        };
        Self::new(code, format!("{what}: {error}"))
    }

    /// Marks an answer that is part of normal use, such as "no such resource":
    /// it is logged for debugging only.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.0.quiet = true;
        self
    }

    /// The code, never 0.
    #[must_use]
    pub fn code(&self) -> CResult {
        self.0.code
    }

    /// The sentence.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// True when the error is logged for debugging only.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.0.quiet
    }

    /// The same error with words in front of its message.
    #[must_use]
    pub fn context(mut self, what: impl std::fmt::Display) -> Self {
        self.0.message = format!("{what}: {}", self.0.message).into();
        self
    }
}

/// An [`Error`]: the name of a code, then a format string.
#[macro_export]
macro_rules! err {
    ($code:ident, $text:literal) => {
        $crate::error::Error::new(::vaccel_abi::error::$code, format!($text))
    };
    ($code:ident, $($arg:tt)+) => {
        $crate::error::Error::new(::vaccel_abi::error::$code, format!($($arg)+))
    };
}

/// Returns an [`Error`]: the name of a code, then a format string.
#[macro_export]
macro_rules! fail {
    ($code:ident, $($arg:tt)+) => {
        return Err($crate::err!($code, $($arg)+))
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_keep_their_code_and_name_the_thing() {
        let e = Error::io("/x", &std::io::Error::from_raw_os_error(libc::ENOENT));
        assert_eq!(e.code(), code::ENOENT);
        assert!(e.message().starts_with("/x: "), "{e}");
    }

    #[test]
    fn unknown_system_errors_become_input_output_errors() {
        let e = Error::io("x", &std::io::Error::from_raw_os_error(libc::EPIPE));
        assert_eq!(e.code(), code::EIO);
    }
}
