//! The header of a frame, and the limits that it is held to.

use crate::arg::DESCRIPTOR_LEN;
use crate::bytes::{i64_at, u16_at, u32_at, u64_at};
use crate::{FrameBuffer, WireError};

/// Bytes of a header.
pub const HEADER_LEN: usize = 40;

/// The most meta that any frame has, in bytes.
pub const MAX_META: u32 = 16 << 20;

/// Operation of a PING by which an agent says that it goes away: what is in flight will
/// be answered, and what comes next should go by a new connection. It wants no PONG, and
/// bears with that of a client to which it is a PING like any other.
pub const GOING_AWAY: u16 = 1;

/// Number of the REPLY by which an agent gives a connection up: its status and message say
/// why, and nothing comes after it. No request has this number.
///
/// Where replies go through a ring, an agent whose worker has ended sends it on the socket:
/// bells are bytes of 0, and this begins with a 2.
pub const LAST_WORDS: u64 = 0;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Asks for an operation.
    Request = 1,
    /// Answers a request.
    Reply = 2,
    /// Takes a request back.
    Cancel = 3,
    /// Asks for a sign of life.
    Ping = 4,
    /// Gives it.
    Pong = 5,
    /// Answers a request as [`Reply`](Self::Reply) does, but the payload comes in
    /// [`Piece`](Self::Piece)s, with other frames in between.
    ReplyInPieces = 6,
    /// The next bytes of the payload of a reply.
    Piece = 7,
}

/// What this side is ready to take from the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest frame in bytes: header, meta and payload.
    pub frame: u64,
    /// Largest meta in bytes; never more than [`MAX_META`] counts.
    pub meta: u32,
    /// Most bytes that the outputs of one request may have room for, all
    /// together.
    pub outputs: u64,
    /// Arguments may lie in shared memory.
    pub shared: bool,
    /// Replies may come in pieces.
    pub pieces: bool,
}

impl Limits {
    /// Limits for frames of at most `frame` bytes.
    #[must_use]
    pub fn for_frame(frame: u64) -> Self {
        Self {
            frame,
            meta: MAX_META,
            outputs: frame,
            shared: false,
            pieces: false,
        }
    }
}

impl Default for Limits {
    /// Frames that carry an argument of 1 GiB and some more beside it.
    fn default() -> Self {
        Self::for_frame((1 << 30) + (1 << 20))
    }
}

/// The first 40 bytes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the frame is.
    pub kind: Kind,
    /// Code of the operation.
    pub operation: u16,
    /// Deadline in milliseconds (request) or status (reply); see
    /// [`deadline_ms`](Self::deadline_ms) and [`status`](Self::status).
    pub word: u32,
    /// Number of the request.
    pub request: u64,
    /// Session, 0 for none.
    pub session: i64,
    /// Number of read descriptors.
    pub nr_read: u16,
    /// Number of write descriptors.
    pub nr_write: u16,
    /// Bytes of meta.
    pub meta_len: u32,
    /// Bytes of payload.
    pub payload_len: u64,
}

impl Header {
    /// A header of a frame without arguments.
    #[must_use]
    pub fn bare(kind: Kind, operation: u16, request: u64, session: i64) -> Self {
        Self {
            kind,
            operation,
            word: 0,
            request,
            session,
            nr_read: 0,
            nr_write: 0,
            meta_len: 0,
            payload_len: 0,
        }
    }

    /// Milliseconds that a request has from now on, 0 for the default.
    #[must_use]
    pub fn deadline_ms(&self) -> u32 {
        self.word
    }

    /// Error code of a reply, 0 for success.
    #[must_use]
    pub fn status(&self) -> i32 {
        self.word.cast_signed()
    }

    /// Bytes of the whole frame; saturates.
    #[must_use]
    pub fn frame_len(&self) -> u64 {
        (HEADER_LEN as u64 + u64::from(self.meta_len)).saturating_add(self.payload_len)
    }

    /// Number of descriptors.
    #[must_use]
    pub fn nr_args(&self) -> usize {
        usize::from(self.nr_read) + usize::from(self.nr_write)
    }

