//! The parts of a buffer that a client does not have.

use vaccel_wire::changes::{CHUNK, CHUNK_HASH, ResourceChanges};

use super::failure::{Failure, Result};

/// Numbers of the chunks that differ, each a u32, and their bytes one after the other.
///
/// # Errors
/// `EINVAL` when the client's buffer has another size.
pub fn find(bytes: &[u8], theirs: &ResourceChanges<'_>) -> Result<(Vec<u8>, Vec<u8>)> {
    if bytes.len() as u64 != theirs.size {
        return Err(Failure::invalid(format!(
            "the buffer has {} bytes here and {} there",
            bytes.len(),
            theirs.size
        )));
    }
    let (mut numbers, mut changed) = (Vec::new(), Vec::new());
    let hashes = theirs.hashes.chunks_exact(CHUNK_HASH);
    for ((number, chunk), hash) in (0u32..).zip(bytes.chunks(CHUNK)).zip(hashes) {
        if blake3::hash(chunk).as_bytes()[..CHUNK_HASH] != *hash {
            numbers.extend_from_slice(&number.to_le_bytes());
            changed.extend_from_slice(chunk);
        }
    }
    Ok((numbers, changed))
}
