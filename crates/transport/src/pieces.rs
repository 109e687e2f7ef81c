//! Replies that come in pieces: which are open, and where their bytes go.

use crate::error::ReadError;
use crate::message::Message;
use vaccel_wire::{Header, Limits, WireError};

/// Replies larger than this go out in pieces of this many bytes of payload: as much as a
/// stream takes in a tenth of a millisecond, so that nobody waits longer for his turn.
pub(crate) const PIECE: usize = 256 << 10;

/// Most replies that may be open at the same time.
const MOST: usize = 1 << 16;

/// Where the pieces of a reply go.
#[derive(Debug)]
pub(crate) enum Into {
    /// To this message; so many bytes of meta and payload are there.
    Message(Message, usize),
    /// Whoever reads takes them, one by one.
    Reader,
    /// Nobody wants them.
    Nothing,
}

/// A reply of which pieces are still to come.
#[derive(Debug)]
struct Open {
    request: u64,
    /// Bytes of payload in pieces that have not been announced yet.
    left: u64,
    into: Into,
}

/// The replies of which pieces are still to come.
#[derive(Debug, Default)]
pub(crate) struct Opened(Vec<Open>);

/// What is wrong with a frame of a reply in pieces.
fn wrong(header: Header, field: &'static str, value: u64) -> ReadError {
    ReadError::Frame {
        header: Some(header),
        error: WireError::Field {
            message: "a reply in pieces",
            field,
            value,
        },
    }
}

impl Opened {
    fn position(&self, request: u64) -> Option<usize> {
        self.0.iter().position(|open| open.request == request)
    }

    /// Refuses what answers a request whose answer has begun, and more beginnings than
    /// there are requests in flight on any connection.
    pub(crate) fn check_new(&self, header: Header) -> Result<(), ReadError> {
        match self.position(header.request) {
            None if self.0.len() < MOST => Ok(()),
            _ => Err(wrong(header, "number of the request", header.request)),
        }
    }

    /// Enters a reply whose pieces are to come.
    pub(crate) fn enter(
        &mut self,
        header: Header,
        into: Into,
        limits: &Limits,
    ) -> Result<(), ReadError> {
        let open: u64 = self.0.iter().map(|open| open.left).sum();
        let all = open.saturating_add(header.payload_len);
        // All of them together are no larger than one could be.
        if all > limits.frame {
            return Err(ReadError::Frame {
                header: Some(header),
                error: WireError::TooLarge {
                    what: "what is to come in pieces",
                    size: all,
                    limit: limits.frame,
                },
            });
        }
        self.push(header, into);
        Ok(())
    }

    /// Enters a reply whose pieces nobody wants: they take no memory.
    pub(crate) fn refuse(&mut self, header: Header) {
        self.push(header, Into::Nothing);
    }

    fn push(&mut self, header: Header, into: Into) {
        self.0.push(Open {
            request: header.request,
            left: header.payload_len,
            into,
        });
    }

    /// Takes note of a piece, and says where it goes.
    pub(crate) fn announce(&mut self, header: Header) -> Result<&mut Into, ReadError> {
        let Some(open) = self.0.iter_mut().find(|o| o.request == header.request) else {
            return Err(wrong(header, "number of the request", header.request));
        };
        let Some(left) = open.left.checked_sub(header.payload_len) else {
            return Err(wrong(header, "length", header.payload_len));
        };
        open.left = left;
        Ok(&mut open.into)
    }

    /// The message of a reply, to put bytes into.
    pub(crate) fn message(&mut self, request: u64) -> Option<(&mut Message, &mut usize)> {
        let position = self.position(request)?;
        match &mut self.0[position].into {
            Into::Message(message, filled) => Some((message, filled)),
            Into::Reader | Into::Nothing => None,
        }
    }

    /// Ends the reply when all of it has been announced; the message, where there is one.
    pub(crate) fn end(&mut self, request: u64) -> Option<Message> {
        let position = self.position(request)?;
        if self.0[position].left > 0 {
            return None;
        }
        match self.0.swap_remove(position).into {
            Into::Message(message, _) => Some(message),
            Into::Reader | Into::Nothing => None,
        }
    }

    /// What is still to come of a reply is no longer wanted.
    pub(crate) fn forget(&mut self, request: u64) {
        if let Some(position) = self.position(request) {
            self.0[position].into = Into::Nothing;
            self.end(request);
        }
    }
}
