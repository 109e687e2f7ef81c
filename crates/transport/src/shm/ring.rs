//! A stream of bytes through shared memory, one for each direction.
//!
//! Whoever writes owns the tail, whoever reads the head; both count bytes and wrap.
//! A reader that finds nothing spins for a while, then says that it sleeps and waits
//! on the socket; a writer that sees it asleep rings: it sends one byte there. So a
//! wait costs what a wait on a socket costs, ends at once when the other side hangs
//! up, and nothing is woken while nothing happens.
//!
//! The other side may write anything anywhere at any time: counters are checked each
//! time they are read, and bytes are copied out before anybody looks at them.

use super::Region;
use super::doorbell;
use super::spin::Spin;
use crate::sys::{self, Piece};
use crate::timed::Source;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Offsets in the control block of a ring, each on a cache line of its own.
const TAIL: usize = 0;
const HEAD: usize = 64;
const ASLEEP: usize = 128;

/// Where the control blocks of requests and replies are.
pub(crate) const REQUESTS: usize = 0;
pub(crate) const REPLIES: usize = 256;

/// What a bell is.
const BELL: u8 = 0;
/// The most that is kept of what came on the socket and is no bell.
const MAX_WORDS: usize = 8 << 10;

/// Where the data of the first ring begins.
pub(crate) const DATA: usize = 4096;

/// What both ends have.
#[derive(Debug)]
struct End {
    region: Arc<Region>,
    control: usize,
    data: usize,
    size: u32,
    /// Own position; the one in shared memory is only for the other side.
    own: AtomicU32,
    /// The other side's position as it was last seen.
    other: AtomicU32,
}

impl End {
    fn new(region: &Arc<Region>, control: usize, data: usize, size: u32) -> Option<Self> {
        region.at(control, 256)?;
        region.at(data, size as usize)?;
        Some(Self {
            region: Arc::clone(region),
            control,
            data,
            size,
            own: AtomicU32::new(0),
            other: AtomicU32::new(0),
        })
    }

    fn cell(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: `new` has checked that the control block lies in the region, which
        // this keeps; it is aligned, and only ever accessed by atomics.
        unsafe {
            self.region
                .base()
                .add(self.control + offset)
                .cast()
                .as_ref()
        }
    }

    /// The part of the ring from a position on, up to `len` bytes, in one piece.
    fn piece(&self, position: u32, len: usize) -> (*mut u8, usize) {
        let at = (position & (self.size - 1)) as usize;
        let len = len.min(self.size as usize - at);
        // SAFETY: `new` has checked that the ring lies in the region.
        let at = unsafe { self.region.base().add(self.data + at) };
        (at.as_ptr(), len)
    }

    /// Bytes between head and tail; an error when there cannot be so many.
    fn used(&self, tail: u32, head: u32) -> io::Result<u32> {
        let used = tail.wrapping_sub(head);
        if used <= self.size {
            return Ok(used);
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "the positions in the shared ring cannot be: {used} bytes in a ring of {}",
                self.size
            ),
        ))
    }
}

/// The end that writes. One thread at a time uses it.
#[derive(Debug)]
pub struct Tx {
    end: End,
    spin: Arc<Spin>,
}

impl Tx {
    pub(crate) fn new(
        region: &Arc<Region>,
        control: usize,
        data: usize,
        size: u32,
        spin: Arc<Spin>,
    ) -> Option<Self> {
        let end = End::new(region, control, data, size)?;
        Some(Self { end, spin })
    }

