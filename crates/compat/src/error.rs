//! What can be wrong with what the other side sent.

use thiserror::Error;

/// Why bytes are not a frame or a message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CompatError {
    /// A message is longer than is taken.
    #[error("the message has {size} bytes; at most {limit} are taken")]
    TooLarge {
        /// Bytes of the message.
        size: u64,
        /// The most bytes of a message.
        limit: u32,
    },
    /// A frame is of a type that does not exist.
    #[error("frames have type 1 (request), 2 (response) or 3 (data), not {0}")]
    Kind(u8),
    /// A request has a stream id that a client must not use.
    #[error("a request must have an odd stream id above {previous}, not {id}")]
    Stream {
        /// Id of the request.
        id: u32,
        /// The greatest id so far, 0 before the first.
        previous: u32,
    },
    /// There is no memory for a message.
    #[error("there is no memory for a message of {0} bytes")]
    NoMemory(u64),
    /// A message has more fields than are taken.
    #[error("the message has more than {limit} fields")]
    Fields {
        /// The most fields of a message.
        limit: usize,
    },
    /// A tensor has more dimensions than are taken.
    #[error("a tensor has more than {limit} dimensions")]
    Rank {
        /// The most dimensions of a tensor.
        limit: usize,
    },
    /// A body is not the protobuf message it should be.
    #[error("the message cannot be read: {0}")]
    Message(String),
}

impl From<prost::DecodeError> for CompatError {
    fn from(error: prost::DecodeError) -> Self {
        Self::Message(error.to_string())
    }
}
