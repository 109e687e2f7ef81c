//! Large replies go out in pieces, so that small frames need not wait for all of them.

use super::{Bytes, FrameWriter, Gate, lose};
use crate::error::SendError;
use crate::pieces::PIECE;
use std::io;
use std::ops::Range;
use std::sync::MutexGuard;
use std::time::Instant;
use vaccel_wire::{Frame, HEADER_LEN, Header, Kind};

const STOPPED: &str = "the peer stopped taking bytes in the middle of a reply";

/// Some bytes of a frame behind a header of their own, or behind nothing.
struct Part<'p> {
    header: &'p [u8],
    frame: &'p Frame<'p, 'p>,
    /// Of the frame's bytes.
    range: Range<usize>,
}

impl Bytes for Part<'_> {
    fn len(&self) -> usize {
        self.header.len() + self.range.len()
    }

    fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let mut at = 0;
        let rest = self.frame.slices().filter_map(move |slice| {
            let begin = at;
            at += slice.len();
            let from = self.range.start.max(begin);
            let to = self.range.end.min(at);
            (from < to).then(|| &slice[from - begin..to - begin])
        });
        std::iter::once(self.header).chain(rest)
    }
}

/// The right to have a reply of so many bytes open.
pub(super) struct Pass<'w> {
    writer: &'w FrameWriter,
    bytes: u64,
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.writer.lock().in_pieces -= self.bytes;
    }
}

impl FrameWriter {
    /// Whether a frame goes out in pieces: it must be a large reply, the peer must take
    /// them, and there must be room beside those that are open already.
    pub(super) fn pass_for_pieces(&self, frame: &Frame<'_, '_>) -> Option<Pass<'_>> {
        let most = self.pieces?;
        let bytes = frame.frame_len() - frame.head_len();
        let is_reply = frame.header()[0] == Kind::Reply as u8;
        if !is_reply || bytes <= PIECE as u64 || self.ring.is_some() {
            return None;
        }
        let mut gate = self.lock();
        if bytes > most.saturating_sub(gate.in_pieces) {
            return None;
        }
        gate.in_pieces += bytes;
        drop(gate);
        Some(Pass {
            writer: self,
            bytes,
        })
    }

    /// Sends a reply in pieces. Between two of them whoever waits has its turn.
    pub(super) fn send_in_pieces(
        &self,
        frame: &Frame<'_, '_>,
        deadline: Option<Instant>,
        _pass: Pass<'_>,
    ) -> Result<(), SendError> {
        let wait = &mut |left| self.wait_for_room(left);
        let mut header = [0; HEADER_LEN];
        header.copy_from_slice(frame.header());
        header[0] = Kind::ReplyInPieces as u8;
        let (Ok(head), all) = (usize::try_from(frame.head_len()), frame.len()) else {
            return Err(self.broken("a head larger than memory"));
        };
        let first = Part {
            header: &header,
            frame,
            range: HEADER_LEN..head,
        };
        let gate = self.enter(deadline)?;
        match self.send_through(gate, &first, deadline, wait) {
            Err(SendError::TimedOut { begun: true }) => return Err(self.broken(STOPPED)),
            sent => sent?,
        }
        let mut piece = Header::bare(Kind::Piece, 0, frame.request(), 0);
        let mut from = head;
        while from < all {
            let to = all.min(from + PIECE);
            piece.payload_len = (to - from) as u64;
            let part = Part {
                header: &piece.encode(),
                frame,
                range: from..to,
            };
            let sent = self
                .enter_between(deadline)
                .and_then(|gate| self.send_through(gate, &part, deadline, wait));
            match sent {
                Ok(()) => from = to,
                // Without the rest, nobody can make anything of what has gone out.
                Err(SendError::TimedOut { .. }) => return Err(self.broken(STOPPED)),
                Err(lost) => return Err(lost),
            }
        }
        Ok(())
    }

    /// Waits for the next piece's turn: after those who wait now, so that neither small
    /// frames nor other replies have to wait for more than one piece each.
    fn enter_between(&self, deadline: Option<Instant>) -> Result<MutexGuard<'_, Gate>, SendError> {
        let mut gate = self.lock();
        let until = gate.passed + u64::from(gate.waiting.saturating_sub(gate.between));
        gate.between += 1;
        let entered = self.enter_when(gate, deadline, |gate| {
            // Itself does not wait while it asks.
            gate.waiting < gate.between || gate.passed >= until
        });
        match entered {
            Ok(mut gate) => {
                gate.between -= 1;
                Ok(gate)
            }
            Err(error) => {
                self.lock().between -= 1;
                Err(error)
            }
        }
    }

    fn broken(&self, reason: &str) -> SendError {
        lose(&self.stream, &mut self.lock(), &io::Error::other(reason))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{FrameReader, Stream};
    use std::sync::Arc;
    use std::time::Duration;
    use vaccel_wire::{FrameBuffer, Limits};

    /// Waits until so many threads wait for their turn.
    fn until_waiting(writer: &FrameWriter, count: u32) {
        let end = Instant::now() + Duration::from_secs(20);
        while writer.lock().waiting < count {
            assert!(Instant::now() < end, "nobody waits");
            std::thread::yield_now();
        }
    }

    #[test]
    fn who_waits_goes_next_and_not_after_all_pieces() {
        let (ours, theirs) = Stream::pair().unwrap();
        let writer = FrameWriter::new(Arc::new(ours)).in_pieces(1 << 30);
        let large = vec![7_u8; 8 << 20];
        let header = |number| Header::bare(Kind::Request, 1, number, 0);
        std::thread::scope(|scope| {
            for number in [1, 2] {
                let (writer, large) = (&writer, &large);
                scope.spawn(move || {
                    let mut buffer = FrameBuffer::new();
                    let mut builder = buffer.reply(&header(number));
                    builder.write_bytes(28, 0, large);
                    writer.send(&builder.finish().unwrap(), None).unwrap();
                });
            }
            // Nobody reads: one is in the middle of a piece, the other waits.
            until_waiting(&writer, 1);
            for number in 3..10 {
                let writer = &writer;
                scope.spawn(move || {
                    let mut buffer = FrameBuffer::new();
                    let frame = buffer.error_reply(&header(number), 5, "small");
                    writer.send(&frame, None).unwrap();
                });
                until_waiting(writer, u32::try_from(number).unwrap() - 1);
            }
            // They come after what is on its way and at most one piece of each other reply.
            let mut reader = FrameReader::new(Limits {
                pieces: true,
                ..Limits::default()
            });
            let mut stream = &theirs;
            let mut order = Vec::new();
            while order
                .iter()
                .filter(|&&(kind, _)| kind == Kind::Piece)
                .count()
                < 64
            {
                let header = reader.head(&mut stream).unwrap();
                match header.kind {
                    Kind::ReplyInPieces => reader.take_in_pieces().unwrap(),
                    _ => drop(reader.receive(&mut stream).unwrap()),
                }
                order.push((header.kind, header.request));
            }
            let last_small = order.iter().rposition(|&(kind, _)| kind == Kind::Reply);
            let before = &order[..last_small.unwrap()];
            let pieces = before
                .iter()
                .filter(|(kind, _)| *kind == Kind::Piece)
                .count();
            assert!(pieces <= 4, "{order:?}");
            let first_is_done = order.iter().position(|&o| o == (Kind::ReplyInPieces, 2));
            assert!(
                first_is_done.is_some_and(|at| at < 20),
                "replies take turns: {order:?}"
            );
        });
        assert_eq!(writer.lock().in_pieces, 0);
    }
}
