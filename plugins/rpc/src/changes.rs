//! Brings a buffer up to date by the parts of it that differ.

use crate::error;
use crate::session::Session;
use vaccel_plugin::abi::arg::ARG_BUFFER;
use vaccel_plugin::{Error, Result, bail, code};
use vaccel_wire::FrameBuffer;
use vaccel_wire::changes::{CHUNK, CHUNK_HASH};
use vaccel_wire::control::RESOURCE_CHANGES;

/// Smaller buffers are fetched as a whole: that takes no longer.
pub(crate) const SMALLEST: usize = 4 * CHUNK;

/// Fetches what differs from the agent's buffer and writes it to `buffer`; false when the
/// agent does not know how.
pub(crate) fn fetch(session: &Session, number: i64, buffer: &mut [u8]) -> Result<bool> {
    let hashes: Vec<u8> = buffer
        .chunks(CHUNK)
        .flat_map(|chunk| {
            let hash: [u8; 32] = blake3::hash(chunk).into();
            hash.into_iter().take(CHUNK_HASH)
        })
        .collect();
    let mut frames = FrameBuffer::new();
    let mut builder = frames.request(RESOURCE_CHANGES);
    builder
        .read_scalar(number)
        .read_scalar(buffer.len() as u64)
        .read_buffer(&hashes)
        .write_allocate(ARG_BUFFER)
        .write_allocate(ARG_BUFFER);
    let mut frame = builder
        .finish()
        .map_err(|e| Error::new(e.code(), e.to_string()))?;
    let connection = &session.link.connection;
    let mut collect = vaccel_transport::Collect::default();
    if let Err(e) = connection.call(&mut frame, session.number, None, &mut collect) {
        let e = error::call(&e);
        if e.code() == code::ENOTSUP && connection.is_usable() {
            return Ok(false);
        }
        return Err(e);
    }
    let [numbers, bytes] = &collect.outputs[..] else {
        bail!(
            EREMOTEIO,
            "the agent sent {} outputs, not 2",
            collect.outputs.len()
        );
    };
    apply(buffer, numbers, bytes)?;
    Ok(true)
}

/// Writes chunks to their places, if all of them fit; else nothing.
fn apply(buffer: &mut [u8], numbers: &[u8], bytes: &[u8]) -> Result<()> {
    let (numbers, rest) = numbers.as_chunks::<4>();
    let mut places = Vec::with_capacity(numbers.len());
    let (mut end, mut from) = (0, 0_usize);
    for number in numbers {
        let at = (u32::from_le_bytes(*number) as usize).checked_mul(CHUNK);
        let Some(at) = at.filter(|&at| at >= end && at < buffer.len()) else {
            bail!(
                EREMOTEIO,
                "the agent sent changes beyond the buffer or out of order"
            );
        };
        let len = CHUNK.min(buffer.len() - at);
        end = at + len;
        places.push((at, from, len));
        from += len;
    }
    if !rest.is_empty() || from != bytes.len() {
        bail!(
            EREMOTEIO,
            "the agent sent {} bytes of changes, not {from}",
            bytes.len()
        );
    }
    for (at, from, len) in places {
        buffer[at..at + len].copy_from_slice(&bytes[from..from + len]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn numbers(list: &[u32]) -> Vec<u8> {
        list.iter().flat_map(|n| n.to_le_bytes()).collect()
    }

    #[test]
    fn chunks_go_to_their_places_the_short_last_one_too() {
        let mut buffer = vec![0; 2 * CHUNK + 5];
        let bytes = [vec![1; CHUNK], vec![2; 5]].concat();
        apply(&mut buffer, &numbers(&[1, 2]), &bytes).unwrap();
        let expected = [vec![0; CHUNK], vec![1; CHUNK], vec![2; 5]].concat();
        assert!(buffer == expected);
        apply(&mut buffer, &[], &[]).unwrap();
        assert!(buffer == expected);
    }

    #[test]
    fn changes_that_do_not_fit_change_nothing() {
        let mut buffer = vec![0; 2 * CHUNK + 5];
        let chunk = vec![1; CHUNK];
        for (list, bytes) in [
            (&[3][..], &chunk[..]),
            (&[u32::MAX], &chunk),
            (&[1, 1], &[&chunk[..], &chunk].concat()),
            (&[1, 0], &[&chunk[..], &chunk].concat()),
            (&[0], &chunk[1..]),
            (&[2], &chunk),
            (&[], &[1]),
        ] {
            let error = apply(&mut buffer, &numbers(list), bytes).unwrap_err();
            assert_eq!(error.code(), code::EREMOTEIO);
        }
        assert!(apply(&mut buffer, &[0, 0, 0], &[]).is_err());
        assert!(buffer.iter().all(|&byte| byte == 0));
    }
}
