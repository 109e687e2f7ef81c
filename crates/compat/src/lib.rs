//! Messages and codec of the ttrpc protocol that clients of the C implementation speak.
//!
//! The crate does no I/O and has no unsafe code: bytes in, messages out, and back.
//!
//! * [`Header`] begins every frame; [`FrameDecoder`] takes bytes as they arrive and
//!   never holds more memory than about twice what the other side has sent.
//! * [`Request`] and [`Response`] are the bodies of frames; [`Method::find`] says
//!   what a request asks for, and [`message`] has what each method takes and gives.
//! * [`Failure`] is an error as these clients read it.
//! * [`decode`] reads a body and says what is wrong with it.
//!
//! ```
//! use vaccel_compat::{FrameDecoder, Kind, Request, decode, encode_frame};
//!
//! let request = Request {
//!     service: "vaccel.sync.agent.AgentService".into(),
//!     method: "CreateSession".into(),
//!     ..Request::default()
//! };
//! let bytes = encode_frame(Kind::Request, 1, 0, &request)?;
//!
//! let mut decoder = FrameDecoder::default();
//! let mut rest = &bytes[..];
//! let frame = decoder.take(&mut rest)?.expect("all of the frame was there");
//! assert_eq!(decode::<Request>(frame.body)?, request);
//! # Ok::<(), vaccel_compat::CompatError>(())
//! ```
#![forbid(unsafe_code)]

mod dtype;
mod error;
mod failure;
mod frame;
pub mod message;
mod method;
mod rpc;

pub use dtype::{tflite_from_wire, tflite_to_wire};
pub use error::CompatError;
pub use failure::{Code, ErrorKind, Failure, FrameworkStatus, PROTO_ERROR, ProtoError};
pub use frame::{
    DEFAULT_MAX_MESSAGE, FLAG_NO_DATA, FLAG_REMOTE_CLOSED, FLAG_REMOTE_OPEN, Frame, FrameDecoder,
    HEADER_LEN, Header, Kind, check_new_stream, encode_frame,
};
pub use method::{ASYNC_SERVICE, Method, SYNC_SERVICE, Service};
pub use prost::Message;
pub use prost::bytes::Bytes;
pub use rpc::{
    Any, KeyValue, MAX_FIELDS, MAX_RANK, Request, Response, Status, decode, decode_with_tensors,
};