    /// Writes as many bytes as there is room for, and rings if the reader sleeps.
    /// The total; 0 when the ring is full.
    pub(crate) fn push<'s>(
        &self,
        pieces: impl Iterator<Item = &'s [u8]>,
        bell: BorrowedFd<'_>,
    ) -> io::Result<usize> {
        let end = &self.end;
        let mut tail = end.own.load(Ordering::Relaxed);
        let mut room = end.size - end.used(tail, end.other.load(Ordering::Relaxed))?;
        let mut total = 0;
        for mut bytes in pieces {
            while !bytes.is_empty() {
                if room == 0 || (bytes.len() > room as usize) {
                    // Looked at only when needed: the other side writes to it.
                    let head = end.cell(HEAD).load(Ordering::Acquire);
                    end.other.store(head, Ordering::Relaxed);
                    room = end.size - end.used(tail, head)?;
                }
                if room == 0 {
                    break;
                }
                let (at, n) = end.piece(tail, bytes.len().min(room as usize));
                // SAFETY: `n` bytes of the ring, which nobody's references point into.
                unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at, n) };
                // At most the size of the ring.
                tail = tail.wrapping_add(n as u32);
                room -= n as u32;
                total += n;
                bytes = &bytes[n..];
            }
            if !bytes.is_empty() {
                break;
            }
        }
        if total > 0 {
            end.own.store(tail, Ordering::Relaxed);
            end.cell(TAIL).store(tail, Ordering::Release);
            self.ring(bell)?;
        }
        Ok(total)
    }

    /// Wakes the reader if it sleeps.
    fn ring(&self, bell: BorrowedFd<'_>) -> io::Result<()> {
        if !doorbell::must_ring(self.end.cell(ASLEEP)) {
            return Ok(());
        }
        match sys::send(bell, &[BELL], libc::MSG_DONTWAIT) {
            // A socket full of bells wakes as well as one more.
            Err(e) if !sys::is_would_block(&e) => Err(e),
            _ => Ok(()),
        }
    }

    /// Gives the ring's memory back, unless bytes in it have not been read. They are
    /// the reader's to count: a reader that counts wrongly loses its own bytes.
    pub(crate) fn rest(&self) {
        let end = &self.end;
        let head = end.cell(HEAD).load(Ordering::Acquire);
        if head == end.own.load(Ordering::Relaxed) {
            end.region.release(end.data, end.size as usize);
        }
    }

    /// Waits until there may be room again, at most a moment.
    pub(crate) fn wait(&self, socket: BorrowedFd<'_>, left: Option<Duration>) -> io::Result<()> {
        let full = || {
            let head = self.end.cell(HEAD).load(Ordering::Acquire);
            self.end.own.load(Ordering::Relaxed).wrapping_sub(head) >= self.end.size
        };
        if self.spin.wait(|| !full()) {
            return Ok(());
        }
        if sys::hung_up(socket)? {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        // Rings are large and their readers quick: this is rare, and does not last.
        let moment = Duration::from_micros(50);
        std::thread::sleep(left.map_or(moment, |left| left.min(moment)));
        Ok(())
    }
}

/// The end that reads. One thread at a time uses it.
#[derive(Debug)]
pub struct Rx {
    end: End,
    spin: Arc<Spin>,
    /// What came on the socket and is no bell.
    words: Mutex<Vec<u8>>,
}

impl Rx {
    pub(crate) fn new(
        region: &Arc<Region>,
        control: usize,
        data: usize,
        size: u32,
        spin: Arc<Spin>,
    ) -> Option<Self> {
        let end = End::new(region, control, data, size)?;
        Some(Self {
            end,
            spin,
            words: Mutex::default(),
        })
    }

    /// Takes bytes that are there; 0 when there are none.
    fn pop(&self, buf: &mut [u8]) -> io::Result<usize> {
        let end = &self.end;
        let mut head = end.own.load(Ordering::Relaxed);
        let mut there = end.used(end.other.load(Ordering::Relaxed), head)?;
        if there == 0 {
            let tail = end.cell(TAIL).load(Ordering::Acquire);
            end.other.store(tail, Ordering::Relaxed);
            there = end.used(tail, head)?;
        }
        let all = buf.len().min(there as usize);
        let mut done = 0;
        while done < all {
            let (at, n) = end.piece(head, all - done);
            // SAFETY: `n` bytes of the ring; `buf` has room for them, and is ours alone.
            unsafe { std::ptr::copy_nonoverlapping(at, buf[done..].as_mut_ptr(), n) };
            head = head.wrapping_add(n as u32);
            done += n;
        }
        if done > 0 {
            end.own.store(head, Ordering::Relaxed);
            end.cell(HEAD).store(head, Ordering::Release);
        }
        Ok(done)
    }

