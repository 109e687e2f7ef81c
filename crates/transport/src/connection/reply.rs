//! A reply on its way to its caller: checked against the request, then
//! delivered.

use super::Connection;
use crate::error::{CallError, ReadError};
use crate::outputs::{Outputs, PlaceError, checked, deliver};
use crate::reader::{FrameReader, advance};
use crate::sys::Piece;
use crate::timed::Source;
use std::sync::Arc;
use vaccel_wire::{Args, Header, Kind, Limits, WireError};

/// What the answer to a request must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) kind: Kind,
    pub(super) nr_write: u16,
}
impl Connection {
    fn misfit(&self, text: impl Into<String>) -> CallError {
        CallError::Reply(Arc::clone(&self.address), text.into())
    }

    fn no_place(&self, error: PlaceError) -> CallError {
        match error {
            PlaceError::Misfit(text) => self.misfit(text),
            PlaceError::NoMemory(bytes) => CallError::NoMemory(bytes),
        }
    }

    /// Takes the leader's own reply, which comes in pieces; what comes between them goes
    /// to whom it concerns. The outer error is one of reading.
    fn take_in_pieces<S: Source>(
        &self,
        header: Header,
        expected: Expected,
        frames: &mut FrameReader,
        source: &mut S,
        outputs: &mut dyn Outputs,
    ) -> Result<Result<(), CallError>, ReadError> {
        let header = Header {
            kind: Kind::Reply,
            ..header
        };
        let pieces = Args::decode(&header, frames.meta(), frames.limits())
            .map_err(|e| self.misfit(e.to_string()))
            .and_then(|args| self.pieces(&header, &args, expected, outputs));
        let (mut pieces, _gap) = match pieces {
            Ok(pieces) => pieces,
            Err(error) => {
                frames.skip();
                return Ok(Err(error));
            }
        };
        frames.take_in_pieces()?;
        // SAFETY: each piece is the memory of an output, which whoever made it vouches
        // for, or the gap, which lives until here.
        let outcome = unsafe { self.fill(&header, &mut pieces, frames, source) };
        if outcome.is_err() {
            frames.forget(header.request);
            // The reader drops the rest of the reply: it has come.
            self.leave(header.request);
        }
        outcome.map(Ok)
    }

    /// Fills memory with the payload of a reply, piece by piece.
    ///
    /// # Safety
    /// The memory must be valid for writes.
    unsafe fn fill<S: Source>(
        &self,
        header: &Header,
        mut memory: &mut [Piece],
        frames: &mut FrameReader,
        source: &mut S,
    ) -> Result<(), ReadError> {
        let mut left = header.payload_len;
        let mut parts = Vec::new();
        while left > 0 {
            let next = self.next(frames, source, Some(header.request))?;
            if next.request != header.request {
                continue;
            }
            if next.kind != Kind::Piece {
                return Err(ReadError::Frame {
                    header: Some(next),
                    error: WireError::Field {
                        message: "a frame between the pieces of a reply",
                        field: "number of the request",
                        value: next.request,
                    },
                });
            }
            // The reader has seen to it that it is no longer than what is left.
            let mut wanted = next.payload_len as usize;
            left -= next.payload_len;
            parts.clear();
            for piece in &*memory {
                let iov_len = piece.iov_len.min(wanted);
                wanted -= iov_len;
                parts.push(Piece { iov_len, ..*piece });
                if wanted == 0 {
                    break;
                }
            }
            // SAFETY: parts of the memory that the caller vouches for.
            unsafe { frames.scatter(source, &mut parts)? };
            memory = advance(memory, next.payload_len as usize);
        }
        Ok(())
    }

