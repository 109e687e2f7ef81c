//! The bodies of frames.

use prost::Message;
use prost::encoding::{DecodeContext, decode_key, skip_field};

use crate::CompatError;

/// The most fields of a message, not counting those of messages within it.
///
/// An empty element takes two bytes to send and a hundred to hold; the limit
/// keeps that from adding up.
pub const MAX_FIELDS: usize = 1 << 16;

/// A call.
#[derive(Clone, PartialEq, Message)]
pub struct Request {
    /// Full name of the service.
    #[prost(string, tag = "1")]
    pub service: String,
    /// Name of the method.
    #[prost(string, tag = "2")]
    pub method: String,
    /// What the method takes, encoded.
    #[prost(bytes = "vec", tag = "3")]
    pub payload: Vec<u8>,
    /// Nanoseconds that the call may take; 0 for no limit.
    #[prost(int64, tag = "4")]
    pub timeout_nano: i64,
    /// Remarks; existing clients send none.
    #[prost(message, repeated, tag = "5")]
    pub metadata: Vec<KeyValue>,
}

/// A remark on a call.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct KeyValue {
    /// Its name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its text.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// The answer to a call.
#[derive(Clone, PartialEq, Message)]
pub struct Response {
    /// Absent or of code 0 for success.
    #[prost(message, optional, tag = "1")]
    pub status: Option<Status>,
    /// What the method gives, encoded.
    #[prost(bytes = "vec", tag = "2")]
    pub payload: Vec<u8>,
}

/// How a call ended.
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    /// One of [`Code`](crate::Code).
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// What went wrong.
    #[prost(string, tag = "2")]
    pub message: String,
    /// The error itself, encoded.
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// A message with the name of its type.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Any {
    /// The type.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The message, encoded.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// Reads a message.
///
/// # Errors
/// [`CompatError::Fields`] for more than [`MAX_FIELDS`] fields;
/// [`CompatError::Message`] for bytes that are not such a message.
pub fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, CompatError> {
    let mut rest = bytes;
    let mut fields = 0;
    while !rest.is_empty() {
        fields += 1;
        if fields > MAX_FIELDS {
            return Err(CompatError::Fields { limit: MAX_FIELDS });
        }
        let (tag, wire_type) = decode_key(&mut rest)?;
        skip_field(wire_type, tag, &mut rest, DecodeContext::default())?;
    }
    Ok(M::decode(bytes)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::message::{Arg, GenopRequest};

    #[test]
    fn a_request_has_the_bytes_of_the_protocol() {
        let request = Request {
            service: "s".into(),
            method: "m".into(),
            payload: vec![8, 7],
            timeout_nano: 300,
            metadata: Vec::new(),
        };
        let bytes = b"\x0a\x01s\x12\x01m\x1a\x02\x08\x07\x20\xac\x02";
        assert_eq!(request.encode_to_vec(), bytes);
        assert_eq!(decode::<Request>(bytes).unwrap(), request);
    }

    #[test]
    fn what_is_cut_short_or_of_the_wrong_type_is_an_error() {
        let bytes = b"\x0a\x01s\x12\x01m\x1a\x02\x08\x07";
        for len in [1, 2, 4, 5, 7, 8, 9] {
            assert!(decode::<Request>(&bytes[..len]).is_err(), "{len} bytes");
        }
        // A number where the service's name should be, an end of a group without
        // a beginning, a text that is not UTF-8, a length beyond the end.
        for bytes in [
            &b"\x08\x01"[..],
            b"\x0c",
            b"\x0a\x01\xff",
            b"\x1a\xff\xff\xff\xff\x0f",
        ] {
            assert!(decode::<Request>(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn groups_within_groups_do_not_overflow_the_stack() {
        assert!(decode::<Request>(&[0x3b; 1 << 20]).is_err());
    }

    #[test]
    fn more_elements_than_are_taken_are_refused_unread() {
        let mut request = GenopRequest {
            read_args: vec![Arg::default(); MAX_FIELDS],
            ..GenopRequest::default()
        };
        assert!(decode::<GenopRequest>(&request.encode_to_vec()).is_ok());
        request.read_args.push(Arg::default());
        let error = decode::<GenopRequest>(&request.encode_to_vec()).unwrap_err();
        assert_eq!(error, CompatError::Fields { limit: MAX_FIELDS });
    }

    #[test]
    fn no_bytes_make_the_reading_panic() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut read = 0_u32;
        for _ in 0..20_000 {
            let mut bytes = [0; 24];
            for byte in &mut bytes {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                *byte = state.to_le_bytes()[0] & 0x3f;
            }
            read += u32::from(decode::<GenopRequest>(&bytes).is_ok());
            read += u32::from(decode::<Response>(&bytes).is_ok());
        }
        assert!(read < 40_000, "random bytes are seldom messages");
    }
}
