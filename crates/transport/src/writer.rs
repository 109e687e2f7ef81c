//! Puts frames on a stream, from many threads.

mod pieces;

use crate::Stream;
use crate::error::SendError;
use crate::reader::advance;
use crate::shm::Tx;
use crate::sys::{self, MAX_PIECES, NO_PIECE, Ready};
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use vaccel_wire::Frame;

/// The rest of a frame that ran out of time is kept up to this size, to go out
/// before the next one. With a larger rest the stream is given up.
const MAX_TAIL: usize = 8 << 20;

/// A frame of more bytes is copied without the lock: those who come meanwhile queue up and go
/// next. Who waits for the lock itself has no place: whoever has had it may take it again first.
const LONG: usize = 32 << 10;

/// Puts frames on a stream, whole and one after the other, from many threads.
///
/// A small frame that the socket takes at once costs one system call and no waiting:
/// the lock is held for that call only. When the socket is full the writer waits
/// without the lock, so that other threads can still give up at their deadlines.
#[derive(Debug)]
pub struct FrameWriter {
    stream: Arc<Stream>,
    gate: Mutex<Gate>,
    free: Condvar,
    /// Where the bytes go instead of the stream, which then only wakes.
    ring: Option<Tx>,
    /// Above 0 while a frame is partly on the socket.
    midway: Option<&'static AtomicU64>,
    /// Large replies go out in pieces, so many bytes of them at the same time.
    pieces: Option<u64>,
}

#[derive(Debug, Default)]
struct Gate {
    /// It is counted in `midway`.
    midway: bool,
    /// Somebody is in the middle of a frame.
    busy: bool,
    waiting: u32,
    /// How many of those that wait are between two pieces.
    between: u32,
    /// How many frames of others than those have gone out.
    passed: u64,
    /// Bytes of the replies that are going out in pieces.
    in_pieces: u64,
    /// Bytes that must go out before the next frame.
    tail: Vec<u8>,
    lost: Option<Arc<str>>,
}

/// What is sent in one go.
trait Bytes {
    fn len(&self) -> usize;
    fn slices(&self) -> impl Iterator<Item = &[u8]>;
}

impl Bytes for Frame<'_, '_> {
    fn len(&self) -> usize {
        // On 32 bits a frame larger than memory cannot exist.
        usize::try_from(self.frame_len()).unwrap_or(usize::MAX)
    }

    fn slices(&self) -> impl Iterator<Item = &[u8]> {
        Frame::slices(self)
    }
}

/// What one try brought.
enum Try {
    All,
    Full,
}

impl FrameWriter {
    /// A writer on a stream. There must be only one for it.
    #[must_use]
    pub fn new(stream: Arc<Stream>) -> Self {
        Self {
            stream,
            gate: Mutex::default(),
            free: Condvar::new(),
            ring: None,
            midway: None,
            pieces: None,
        }
    }

    /// From now on sends large replies in pieces, for the peer has said that it takes
    /// them; replies of at most `most` bytes together are open at the same time.
    #[must_use]
    pub fn in_pieces(mut self, most: u64) -> Self {
        self.pieces = Some(most);
        self
    }

    /// A writer that puts frames on a ring; the stream only wakes who reads.
    #[must_use]
    pub fn with_ring(stream: Arc<Stream>, ring: Option<Tx>) -> Self {
        Self {
            ring,
            ..Self::new(stream)
        }
    }

    /// From now on counts, where others see it, whether a frame is partly on the socket:
    /// somebody else may only put something there while it is not. With a ring it never is,
    /// nor where frames go through a second socket.
    #[must_use]
    pub fn counting(mut self, midway: &'static AtomicU64) -> Self {
        self.midway = Some(midway).filter(|_| self.ring.is_none() && !self.stream.is_split());
        self
    }

