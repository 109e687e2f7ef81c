//! A frame ready to be sent, and the buffer it is built in.

use crate::bytes::{u16_at, u32_at, u64_at};
use crate::welcome::cut;
use crate::{FrameBuilder, GOING_AWAY, HEADER_LEN, Header, Kind, MAX_META, TRACE_LEN, Trace};
use vaccel_abi::error::EIO;

/// The most bytes of the message of an error reply.
pub(crate) const MAX_MESSAGE: usize = 4096;

/// What a buffer may keep for the next frame.
const KEEP: usize = 1 << 20;

/// The memory that frames are built in, one after the other.
///
/// Once it has grown to what the frames need, building one allocates nothing
/// (up to 8 large arguments; more cost one allocation).
#[derive(Debug, Default)]
pub struct FrameBuffer {
    /// Header and descriptors while building; then everything but the large
    /// data.
    pub(crate) head: Vec<u8>,
    /// Shapes and names of tensors.
    pub(crate) extensions: Vec<u8>,
    /// Small data and gaps.
    pub(crate) small: Vec<u8>,
}

impl FrameBuffer {
    /// An empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn clear(&mut self) {
        for part in [&mut self.head, &mut self.extensions, &mut self.small] {
            part.clear();
            if part.capacity() > KEEP {
                part.shrink_to(KEEP);
            }
        }
    }

    /// Begins a request; its number, session and deadline are given by
    /// [`Frame::address`].
    pub fn request<'a>(&mut self, operation: u16) -> FrameBuilder<'_, 'a> {
        self.begin(Header::bare(Kind::Request, operation, 0, 0))
    }

    /// Begins the successful reply to a request.
    pub fn reply<'a>(&mut self, request: &Header) -> FrameBuilder<'_, 'a> {
        self.begin(Header::bare(
            Kind::Reply,
            request.operation,
            request.request,
            request.session,
        ))
    }

    /// Begins an error reply that has outputs or says which sizes they need.
    /// The message must be the first and only read argument; see
    /// [`error_reply`](Self::error_reply) for one without outputs.
    pub fn error_reply_with<'a>(
        &mut self,
        request: &Header,
        status: i32,
        message: &str,
    ) -> FrameBuilder<'_, 'a> {
        let mut header = Header::bare(
            Kind::Reply,
            request.operation,
            request.request,
            request.session,
        );
        let status = if status == 0 { EIO } else { status };
        header.word = status.cast_unsigned();
        let mut builder = self.begin(header);
        builder.read_text(cut(message, MAX_MESSAGE));
        builder
    }

    /// Builds the reply that says what went wrong.
    ///
    /// The message is cut at 4 KiB; `status` 0, which would mean success,
    /// becomes `EIO`.
    #[must_use]
    pub fn error_reply(
        &mut self,
        request: &Header,
        status: i32,
        message: &str,
    ) -> Frame<'_, 'static> {
        self.error_reply_with(request, status, message).close()
    }

    /// Builds a frame without arguments: CANCEL, PING or PONG.
    #[must_use]
    pub fn bare(&mut self, kind: Kind, request: u64) -> Frame<'_, 'static> {
        self.begin(Header::bare(kind, 0, request, 0)).close()
    }

    /// Builds the PING by which an agent says that it goes away; see [`GOING_AWAY`].
    #[must_use]
    pub fn going_away(&mut self) -> Frame<'_, 'static> {
        self.begin(Header::bare(Kind::Ping, GOING_AWAY, 0, 0))
            .close()
    }

    /// Builds the REPLY that answers no request: the last words on a connection that is given
    /// up, with all that is in flight on it. See [`LAST_WORDS`](crate::LAST_WORDS).
    #[must_use]
    pub fn last_words(&mut self, status: i32, message: &str) -> Frame<'_, 'static> {
        let nobody = Header::bare(Kind::Request, 0, crate::LAST_WORDS, 0);
        self.error_reply(&nobody, status, message)
    }

    fn begin<'a>(&mut self, header: Header) -> FrameBuilder<'_, 'a> {
        self.clear();
        self.head.extend_from_slice(&header.encode());
        FrameBuilder::new(self)
    }
}

