//! Errors as clients of the C implementation read them.

use prost::Message;
use prost::bytes::Bytes;

use crate::{Any, Response, Status};

/// Type of [`ProtoError`] in the details of a status.
pub const PROTO_ERROR: &str = "type.googleapis.com/vaccel.ProtoError";

/// Codes of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Success.
    Ok = 0,
    /// The caller does not want the answer any more.
    Cancelled = 1,
    /// The request cannot be read.
    InvalidArgument = 3,
    /// The call took longer than it may.
    DeadlineExceeded = 4,
    /// The request is larger than is taken.
    ResourceExhausted = 8,
    /// There is no such service or method.
    NotFound = 5,
    /// The same, from newer servers.
    Unimplemented = 12,
    /// The call failed; the details say how.
    Internal = 13,
    /// The server does not serve now.
    Unavailable = 14,
}

/// What kind of error a [`ProtoError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ErrorKind {
    /// The library failed, with an error number.
    Ffi = 0,
    /// The library failed, with an error number and a framework's status.
    FfiWithStatus = 1,
    /// An argument is wrong.
    InvalidArgument = 2,
    /// Something is used before it was made.
    Uninitialized = 3,
    /// A number or a size is out of its range.
    OutOfBounds = 4,
    /// Something that must be there is not.
    EmptyValue = 5,
    /// A value cannot be converted.
    ConversionFailed = 6,
}

/// Status of TensorFlow and TensorFlow Lite.
#[derive(Clone, PartialEq, Message)]
pub struct FrameworkStatus {
    /// 0 for success.
    #[prost(uint32, tag = "3")]
    pub code: u32,
    /// What went wrong.
    #[prost(string, tag = "4")]
    pub message: String,
}

/// The error in the details of a status.
#[derive(Clone, PartialEq, Message)]
pub struct ProtoError {
    /// One of [`ErrorKind`].
    #[prost(enumeration = "ErrorKind", tag = "1")]
    pub r#type: i32,
    /// The error number.
    #[prost(uint32, optional, tag = "2")]
    pub ffi_error: Option<u32>,
    /// The framework's status.
    #[prost(message, optional, tag = "3")]
    pub status: Option<FrameworkStatus>,
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// What went wrong.
    pub message: String,
    /// The same for programs.
    pub error: ProtoError,
}

impl Failure {
    /// A failure of the library with an error number.
    #[must_use]
    pub fn ffi(errno: u32, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            error: ProtoError {
                r#type: ErrorKind::Ffi as i32,
                ffi_error: Some(errno),
                status: None,
            },
        }
    }

    /// A failure without an error number.
    #[must_use]
    pub fn of_kind(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            error: ProtoError {
                r#type: kind as i32,
                ffi_error: None,
                status: None,
            },
        }
    }

    /// The answer that says so.
    #[must_use]
    pub fn into_response(self) -> Response {
        let details = vec![Any {
            type_url: PROTO_ERROR.to_owned(),
            value: self.error.encode_to_vec().into(),
        }];
        Response {
            status: Some(Status {
                code: Code::Internal as i32,
                message: self.message,
                details,
            }),
            payload: Bytes::new(),
        }
    }

    /// The failure in a status; `None` when it has no [`ProtoError`] that can be read.
    #[must_use]
    pub fn from_status(status: &Status) -> Option<Self> {
        let detail = status.details.iter().find(|d| d.type_url == PROTO_ERROR)?;
        Some(Self {
            message: status.message.clone(),
            error: crate::decode(detail.value.clone()).ok()?,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_error_number_has_the_bytes_of_the_protocol() {
        let status = Failure::ffi(22, "no").into_response().status.unwrap();
        assert_eq!(status.code, 13);
        // The kind is 0 and takes no bytes.
        assert_eq!(&status.details[0].value[..], [0x10, 22]);
        let failure = Failure::of_kind(ErrorKind::EmptyValue, "no");
        assert_eq!(failure.error.encode_to_vec(), [8, 5]);
    }

    #[test]
    fn a_failure_comes_back_as_it_was() {
        let failure = Failure {
            message: "it does not run".into(),
            error: ProtoError {
                r#type: ErrorKind::FfiWithStatus as i32,
                ffi_error: Some(5),
                status: Some(FrameworkStatus {
                    code: 3,
                    message: "shapes differ".into(),
                }),
            },
        };
        let bytes = failure.clone().into_response().encode_to_vec();
        let response: Response = crate::decode(bytes).unwrap();
        let got = Failure::from_status(&response.status.unwrap());
        assert_eq!(got, Some(failure));
    }

    #[test]
    fn a_status_without_a_readable_error_is_none() {
        let mut status = Failure::ffi(22, "no").into_response().status.unwrap();
        status.details[0].value = vec![0xff].into();
        assert_eq!(Failure::from_status(&status), None);
        status.details.clear();
        assert_eq!(Failure::from_status(&status), None);
    }
}
