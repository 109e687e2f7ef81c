//! The bodies of frames.

use prost::Message;
use prost::bytes::Bytes;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::CompatError;

/// The most fields of a message, not counting those of messages within it.
///
/// An empty element takes two bytes to send and a hundred to hold; the limit
/// keeps that from adding up.
pub const MAX_FIELDS: usize = 1 << 16;

/// The most dimensions of a tensor.
pub const MAX_RANK: usize = 8;

/// Field of a tensor's dimensions, in messages of all frameworks.
const TENSOR_DIMS: u32 = 2;

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
    #[prost(bytes = "bytes", tag = "3")]
    pub payload: Bytes,
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
    #[prost(bytes = "bytes", tag = "2")]
    pub payload: Bytes,
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
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// Reads a message; its bytes are shared, not copied.
///
/// # Errors
/// [`CompatError::Fields`] for more than [`MAX_FIELDS`] fields;
/// [`CompatError::Message`] for bytes that are not such a message.
pub fn decode<M: Message + Default>(bytes: impl Into<Bytes>) -> Result<M, CompatError> {
    let bytes = bytes.into();
    let mut fields = 0;
    for_each_field(&bytes, &mut fields, |_, _| Ok(()))?;
    Ok(M::decode(bytes)?)
}

/// As [`decode`], for messages that have tensors in their field `tensors`.
///
/// A shape takes a byte for a dimension and eight to hold it; so its length is
/// checked before it is read.
///
/// # Errors
/// As [`decode`], also for fields of tensors; [`CompatError::Rank`] for more than
/// [`MAX_RANK`] dimensions.
pub fn decode_with_tensors<M: Message + Default>(
    bytes: impl Into<Bytes>,
    tensors: u32,
) -> Result<M, CompatError> {
    let bytes = bytes.into();
    let mut all = 0;
    let mut inner = 0;
    for_each_field(&bytes, &mut all, |tag, tensor| {
        let Some(tensor) = tensor.filter(|_| tag == tensors) else {
            return Ok(());
        };
        let mut dims = 0;
        for_each_field(tensor, &mut inner, |tag, packed| {
            if tag == TENSOR_DIMS {
                // Each number ends with a byte below 128.
                dims += packed.map_or(1, |p| p.iter().filter(|&&b| b < 0x80).count());
            }
            if dims > MAX_RANK {
                return Err(CompatError::Rank { limit: MAX_RANK });
            }
            Ok(())
        })
    })?;
    Ok(M::decode(bytes)?)
}

/// Walks over the fields of a message: tag, and bytes of what has a length.
fn for_each_field(
    bytes: &[u8],
    fields: &mut usize,
    mut look: impl FnMut(u32, Option<&[u8]>) -> Result<(), CompatError>,
) -> Result<(), CompatError> {
    let mut rest = bytes;
    while !rest.is_empty() {
        *fields += 1;
        if *fields > MAX_FIELDS {
            return Err(CompatError::Fields { limit: MAX_FIELDS });
        }
        let (tag, wire_type) = decode_key(&mut rest)?;
        let mut inner = rest;
        skip_field(wire_type, tag, &mut rest, DecodeContext::default())?;
        if wire_type == WireType::LengthDelimited {
            // It has just been skipped, so that it is there.
            let len = decode_varint(&mut inner)?;
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            look(tag, inner.get(..len))?;
        } else {
            look(tag, None)?;
        }
    }
    Ok(())
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
            payload: vec![8, 7].into(),
            timeout_nano: 300,
            metadata: Vec::new(),
        };
        let bytes = b"\x0a\x01s\x12\x01m\x1a\x02\x08\x07\x20\xac\x02";
        assert_eq!(request.encode_to_vec(), bytes);
        assert_eq!(decode::<Request>(&bytes[..]).unwrap(), request);
    }

    #[test]
    fn what_is_cut_short_or_of_the_wrong_type_is_an_error() {
        let bytes = b"\x0a\x01s\x12\x01m\x1a\x02\x08\x07";
        for len in [1, 2, 4, 5, 7, 8, 9] {
            assert!(
                decode::<Request>(bytes[..len].to_vec()).is_err(),
                "{len} bytes"
            );
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
        assert!(decode::<Request>(vec![0x3b; 1 << 20]).is_err());
    }

    #[test]
    fn more_elements_than_are_taken_are_refused_unread() {
        let mut request = GenopRequest {
            read_args: vec![Arg::default(); MAX_FIELDS],
            ..GenopRequest::default()
        };
        assert!(decode::<GenopRequest>(request.encode_to_vec()).is_ok());
        request.read_args.push(Arg::default());
        let error = decode::<GenopRequest>(request.encode_to_vec()).unwrap_err();
        assert_eq!(error, CompatError::Fields { limit: MAX_FIELDS });
    }

    #[test]
    fn a_shape_with_too_many_dimensions_is_refused_unread() {
        use crate::message::{Tensor, TorchModelRunRequest};
        let request = |dims: Vec<i64>| TorchModelRunRequest {
            in_tensors: vec![Tensor {
                dims,
                ..Tensor::default()
            }],
            ..TorchModelRunRequest::default()
        };
        let decode = |bytes: Vec<u8>| decode_with_tensors::<TorchModelRunRequest>(bytes, 4);
        assert!(decode(request(vec![-1; MAX_RANK]).encode_to_vec()).is_ok());
        let error = decode(request(vec![1; MAX_RANK + 1]).encode_to_vec()).unwrap_err();
        assert_eq!(error, CompatError::Rank { limit: MAX_RANK });
        // The same with each number in a field of its own.
        let apart = [&[0x22, 18][..], &[0x10, 1].repeat(9)].concat();
        assert_eq!(decode(apart), Err(CompatError::Rank { limit: MAX_RANK }));
        assert!(decode(vec![0x22, 2, 0x10]).is_err());
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
            read += u32::from(decode::<GenopRequest>(bytes.to_vec()).is_ok());
            read += u32::from(decode::<Response>(bytes.to_vec()).is_ok());
        }
        assert!(read < 40_000, "random bytes are seldom messages");
    }
}