/// Large data that is sent from where it lies: each piece, and the offset in
/// the head before which it comes.
#[derive(Debug)]
pub(crate) struct Cuts<'a> {
    few: [(usize, &'a [u8]); 8],
    len: usize,
    more: Vec<(usize, &'a [u8])>,
}

impl<'a> Cuts<'a> {
    pub(crate) fn new() -> Self {
        Self {
            few: [(0, &[]); 8],
            len: 0,
            more: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, at: usize, piece: &'a [u8]) {
        match self.few.get_mut(self.len) {
            Some(slot) => *slot = (at, piece),
            None => self.more.push((at, piece)),
        }
        self.len += 1;
    }

    pub(crate) fn shift(&mut self, by: usize) {
        for (at, _) in self.few.iter_mut().chain(&mut self.more) {
            *at += by;
        }
    }

    fn get(&self, i: usize) -> Option<(usize, &'a [u8])> {
        if i >= self.len {
            None
        } else if i < self.few.len() {
            Some(self.few[i])
        } else {
            Some(self.more[i - self.few.len()])
        }
    }
}

/// A frame ready to be sent.
#[derive(Debug)]
pub struct Frame<'b, 'a> {
    pub(crate) head: &'b mut Vec<u8>,
    pub(crate) cuts: Cuts<'a>,
    /// It has the context of a trace.
    pub(crate) traced: bool,
}

impl<'b> Frame<'b, '_> {
    /// Sets number, session and deadline (milliseconds, 0 for the default) of
    /// a request.
    pub fn address(&mut self, request: u64, session: i64, deadline_ms: u32) {
        self.head[4..8].copy_from_slice(&deadline_ms.to_le_bytes());
        self.head[8..16].copy_from_slice(&request.to_le_bytes());
        self.head[16..24].copy_from_slice(&session.to_le_bytes());
    }

    /// Says which trace a request belongs to, at the end of its meta; once, and not where the
    /// meta is as large as it may be. The peer must have agreed to
    /// [`FEATURE_TRACES`](crate::FEATURE_TRACES).
    pub fn trace(&mut self, trace: &Trace) {
        let meta = u32_at(self.head, 28);
        if self.traced || meta > MAX_META - TRACE_LEN as u32 {
            return;
        }
        self.traced = true;
        let at = HEADER_LEN + meta as usize;
        self.head.splice(at..at, trace.encode());
        self.head[28..32].copy_from_slice(&(meta + TRACE_LEN as u32).to_le_bytes());
        self.cuts.shift(TRACE_LEN);
    }

    /// Number of the request.
    #[must_use]
    pub fn request(&self) -> u64 {
        u64_at(self.head, 8)
    }

    /// True for a frame that asks for a sign of life.
    #[must_use]
    pub fn is_ping(&self) -> bool {
        self.head[0] == Kind::Ping as u8
    }

    /// Number of write arguments.
    #[must_use]
    pub fn nr_write(&self) -> u16 {
        u16_at(self.head, 26)
    }

    /// The header, as it will be sent.
    #[must_use]
    pub fn header(&self) -> &[u8] {
        &self.head[..HEADER_LEN]
    }

    /// Bytes of header and meta.
    #[must_use]
    pub fn head_len(&self) -> u64 {
        HEADER_LEN as u64 + u64::from(u32_at(self.head, 28))
    }

    /// Bytes of the whole frame.
    #[must_use]
    pub fn frame_len(&self) -> u64 {
        HEADER_LEN as u64 + u64::from(u32_at(self.head, 28)) + u64_at(self.head, 32)
    }

    /// The bytes of the frame, piece by piece. A frame without large data is
    /// one piece.
    #[must_use]
    pub fn slices(&self) -> Slices<'_> {
        Slices {
            head: self.head,
            cuts: &self.cuts,
            from: 0,
            next: 0,
            pending: None,
        }
    }
}

/// The pieces of a frame, none of them empty.
#[derive(Debug)]
pub struct Slices<'f> {
    head: &'f [u8],
    cuts: &'f Cuts<'f>,
    from: usize,
    next: usize,
    pending: Option<&'f [u8]>,
}

impl<'f> Iterator for Slices<'f> {
    type Item = &'f [u8];

    fn next(&mut self) -> Option<&'f [u8]> {
        if let Some(piece) = self.pending.take() {
            return Some(piece);
        }
        let Some((at, piece)) = self.cuts.get(self.next) else {
            let rest = &self.head[self.from..];
            self.from = self.head.len();
            return (!rest.is_empty()).then_some(rest);
        };
        self.next += 1;
        let before = &self.head[self.from..at];
        self.from = at;
        if before.is_empty() {
            return Some(piece);
        }
        self.pending = Some(piece);
        Some(before)
    }
}