    /// Says whether a frame is partly on the socket, or may be.
    fn set_midway(&self, gate: &mut Gate, midway: bool) {
        let Some(count) = self.midway.filter(|_| gate.midway != midway) else {
            return;
        };
        gate.midway = midway;
        match midway {
            true => count.fetch_add(1, Ordering::Relaxed),
            false => count.fetch_sub(1, Ordering::Relaxed),
        };
    }

    /// The ring, when there is one.
    pub(crate) fn ring(&self) -> Option<&Tx> {
        self.ring.as_ref()
    }

    /// Gives memory back that is not needed before the next frame.
    pub fn rest(&self) {
        let mut gate = self.lock();
        if gate.busy {
            return;
        }
        gate.tail.shrink_to_fit();
        // Within the lock: nobody writes to the ring meanwhile.
        if let Some(ring) = &self.ring {
            ring.rest();
        }
    }

    /// Waits until the stream or the ring may take bytes again.
    pub(crate) fn wait_for_room(&self, left: Option<Duration>) -> io::Result<()> {
        match &self.ring {
            Some(ring) => ring.wait(self.stream.as_fd(), left),
            None => sys::wait(self.stream.sender(), Ready::Write, left).map(drop),
        }
    }

    /// The stream.
    #[must_use]
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Sends a frame; `None` waits as long as it takes.
    ///
    /// # Errors
    /// [`SendError::TimedOut`] at the deadline, [`SendError::Lost`] when the
    /// peer is gone or the stream cannot be used any more.
    pub fn send(&self, frame: &Frame<'_, '_>, deadline: Option<Instant>) -> Result<(), SendError> {
        match self.pass_for_pieces(frame) {
            Some(pass) => self.send_in_pieces(frame, deadline, pass),
            None => self.send_with(frame, deadline, &mut |left| self.wait_for_room(left)),
        }
    }

    /// As [`send`](Self::send); `wait` is called when the socket is full, and
    /// returns when it may have room again or the time is over.
    pub(crate) fn send_with(
        &self,
        frame: &Frame<'_, '_>,
        deadline: Option<Instant>,
        wait: &mut dyn FnMut(Option<Duration>) -> io::Result<()>,
    ) -> Result<(), SendError> {
        let mut gate = self.enter(deadline)?;
        gate.passed += 1;
        self.send_through(gate, frame, deadline, wait)
    }

    /// Sends through the gate.
    fn send_through<B: Bytes>(
        &self,
        mut gate: MutexGuard<'_, Gate>,
        frame: &B,
        deadline: Option<Instant>,
        wait: &mut dyn FnMut(Option<Duration>) -> io::Result<()>,
    ) -> Result<(), SendError> {
        self.set_midway(&mut gate, true);
        let mut tail = std::mem::take(&mut gate.tail);
        let mut tail_sent = 0;
        let mut sent = 0;
        let long = frame.len() > LONG;
        if !long {
            match self.push(&tail, &mut tail_sent, frame, &mut sent) {
                Ok(Try::All) => {
                    tail.clear();
                    gate.tail = tail;
                    self.set_midway(&mut gate, false);
                    self.let_in(&gate);
                    return Ok(());
                }
                Ok(Try::Full) => {}
                Err(error) => {
                    self.let_in(&gate);
                    return Err(lose(&self.stream, &mut gate, &error));
                }
            }
        }
        gate.busy = true;
        drop(gate);
        let mut untried = long;
        let outcome = loop {
            let left = match deadline.map(|d| d.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => break Err(None),
                left => left,
            };
            let room = match std::mem::take(&mut untried) {
                true => Ok(()),
                false => wait(left),
            };
            match room.and_then(|()| self.push(&tail, &mut tail_sent, frame, &mut sent)) {
                Ok(Try::All) => break Ok(()),
                Ok(Try::Full) => {}
                Err(error) => break Err(Some(error)),
            }
        };
        let mut gate = self.lock();
        gate.busy = false;
        self.let_in(&gate);
        match outcome {
            Ok(()) => {
                // What was posted meanwhile; the rest of it goes with the next frame.
                self.flush(&mut gate);
                Ok(())
            }
            Err(Some(error)) => Err(lose(&self.stream, &mut gate, &error)),
            Err(None) => {
                let given_up = self.give_up(&mut gate, &tail[tail_sent..], frame, sent);
                let midway = gate.lost.is_some() || !gate.tail.is_empty();
                self.set_midway(&mut gate, midway);
                given_up
            }
        }
    }

