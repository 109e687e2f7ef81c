//! Why a call of the ttrpc protocol fails.

use vaccel_abi::error::{EIO, ENOTSUP};
use vaccel_compat::{
    Code, CompatError, ErrorKind, Failure as Told, FrameworkStatus, Response, Status,
};
use vaccel_wire::WireError;

use super::super::failure::Failure;

/// Why a call fails, and what clients of that protocol read.
#[derive(Debug)]
pub(super) enum Fault {
    /// The call itself cannot be read, or there is no such method.
    Refused(Code, String),
    /// What it asks for failed.
    Failed {
        failure: Failure,
        /// What TensorFlow or TensorFlow Lite says of it.
        status: Option<FrameworkStatus>,
    },
}

pub(super) type Result<T, E = Fault> = std::result::Result<T, E>;

impl Fault {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Failure::invalid(message).into()
    }

    pub(super) fn unsupported(message: impl Into<String>) -> Self {
        Failure::new(ENOTSUP, message).into()
    }

    /// The answer that says so.
    pub(super) fn into_response(self) -> Response {
        match self {
            Self::Refused(code, message) => Response {
                status: Some(Status {
                    code: code as i32,
                    message,
                    details: Vec::new(),
                }),
                ..Response::default()
            },
            Self::Failed { failure, status } => {
                let number = u32::try_from(failure.code).unwrap_or(EIO.cast_unsigned());
                let mut told = Told::ffi(number, failure.message);
                if status.is_some() {
                    told.error.r#type = ErrorKind::FfiWithStatus as i32;
                    told.error.status = status;
                }
                told.into_response()
            }
        }
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self::Failed {
            failure,
            status: None,
        }
    }
}

impl From<WireError> for Fault {
    fn from(e: WireError) -> Self {
        Failure::from(e).into()
    }
}

impl From<vaccel::Error> for Fault {
    fn from(e: vaccel::Error) -> Self {
        Failure::from(e).into()
    }
}

impl From<CompatError> for Fault {
    fn from(e: CompatError) -> Self {
        Self::Refused(Code::InvalidArgument, e.to_string())
    }
}
