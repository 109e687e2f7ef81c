//! Why a request is not answered with success.

use vaccel_abi::error::{EINVAL, EIO, ENOMEM, ENOSPC};
use vaccel_wire::WireError;

/// What goes into an error reply: a code and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// An error code of the ABI.
    pub code: i32,
    /// For the client's log.
    pub message: String,
}

/// Result of a request.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// A failure with a code and a message.
    #[must_use]
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// `EINVAL`.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(EINVAL, message)
    }
}

impl From<vaccel::Error> for Failure {
    fn from(e: vaccel::Error) -> Self {
        Self::new(e.code, e.message)
    }
}

impl From<WireError> for Failure {
    fn from(e: WireError) -> Self {
        Self::new(e.code(), e.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(e: std::io::Error) -> Self {
        let code = match e.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ENOSPC,
            std::io::ErrorKind::OutOfMemory => ENOMEM,
            _ => EIO,
        };
        Self::new(code, e.to_string())
    }
}