    /// Takes the leader's own reply. The outer error is one of reading.
    pub(super) fn take<S: Source>(
        &self,
        header: Header,
        expected: Expected,
        frames: &mut FrameReader,
        source: &mut S,
        outputs: &mut dyn Outputs,
    ) -> Result<Result<(), CallError>, ReadError> {
        if header.kind == Kind::ReplyInPieces {
            if !frames.is_gathering() && header.status() == 0 && expected.kind == Kind::Reply {
                return self.take_in_pieces(header, expected, frames, source, outputs);
            }
            frames.gather()?;
            let complete = loop {
                let next = self.next(frames, source, Some(header.request))?;
                if next.request == header.request {
                    break next;
                }
            };
            return self.take(complete, expected, frames, source, outputs);
        }
        if let Some(payload) = frames.payload() {
            let result = self.deliver(&header, frames.meta(), payload, expected, outputs);
            frames.skip();
            return Ok(result);
        }
        if frames.is_gathering() || header.status() != 0 || header.kind != expected.kind {
            let message = frames.receive(source)?;
            let (meta, payload) = (message.meta(), message.payload());
            return Ok(self.deliver(&header, meta, payload, expected, outputs));
        }
        let pieces = Args::decode(&header, frames.meta(), frames.limits())
            .map_err(|e| self.misfit(e.to_string()))
            .and_then(|args| self.pieces(&header, &args, expected, outputs));
        match pieces {
            Ok((mut pieces, _gap)) => {
                // SAFETY: each piece is the memory of an output, which whoever
                // made it vouches for, or the gap, which lives until here.
                let outcome = unsafe { frames.scatter(source, &mut pieces) };
                if outcome.is_err() {
                    // The reader drops the rest of the reply: it has come.
                    self.leave(header.request);
                }
                outcome.map(Ok)
            }
            Err(error) => {
                frames.skip();
                Ok(Err(error))
            }
        }
    }

    /// The memory that the payload of a reply goes to, gaps included.
    fn pieces(
        &self,
        header: &Header,
        args: &Args<'_>,
        expected: Expected,
        outputs: &mut dyn Outputs,
    ) -> Result<(Vec<Piece>, Box<[u8; 64]>), CallError> {
        self.check(header, expected)?;
        // Gaps are dropped here; writing them one over the other does no harm.
        let mut gap = Box::new([0; 64]);
        let mut pieces = Vec::with_capacity(2 * args.writes().len());
        let mut end = 0;
        let mut add = |at: *mut u8, len: usize| {
            if len > 0 {
                pieces.push(Piece {
                    iov_base: at.cast(),
                    iov_len: len,
                });
            }
        };
        // A successful reply has no read arguments that anybody wants, but their
        // bytes come first.
        for arg in args.reads() {
            if arg.size > 0 && arg.has_data() {
                return Err(self.misfit("a successful reply has read arguments"));
            }
        }
        for arg in args.writes() {
            let to = checked(&arg, outputs).map_err(|e| self.no_place(e))?;
            if !arg.range.is_empty() {
                add(gap.as_mut_ptr(), arg.range.start - end);
                add(to.at, arg.range.len());
                end = arg.range.end;
            }
        }
        Ok((pieces, gap))
    }

    fn check(&self, header: &Header, expected: Expected) -> Result<(), CallError> {
        if header.nr_write == expected.nr_write {
            return Ok(());
        }
        Err(self.misfit(format!(
            "it has {} outputs, and {} were asked for",
            header.nr_write, expected.nr_write
        )))
    }

    /// Hands a complete reply to its caller.
    pub(super) fn deliver(
        &self,
        header: &Header,
        meta: &[u8],
        payload: &[u8],
        expected: Expected,
        outputs: &mut dyn Outputs,
    ) -> Result<(), CallError> {
        if header.kind != expected.kind {
            return Err(self.misfit("a sign of life was mixed up with a reply"));
        }
        if header.kind == Kind::Pong {
            return Ok(());
        }
        let mut limits = Limits::for_frame(u64::MAX);
        limits.shared = self.arena().is_some();
        let args = Args::decode(header, meta, &limits).map_err(|e| self.misfit(e.to_string()))?;
        let status = header.status();
        if status != 0 {
            let message = args.message(payload);
            // None is usual; another number is nothing to learn from.
            if header.nr_write == expected.nr_write {
                outputs.failed(status, &args, payload);
            }
            return Err(CallError::Remote {
                // Negative numbers are nobody's error codes.
                status: if status > 0 {
                    status
                } else {
                    vaccel_abi::error::EREMOTEIO
                },
                message: if message.is_empty() {
                    vaccel_abi::error::describe(status).to_owned()
                } else {
                    message
                },
            });
        }
        self.check(header, expected)?;
        deliver(&args, payload, outputs).map_err(|e| self.no_place(e))
    }
}