    /// The header as bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[0] = self.kind as u8;
        out[2..4].copy_from_slice(&self.operation.to_le_bytes());
        out[4..8].copy_from_slice(&self.word.to_le_bytes());
        out[8..16].copy_from_slice(&self.request.to_le_bytes());
        out[16..24].copy_from_slice(&self.session.to_le_bytes());
        out[24..26].copy_from_slice(&self.nr_read.to_le_bytes());
        out[26..28].copy_from_slice(&self.nr_write.to_le_bytes());
        out[28..32].copy_from_slice(&self.meta_len.to_le_bytes());
        out[32..40].copy_from_slice(&self.payload_len.to_le_bytes());
        out
    }

    /// Reads a header. Lengths are not looked at; that is [`check`](Self::check)'s,
    /// so that a request which is too large can still be answered.
    ///
    /// # Errors
    /// [`WireError::Field`] for a kind or flags that do not exist.
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, WireError> {
        let kind = match bytes[0] {
            1 => Kind::Request,
            2 => Kind::Reply,
            3 => Kind::Cancel,
            4 => Kind::Ping,
            5 => Kind::Pong,
            6 => Kind::ReplyInPieces,
            7 => Kind::Piece,
            other => return Err(WireError::field("a header", "kind", other.into())),
        };
        if bytes[1] != 0 {
            return Err(WireError::field("a header", "flags", bytes[1].into()));
        }
        Ok(Self {
            kind,
            operation: u16_at(bytes, 2),
            word: u32_at(bytes, 4),
            request: u64_at(bytes, 8),
            session: i64_at(bytes, 16),
            nr_read: u16_at(bytes, 24),
            nr_write: u16_at(bytes, 26),
            meta_len: u32_at(bytes, 28),
            payload_len: u64_at(bytes, 32),
        })
    }

    /// Checks the lengths before anything is allocated for them.
    ///
    /// # Errors
    /// [`WireError::TooLarge`] beyond the limits, [`WireError::Length`] when
    /// the meta cannot hold the descriptors, [`WireError::Field`] for a frame
    /// that must be bare and is not, for an empty piece, and for pieces where there
    /// are none, [`WireError::Overflow`] when this machine cannot address the payload.
    pub fn check(&self, limits: &Limits) -> Result<(), WireError> {
        let bare = self.nr_args() as u64 | u64::from(self.meta_len);
        match self.kind {
            Kind::Request | Kind::Reply => {}
            Kind::ReplyInPieces | Kind::Piece if !limits.pieces => {
                return Err(WireError::field("a frame", "kind", self.kind as u64));
            }
            Kind::ReplyInPieces | Kind::Piece if self.payload_len == 0 => {
                return Err(WireError::field("a reply in pieces", "length", 0));
            }
            Kind::ReplyInPieces => {}
            Kind::Piece if bare != 0 => return Err(WireError::field("a piece", "meta", bare)),
            Kind::Piece => {}
            Kind::Cancel | Kind::Ping | Kind::Pong if bare | self.payload_len != 0 => {
                let rest = bare | self.payload_len;
                return Err(WireError::field("a bare frame", "length", rest));
            }
            Kind::Cancel | Kind::Ping | Kind::Pong => {}
        }
        let meta_limit = limits.meta.min(MAX_META);
        if self.meta_len > meta_limit {
            return Err(WireError::TooLarge {
                what: "the meta of a frame",
                size: self.meta_len.into(),
                limit: meta_limit.into(),
            });
        }
        if self.frame_len() > limits.frame {
            return Err(WireError::TooLarge {
                what: "a frame",
                size: self.frame_len(),
                limit: limits.frame,
            });
        }
        let needed = (self.nr_args() * DESCRIPTOR_LEN) as u64;
        if needed > u64::from(self.meta_len) {
            return Err(WireError::Length {
                what: "the list of descriptors",
                needed,
                given: self.meta_len.into(),
            });
        }
        if self.payload_len > isize::MAX as u64 {
            return Err(WireError::Overflow);
        }
        Ok(())
    }

    /// Builds the reply to this request that says what went wrong.
    ///
    /// The message is cut at 4 KiB; `status` 0, which would mean success,
    /// becomes `EIO`.
    #[must_use]
    pub fn error_reply<'b>(
        &self,
        buffer: &'b mut FrameBuffer,
        status: i32,
        message: &str,
    ) -> crate::Frame<'b, 'static> {
        buffer.error_reply(self, status, message)
    }
}
