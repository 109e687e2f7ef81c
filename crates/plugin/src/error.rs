//! What an operation returns when it fails: a code for the program, a text for
//! its user.

use std::borrow::Cow;
use vaccel_abi::{CResult, error as code};

/// `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error code of the C API with a text that names the thing and the way out.
///
/// The text reaches the application as the thread's last error and, on the
/// error level, the log. The code is what the C function returns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.message)]
pub struct Error(Box<Detail>);

// One pointer, so that a `Result` of a call that works goes through a register.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Detail {
    code: CResult,
    message: Cow<'static, str>,
}

impl Error {
    /// An error of a [`code`](crate::code). A code that the C API does not know
    /// (0 included) becomes `EIO`.
    #[cold]
    pub fn new(code: CResult, message: impl Into<Cow<'static, str>>) -> Self {
        let code = if code != code::OK && code::is_known(code) {
            code
        } else {
            code::EIO
        };
        Self(Box::new(Detail {
            code,
            message: message.into(),
        }))
    }

    /// `EINVAL`: the caller passed something wrong.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(code::EINVAL, message)
    }

    /// `ENOTSUP`: this plugin does not do that.
    pub fn unsupported(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(code::ENOTSUP, message)
    }

    /// What the C function returns.
    #[must_use]
    pub fn code(&self) -> CResult {
        self.0.code
    }

    /// The text.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The same error with `context: ` before its text.
    #[must_use]
    pub fn context(mut self, context: impl std::fmt::Display) -> Self {
        self.0.message = format!("{context}: {}", self.0.message).into();
        self
    }
}

/// Text of the innermost cause of an error: of a library that cannot be opened, the
/// dynamic linker's words, where the error's own are no more than "dlopen failed".
pub fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

impl From<std::io::Error> for Error {
    /// Keeps the errno where the C API has a code for it, else `EIO`.
    fn from(e: std::io::Error) -> Self {
        use std::io::ErrorKind;
        let code = match (e.raw_os_error(), e.kind()) {
            (Some(errno), _) => errno,
            (None, ErrorKind::NotFound) => code::ENOENT,
            (None, ErrorKind::PermissionDenied) => code::EACCES,
            (None, ErrorKind::InvalidInput | ErrorKind::InvalidData) => code::EINVAL,
            (None, ErrorKind::OutOfMemory) => code::ENOMEM,
            (None, ErrorKind::TimedOut) => code::ETIMEDOUT,
            _ => code::EIO,
        };
        Self::new(code, e.to_string())
    }
}

impl From<std::collections::TryReserveError> for Error {
    fn from(e: std::collections::TryReserveError) -> Self {
        Self::new(code::ENOMEM, e.to_string())
    }
}

/// Makes an [`Error`] from the name of a code and a format string.
///
/// ```
/// let e = vaccel_plugin::err!(ENOENT, "no label file beside `{}`", "model.onnx");
/// assert_eq!(e.code(), vaccel_plugin::code::ENOENT);
/// ```
#[macro_export]
macro_rules! err {
    ($code:ident, $($text:tt)+) => {
        $crate::Error::new($crate::code::$code, ::std::format!($($text)+))
    };
}

/// Returns early with the [`Error`] that [`err!`](crate::err) makes.
#[macro_export]
macro_rules! bail {
    ($code:ident, $($text:tt)+) => {
        return ::std::result::Result::Err($crate::err!($code, $($text)+))
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_c_does_not_know_becomes_eio() {
        assert_eq!(Error::new(0, "x").code(), code::EIO);
        assert_eq!(Error::new(-3, "x").code(), code::EIO);
        assert_eq!(Error::new(4242, "x").code(), code::EIO);
        assert_eq!(Error::new(code::ERANGE, "x").code(), code::ERANGE);
    }

    #[test]
    fn an_io_error_keeps_its_errno() {
        let e = std::fs::File::open("/nonexistent/file").map_err(Error::from);
        assert_eq!(e.map_err(|e| e.code()).err(), Some(code::ENOENT));
    }
}