    fn is_empty(&self) -> bool {
        self.end.cell(TAIL).load(Ordering::Acquire) == self.end.own.load(Ordering::Relaxed)
    }

    /// Receives as [`Source::recv`] does; `bell` is the socket.
    pub(crate) fn recv<S: Source>(
        &self,
        bell: &mut S,
        buf: &mut [u8],
        all: bool,
    ) -> io::Result<usize> {
        let mut done = self.pop(buf)?;
        while done == 0 || (all && done < buf.len()) {
            if self.spin.wait(|| !self.is_empty()) {
                done += self.pop(&mut buf[done..])?;
                continue;
            }
            let slept = self.sleep(bell);
            // What came before the end is still to be had.
            let n = self.pop(&mut buf[done..])?;
            done += n;
            match slept {
                Ok(true) => {}
                _ if n > 0 => {}
                Ok(false) => return Ok(done),
                // Those who asked for all get what there is, as from a socket.
                Err(_) if done > 0 => return Ok(done),
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    /// Waits for the bell. False when the other side has hung up.
    fn sleep<S: Source>(&self, bell: &mut S) -> io::Result<bool> {
        if !self.park() {
            return Ok(true);
        }
        let mut bells = [0; 64];
        let woken = bell.recv(&mut bells, false);
        if let Ok(n) = woken {
            self.listen(&bells[..n]);
        }
        let woken = woken.map(|n| n > 0);
        doorbell::get_up(self.end.cell(ASLEEP));
        woken
    }

    /// Keeps what is no bell: see [`vaccel_wire::LAST_WORDS`].
    fn listen(&self, bytes: &[u8]) {
        if bytes.iter().all(|&byte| byte == BELL) && self.words().is_empty() {
            return;
        }
        let mut words = self.words();
        let first = bytes.iter().position(|&byte| byte != BELL);
        let new = if words.is_empty() { first } else { Some(0) };
        let room = MAX_WORDS - words.len();
        let new = &bytes[new.unwrap_or(bytes.len())..];
        words.extend_from_slice(&new[..new.len().min(room)]);
    }

    /// What came on the socket and is no bell, as far as it is looked at.
    pub(crate) fn words(&self) -> MutexGuard<'_, Vec<u8>> {
        // Bytes that are whole or not: whoever reads them checks.
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that nobody reads until a bell makes the socket readable. False when there
    /// is something to read: then nothing has been said.
    pub(crate) fn park(&self) -> bool {
        doorbell::lie_down(self.end.cell(ASLEEP), || self.is_empty())
    }

    /// As [`recv`](Self::recv) into several pieces, filling them all.
    ///
    /// # Safety
    /// Every piece must be valid for writes.
    pub(crate) unsafe fn recv_pieces<S: Source>(
        &self,
        bell: &mut S,
        pieces: &mut [Piece],
    ) -> io::Result<usize> {
        let mut total = 0;
        for piece in pieces {
            if piece.iov_len == 0 {
                continue;
            }
            // SAFETY: as the caller vouches; the ring writes to it before it reads.
            let buf =
                unsafe { std::slice::from_raw_parts_mut(piece.iov_base.cast(), piece.iov_len) };
            match self.recv(bell, buf, true) {
                Ok(n) => {
                    total += n;
                    if n < piece.iov_len {
                        break;
                    }
                }
                Err(_) if total > 0 => break,
                Err(e) => return Err(e),
            }
        }
        Ok(total)
    }
}
