//! Takes frames off a stream.

mod pieces;

use crate::buffer::{Buffer, Pool};
use crate::error::ReadError;
use crate::message::Message;
use crate::pieces::Opened;
use crate::shm::Rx;
use crate::sys::{self, Piece};
use crate::timed::Source;
use std::io;
use std::sync::Arc;
use std::time::Instant;
use vaccel_wire::{HEADER_LEN, Header, Kind, Limits};

/// What one receive may bring: header, meta and payload of a small frame, or
/// the beginning of a large one.
const BUFFER: usize = 16 << 10;

#[derive(Debug)]
enum State {
    /// A frame is to begin, or its header or meta are incomplete.
    Head,
    /// Header and meta are in the buffer, the payload has not been touched.
    Ready(Header),
    /// The frame is being gathered in a buffer of its own; so many bytes of
    /// meta and payload are there.
    Gather(Message, usize),
    /// So many bytes are of no interest.
    Skip(u64),
    /// So many bytes are the next ones of the reply to a request.
    Piece(u64, usize),
}

/// Takes frames off a stream.
///
/// A small frame costs one receive. The payload of a large one is received
/// straight into its buffer, whose memory is committed only as bytes arrive.
/// After a timeout reading goes on where it stopped.
#[derive(Debug)]
pub struct FrameReader {
    pool: Arc<Pool>,
    limits: Limits,
    buffer: Buffer,
    start: usize,
    end: usize,
    state: State,
    /// Where the bytes come from instead of the stream, which then only wakes.
    ring: Option<Rx>,
    /// Replies of which pieces are still to come.
    opened: Opened,
}

/// Receives from the ring, when there is one, or from the source.
fn recv<S: Source>(
    ring: Option<&Rx>,
    source: &mut S,
    buf: &mut [u8],
    all: bool,
) -> io::Result<usize> {
    match ring {
        Some(ring) => ring.recv(source, buf, all),
        None => source.recv(buf, all),
    }
}

