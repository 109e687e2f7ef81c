//! Which parts of a buffer differ: the arguments of [`RESOURCE_CHANGES`](crate::control::RESOURCE_CHANGES).

use crate::{ArgReader, Args, WireError};

/// Bytes of a chunk; the last one may have fewer.
pub const CHUNK: usize = 64 << 10;

/// Bytes that are sent of the BLAKE3 hash of a chunk.
pub const CHUNK_HASH: usize = 16;

/// What a client has of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceChanges<'p> {
    /// The resource.
    pub resource: i64,
    /// Bytes of the buffer.
    pub size: u64,
    /// Of each chunk, the first [`CHUNK_HASH`] bytes of its hash.
    pub hashes: &'p [u8],
}

impl<'p> ResourceChanges<'p> {
    /// Checks the arguments: there is one hash for each chunk.
    ///
    /// # Errors
    /// Says which argument is wrong.
    pub fn decode(args: &Args<'_>, payload: &'p [u8]) -> Result<Self, WireError> {
        let mut read = ArgReader::new(args.reads(), payload);
        let changes = Self {
            resource: read.scalar()?,
            size: read.scalar()?,
            hashes: read.buffer()?,
        };
        read.finish()?;
        let chunks = changes.size.div_ceil(CHUNK as u64);
        if chunks.checked_mul(CHUNK_HASH as u64) != Some(changes.hashes.len() as u64) {
            return Err(WireError::field(
                "a buffer",
                "length of the hashes",
                changes.hashes.len() as u64,
            ));
        }
        Ok(changes)
    }
}