    /// Wakes one who waits. Whoever comes in calls it on the way out, too: so each
    /// wakes the next, whether the frame went out at once or not.
    fn let_in(&self, gate: &Gate) {
        match (gate.waiting, gate.between) {
            (0, _) => {}
            (_, 0) => self.free.notify_one(),
            // Who is between two pieces may let the others go first.
            _ => self.free.notify_all(),
        }
    }

    /// Waits until nobody else is in the middle of a frame.
    fn enter(&self, deadline: Option<Instant>) -> Result<MutexGuard<'_, Gate>, SendError> {
        self.enter_when(self.lock(), deadline, |_| true)
    }

    /// Waits until nobody else is in the middle of a frame, and it is this one's turn.
    fn enter_when<'w>(
        &'w self,
        mut gate: MutexGuard<'w, Gate>,
        deadline: Option<Instant>,
        turn: impl Fn(&Gate) -> bool,
    ) -> Result<MutexGuard<'w, Gate>, SendError> {
        loop {
            if let Some(reason) = &gate.lost {
                self.let_in(&gate);
                return Err(SendError::Lost(Arc::clone(reason)));
            }
            if !gate.busy && turn(&gate) {
                return Ok(gate);
            }
            gate.waiting += 1;
            gate = match deadline {
                None => self.free.wait(gate).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        gate.waiting -= 1;
                        // Somebody may have let this one go first.
                        self.let_in(&gate);
                        return Err(SendError::TimedOut { begun: false });
                    }
                    let waited = self.free.wait_timeout(gate, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
            gate.waiting -= 1;
        }
    }

    /// Sends as much as the socket takes now.
    fn push<B: Bytes>(
        &self,
        tail: &[u8],
        tail_sent: &mut usize,
        frame: &B,
        sent: &mut usize,
    ) -> io::Result<Try> {
        while *tail_sent < tail.len() {
            match self.send_some(&tail[*tail_sent..])? {
                0 => return Ok(Try::Full),
                n => *tail_sent += n,
            }
        }
        let all = frame.len();
        while *sent < all {
            let n = match frame.slices().next() {
                _ if self.ring.is_some() => self.push_slices(frame, *sent)?,
                Some(only) if only.len() == all => self.send_some(&only[*sent..])?,
                _ => self.send_slices(frame, *sent)?,
            };
            match n {
                0 => return Ok(Try::Full),
                n => *sent += n,
            }
        }
        Ok(Try::All)
    }

    /// Sends some bytes; 0 when the socket is full.
    fn send_some(&self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(ring) = &self.ring {
            return ring.push(std::iter::once(bytes), self.stream.sender());
        }
        let bytes = &bytes[..bytes.len().min(self.stream.chunk())];
        taken(|| sys::send(self.stream.sender(), bytes, libc::MSG_DONTWAIT))
    }

    /// Puts some of a frame's pieces from an offset on the ring; 0 when it is full.
    fn push_slices<B: Bytes>(&self, frame: &B, mut skip: usize) -> io::Result<usize> {
        let Some(ring) = &self.ring else {
            return Ok(0);
        };
        let rest = frame.slices().map(|slice| {
            let skipped = skip.min(slice.len());
            skip -= skipped;
            &slice[skipped..]
        });
        ring.push(rest, self.stream.sender())
    }

    /// Sends some of a frame's pieces from an offset on; 0 when the socket is full.
    fn send_slices<B: Bytes>(&self, frame: &B, mut skip: usize) -> io::Result<usize> {
        let mut room = self.stream.chunk();
        let mut pieces = [NO_PIECE; MAX_PIECES];
        let mut count = 0;
        for slice in frame.slices() {
            if skip >= slice.len() {
                skip -= slice.len();
                continue;
            }
            let rest = &slice[skip..];
            skip = 0;
            let rest = &rest[..rest.len().min(room)];
            room -= rest.len();
            pieces[count] = sys::piece(rest);
            count += 1;
            if count == MAX_PIECES || room == 0 {
                break;
            }
        }
        let pieces = advance(&mut pieces[..count], 0);
        // SAFETY: each piece is a slice of the frame, which is borrowed.
        taken(|| unsafe { sys::send_pieces(self.stream.sender(), pieces, libc::MSG_DONTWAIT) })
    }

    /// Keeps what must still go out after a deadline, or gives the stream up.
    fn give_up<B: Bytes>(
        &self,
        gate: &mut Gate,
        tail: &[u8],
        frame: &B,
        mut sent: usize,
    ) -> Result<(), SendError> {
        let begun = sent > 0;
        let rest = if begun { frame.len() - sent } else { 0 };
        let posted = std::mem::take(&mut gate.tail);
        if tail.len() + rest + posted.len() > MAX_TAIL {
            let error = io::Error::other(format!(
                "the peer stopped taking bytes in the middle of a frame, and {rest} bytes are left"
            ));
            return Err(lose(&self.stream, gate, &error));
        }
        gate.tail.extend_from_slice(tail);
        if begun {
            for slice in frame.slices() {
                let skip = sent.min(slice.len());
                sent -= skip;
                gate.tail.extend_from_slice(&slice[skip..]);
            }
        }
        gate.tail.extend_from_slice(&posted);
        Err(SendError::TimedOut { begun })
    }

    /// Sends a small frame without ever waiting: now, or before the next frame.
    pub fn post(&self, frame: &Frame<'_, '_>) {
        let mut gate = self.lock();
        if gate.lost.is_some() {
            return;
        }
        for slice in frame.slices() {
            gate.tail.extend_from_slice(slice);
        }
        if gate.tail.len() > 2 * MAX_TAIL {
            let error = io::Error::other("the peer stopped taking bytes");
            lose(&self.stream, &mut gate, &error);
        } else if !gate.busy {
            self.flush(&mut gate);
        }
    }

    /// Sends of the tail what the socket takes now.
    fn flush(&self, gate: &mut Gate) {
        self.set_midway(gate, true);
        let mut sent = 0;
        while sent < gate.tail.len() {
            match self.send_some(&gate.tail[sent..]) {
                Ok(0) => break,
                Ok(n) => sent += n,
                Err(error) => {
                    lose(&self.stream, gate, &error);
                    return;
                }
            }
        }
        gate.tail.drain(..sent);
        let midway = !gate.tail.is_empty();
        self.set_midway(gate, midway);
    }

    /// Why nothing can be sent any more, unless the peer has just hung up.
    pub(crate) fn fault(&self) -> Option<Arc<str>> {
        self.lock().lost.clone().filter(|reason| **reason != *GONE)
    }

    fn lock(&self) -> MutexGuard<'_, Gate> {
        // Nothing in a critical section panics half-way.
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a hang-up is called.
const GONE: &str = "the peer hung up";

/// Makes the stream unusable for every later frame. When the peer is gone it can
/// still be read: there may be a last word. Else whoever reads must learn of it.
fn lose(stream: &Stream, gate: &mut Gate, error: &io::Error) -> SendError {
    let reason: Arc<str> = if sys::is_gone(error) {
        GONE.into()
    } else {
        stream.shutdown();
        format!("cannot send: {error}").into()
    };
    gate.tail = Vec::new();
    gate.lost = Some(Arc::clone(&reason));
    SendError::Lost(reason)
}

/// Repeats a send that a signal interrupts; a full socket counts as 0 bytes.
fn taken(mut send: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match send() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if sys::is_would_block(&e) => return Ok(0),
            // ENOBUFS: the kernel has no memory right now; it is like a full socket.
            Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => return Ok(0),
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests;