impl FrameReader {
    /// A reader that takes frames within the limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let pool = Pool::new();
        Self {
            // It comes with the first bytes, see `fill`.
            buffer: Buffer::none(&pool),
            pool,
            limits,
            start: 0,
            end: 0,
            state: State::Head,
            ring: None,
            opened: Opened::default(),
        }
    }

    /// From now on takes the bytes from a ring.
    pub fn use_ring(&mut self, ring: Rx) {
        self.ring = Some(ring);
    }

    /// What came on the socket beside the ring and is no bell.
    pub(crate) fn words_beside(&self) -> Vec<u8> {
        let ring = self.ring.as_ref();
        ring.map_or_else(Vec::new, |ring| ring.words().clone())
    }

    /// The pool that messages come from; for outputs too.
    #[must_use]
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// What frames are held to.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// True when bytes of a frame have arrived and the frame is not complete:
    /// then a peer that stays silent is stuck, and not merely idle.
    #[must_use]
    pub fn is_mid_frame(&self) -> bool {
        match self.state {
            State::Head => self.start != self.end,
            State::Ready(_) | State::Gather(..) | State::Skip(_) | State::Piece(..) => true,
        }
    }

    /// How far the frame that is being read has come; another mark than before means
    /// that bytes have arrived.
    #[must_use]
    pub fn mark(&self) -> (u8, u64) {
        match &self.state {
            State::Head => (0, (self.end - self.start) as u64),
            State::Ready(_) => (1, 0),
            State::Gather(_, filled) => (2, *filled as u64),
            State::Skip(left) => (3, *left),
            State::Piece(_, left) => (4, *left as u64),
        }
    }

    /// Leaves the waiting for the next frame to somebody else: when this returns true
    /// there is nothing to read, buffers have been given back, and whatever comes makes
    /// the stream readable, also where frames go through a ring. Then
    /// [`read`](Self::read) goes on. False when there is something to read.
    #[must_use]
    pub fn park(&mut self) -> bool {
        if self.is_mid_frame() || !self.ring.as_ref().is_none_or(Rx::park) {
            return false;
        }
        self.buffer = Buffer::none(&self.pool);
        (self.start, self.end) = (0, 0);
        self.pool.rest();
        true
    }

    /// True when the next frame can be had without waiting, or at least its
    /// header.
    #[must_use]
    pub fn has_next(&self) -> bool {
        matches!(self.state, State::Head) && self.end - self.start >= HEADER_LEN
    }

    /// The next frame. Waits as long as the stream's read timeout says.
    ///
    /// # Errors
    /// See [`ReadError`]; after [`ReadError::TimedOut`] the next call goes on.
    pub fn read(&mut self, stream: &crate::Stream) -> Result<Message, ReadError> {
        let mut source = stream;
        self.head(&mut source)?;
        self.receive(&mut source)
    }

    /// Waits for header and meta of the next frame. Until [`receive`](Self::receive)
    /// or [`skip`](Self::skip) it answers the same.
    pub(crate) fn head<S: Source>(&mut self, source: &mut S) -> Result<Header, ReadError> {
        loop {
            match &mut self.state {
                State::Ready(header) => return Ok(*header),
                State::Gather(message, filled) => {
                    let header = message.header;
                    if *filled >= message.meta {
                        return Ok(header);
                    }
                    let room = message.room(*filled);
                    let n = recv(self.ring.as_ref(), source, room, true).map_err(waited)?;
                    if n == 0 {
                        return Err(ReadError::Truncated);
                    }
                    *filled += n;
                }
                State::Skip(left) => {
                    let there = (self.end - self.start) as u64;
                    let now = there.min(*left);
                    self.start += now as usize;
                    *left -= now;
                    if *left == 0 {
                        self.state = State::Head;
                        continue;
                    }
                    self.start = 0;
                    self.end = 0;
                    let most = usize::try_from(*left).unwrap_or(usize::MAX);
                    let most = most.min(self.buffer.len());
                    let room = &mut self.buffer[..most];
                    let n = recv(self.ring.as_ref(), source, room, false).map_err(waited)?;
                    if n == 0 {
                        return Err(ReadError::Truncated);
                    }
                    *left -= n as u64;
                }
                State::Piece(..) => self.piece(source)?,
                State::Head => self.begin(source)?,
            }
        }
    }

    /// One step towards a complete header and meta.
    fn begin<S: Source>(&mut self, source: &mut S) -> Result<(), ReadError> {
        let there = &self.buffer[self.start..self.end];
        let Some((head, rest)) = there.split_first_chunk::<HEADER_LEN>() else {
            return self.fill(source);
        };
        let header = Header::decode(head).map_err(|error| ReadError::Frame {
            header: None,
            error,
        })?;
        header
            .check(&self.limits)
            .map_err(|error| ReadError::Frame {
                header: Some(header),
                error,
            })?;
        match header.kind {
            Kind::Piece => return self.announced(header),
            Kind::Reply | Kind::ReplyInPieces => self.opened.check_new(header)?,
            _ => {}
        }
        let meta = header.meta_len as usize;
        if rest.len() >= meta {
            self.state = State::Ready(header);
            return Ok(());
        }
        if HEADER_LEN + meta <= self.buffer.len() {
            return self.fill(source);
        }
        let mut message = match Message::new(&self.pool, header) {
            Ok(message) => message,
            Err(error) => {
                self.start += HEADER_LEN;
                self.state = State::Skip(u64::from(header.meta_len) + follows(&header));
                return Err(error);
            }
        };
        let n = rest.len();
        message.room(0)[..n].copy_from_slice(rest);
        message.began = Some(Instant::now());
        self.start = self.end;
        self.state = State::Gather(message, n);
        Ok(())
    }

    /// Receives what is there into the buffer.
    fn fill<S: Source>(&mut self, source: &mut S) -> Result<(), ReadError> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        } else if self.end == self.buffer.len() || self.start > self.buffer.len() / 2 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.buffer.is_empty() {
            let no_memory = || ReadError::Io(io::ErrorKind::OutOfMemory.into());
            self.buffer = self.pool.take(BUFFER).ok_or_else(no_memory)?;
        }
        let room = &mut self.buffer[self.end..];
        let n = recv(self.ring.as_ref(), source, room, false).map_err(waited)?;
        if n == 0 {
            return Err(if self.start == self.end {
                ReadError::Closed
            } else {
                ReadError::Truncated
            });
        }
        self.end += n;
        Ok(())
    }

    /// The meta of the frame that [`head`](Self::head) has announced.
    pub(crate) fn meta(&self) -> &[u8] {
        match &self.state {
            State::Ready(header) => {
                let at = self.start + HEADER_LEN;
                &self.buffer[at..at + header.meta_len as usize]
            }
            State::Gather(message, _) => message.meta(),
            State::Head | State::Skip(_) | State::Piece(..) => &[],
        }
    }

    /// The payload of the announced frame, when all of it has arrived with the
    /// header. Its address has no alignment.
    pub(crate) fn payload(&self) -> Option<&[u8]> {
        let State::Ready(header) = &self.state else {
            return None;
        };
        if header.kind == Kind::ReplyInPieces {
            return None;
        }
        let at = self.start + HEADER_LEN + header.meta_len as usize;
        let len = usize::try_from(header.payload_len).ok()?;
        self.buffer[at..self.end].get(..len)
    }

    /// True when the announced frame is being gathered in a buffer of its own
    /// already, so that only [`receive`](Self::receive) can take it.
    pub(crate) fn is_gathering(&self) -> bool {
        matches!(self.state, State::Gather(..))
    }

    /// Leaves the announced frame; what has not arrived of it is dropped later.
    pub(crate) fn skip(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Head) {
            State::Ready(header) => {
                self.start += HEADER_LEN + header.meta_len as usize;
                self.skip_pieces(header);
                State::Skip(follows(&header))
            }
            State::Gather(message, filled) => {
                self.skip_pieces(message.header);
                let all = message.meta as u64 + follows(&message.header);
                State::Skip(all - filled as u64)
            }
            other => other,
        };
        // What is here already needs no receive, and the reader is between
        // frames then.
        if let State::Skip(left) = self.state
            && left <= (self.end - self.start) as u64
        {
            self.start += left as usize;
            self.state = State::Head;
        }
    }

    /// Takes the announced frame.
    pub(crate) fn receive<S: Source>(&mut self, source: &mut S) -> Result<Message, ReadError> {
        if let State::Ready(header) = self.state {
            let mut message = match Message::new(&self.pool, header) {
                Ok(message) => message,
                Err(error) => {
                    self.skip();
                    return Err(error);
                }
            };
            let from = self.start + HEADER_LEN;
            let meta = message.meta;
            let all = meta + message.payload().len();
            let here = all.min(self.end - from);
            message.buffer[..meta].copy_from_slice(&self.buffer[from..from + meta]);
            message.room(meta)[..here - meta]
                .copy_from_slice(&self.buffer[from + meta..from + here]);
            self.start = from + here;
            if here == all {
                self.state = State::Head;
                return Ok(message);
            }
            message.began = Some(Instant::now());
            self.state = State::Gather(message, here);
        }
        while let State::Gather(message, filled) = &mut self.state {
            let room = message.room(*filled);
            if !room.is_empty() {
                let n = recv(self.ring.as_ref(), source, room, true).map_err(waited)?;
                if n == 0 {
                    return Err(ReadError::Truncated);
                }
                *filled += n;
                if n < room.len() || *filled == message.meta {
                    continue;
                }
            }
            if let State::Gather(message, _) = std::mem::replace(&mut self.state, State::Head) {
                return Ok(message);
            }
        }
        // `head` has not announced a frame: a fault of the caller in this crate.
        Err(ReadError::Io(io::ErrorKind::InvalidInput.into()))
    }

    /// Takes the payload of the announced frame straight into pieces of memory
    /// that hold exactly as much. After an error the rest of it is dropped.
    ///
    /// # Safety
    /// Every piece must be valid for writes.
    pub(crate) unsafe fn scatter<S: Source>(
        &mut self,
        source: &mut S,
        mut pieces: &mut [Piece],
    ) -> Result<(), ReadError> {
        let State::Ready(header) = self.state else {
            return Err(ReadError::Io(io::ErrorKind::InvalidInput.into()));
        };
        if header.kind == Kind::Piece {
            self.opened.end(header.request);
        }
        let from = self.start + HEADER_LEN + header.meta_len as usize;
        let mut left = header.payload_len;
        let mut here = usize::try_from(left).map_or(self.end - from, |l| l.min(self.end - from));
        self.start = from + here;
        left -= here as u64;
        self.state = State::Skip(left);
        let mut at = from;
        while here > 0 && !pieces.is_empty() {
            let n = here.min(pieces[0].iov_len);
            let bytes = &self.buffer[at..at + n];
            // SAFETY: the caller vouches for the piece, which has at least n bytes.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), pieces[0].iov_base.cast(), n) };
            at += n;
            here -= n;
            pieces = advance(pieces, n);
        }
        while !pieces.is_empty() && left > 0 {
            let some = pieces.len().min(sys::MAX_PIECES);
            let pieces_now = &mut pieces[..some];
            // SAFETY: as the caller vouches.
            let n = unsafe {
                match &self.ring {
                    Some(ring) => ring.recv_pieces(source, pieces_now),
                    None => source.recv_pieces(pieces_now),
                }
            }
            .map_err(waited)?;
            if n == 0 {
                return Err(ReadError::Truncated);
            }
            left = left.saturating_sub(n as u64);
            self.state = State::Skip(left);
            pieces = advance(pieces, n);
        }
        self.state = if left == 0 {
            State::Head
        } else {
            State::Skip(left)
        };
        Ok(())
    }
}

/// Bytes of payload that follow a header and its meta at once.
fn follows(header: &Header) -> u64 {
    match header.kind {
        Kind::ReplyInPieces => 0,
        _ => header.payload_len,
    }
}

/// The pieces without their first `n` bytes.
pub(crate) fn advance(mut pieces: &mut [Piece], mut n: usize) -> &mut [Piece] {
    while let Some(first) = pieces.first_mut() {
        if n < first.iov_len {
            first.iov_base = first.iov_base.cast::<u8>().wrapping_add(n).cast();
            first.iov_len -= n;
            break;
        }
        n -= first.iov_len;
        pieces = &mut pieces[1..];
    }
    pieces
}

fn waited(error: io::Error) -> ReadError {
    if sys::is_would_block(&error) || error.kind() == io::ErrorKind::TimedOut {
        ReadError::TimedOut
    } else if sys::is_gone(&error) {
        ReadError::Closed
    } else {
        ReadError::Io(error)
    }
}
