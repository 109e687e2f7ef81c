//! What an agent says when it gives a connection up: why all that is in flight is lost.

use super::Connection;
use crate::error::ReadError;
use crate::reader::FrameReader;
use crate::second;
use crate::timed::Source;
use std::time::Duration;
use vaccel_wire::{Args, HEADER_LEN, Header, Kind, LAST_WORDS, Limits};

/// How long an agent may take to say why a worker has hung up.
const PATIENCE: Duration = Duration::from_millis(250);

/// What last words that come beside a ring are held to: a message of 4 KiB and what is around it.
const LIMITS: Limits = Limits {
    frame: 8 << 10,
    meta: 1 << 10,
    outputs: 0,
    shared: false,
    pieces: false,
};

/// True for the frame by which an agent gives a connection up.
pub(super) fn is_last(header: &Header) -> bool {
    header.kind == Kind::Reply && header.request == LAST_WORDS && header.status() != 0
}

impl Connection {
    /// Reads the last words that the reader has announced, and says that nothing comes after
    /// them.
    pub(super) fn part<S: Source>(&self, frames: &mut FrameReader, source: &mut S) -> ReadError {
        let message = match frames.receive(source) {
            Ok(message) => message,
            Err(error) => return error,
        };
        if let Ok(args) = Args::decode(&message.header, message.meta(), &LIMITS) {
            // Those who find the end of the stream say what was said first.
            let _ = self.parting.set(args.message(message.payload()));
        }
        ReadError::Closed
    }

    /// Why the agent has hung up, where it said so.
    pub(super) fn parting(&self, frames: &FrameReader) -> Option<String> {
        let said = self.parting.get().cloned();
        said.or_else(|| words_of(&frames.words_beside()))
            .or_else(|| words_of(&second::words(self.writer.stream(), PATIENCE)))
            .filter(|words| !words.is_empty())
    }
}

/// The message of last words that came where no other frame does.
fn words_of(bytes: &[u8]) -> Option<String> {
    let (head, rest) = bytes.split_first_chunk::<HEADER_LEN>()?;
    let header = Header::decode(head).ok().filter(is_last)?;
    header.check(&LIMITS).ok()?;
    let (meta, rest) = rest.split_at_checked(usize::try_from(header.meta_len).ok()?)?;
    let payload = rest.get(..usize::try_from(header.payload_len).ok()?)?;
    let args = Args::decode(&header, meta, &LIMITS).ok()?;
    Some(args.message(payload))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use vaccel_wire::FrameBuffer;

    #[test]
    fn last_words_beside_a_ring_are_read_when_they_are_whole_and_never_else() {
        let mut buffer = FrameBuffer::new();
        let frame = buffer.last_words(121, "the worker was killed");
        let bytes: Vec<u8> = frame.slices().flatten().copied().collect();
        assert_eq!(words_of(&bytes).unwrap(), "the worker was killed");
        for cut in 0..bytes.len() {
            assert_eq!(words_of(&bytes[..cut]), None, "{cut}");
        }
        for at in 0..bytes.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut other = bytes.clone();
                other[at] = byte;
                // Anything but a fault of this side.
                let _ = words_of(&other);
            }
        }
    }
}
