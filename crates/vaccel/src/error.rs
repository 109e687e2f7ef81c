//! What went wrong.

use vaccel_abi::error;

/// An error of the library, or of finding it.
///
/// `code` is one of the numbers of [`code`](crate::code) (Linux errno numbers),
/// `name` its C name, and `message` a sentence that names the thing and,
/// where there is one, the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({name})")]
#[non_exhaustive]
pub struct Error {
    /// One of the numbers of [`code`](crate::code).
    pub code: i32,
    /// Name of the code, for example `VACCEL_EINVAL`.
    pub name: &'static str,
    /// What happened, in words.
    pub message: String,
}

impl Error {
    /// An error with a code and a message.
    #[must_use]
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Self {
            code,
            name: error::name(code),
            message: message.into(),
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(error::EINVAL, message)
    }
}

/// Result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
