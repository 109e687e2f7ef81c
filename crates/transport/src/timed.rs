//! Where a reader's bytes come from, and how long it waits for them.

use crate::Stream;
use crate::sys::{self, Piece};
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Brings bytes. `WouldBlock` or `TimedOut` mean that the time is over.
pub(crate) trait Source {
    /// Receives at least one byte; with `all`, waits to fill the slice. 0 means
    /// the end.
    fn recv(&mut self, buf: &mut [u8], all: bool) -> io::Result<usize>;

    /// Receives into several pieces, waiting to fill them all.
    ///
    /// # Safety
    /// Every piece must be valid for writes.
    unsafe fn recv_pieces(&mut self, pieces: &mut [Piece]) -> io::Result<usize>;
}

fn flags(all: bool) -> i32 {
    if all { libc::MSG_WAITALL } else { 0 }
}

/// Waits as long as the socket's own timeout says.
impl Source for &Stream {
    fn recv(&mut self, buf: &mut [u8], all: bool) -> io::Result<usize> {
        loop {
            match sys::recv(self.as_fd(), buf, flags(all)) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    unsafe fn recv_pieces(&mut self, pieces: &mut [Piece]) -> io::Result<usize> {
        loop {
            // SAFETY: as the caller vouches.
            match unsafe { sys::recv_pieces(self.as_fd(), pieces, flags(true)) } {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

/// The instant at which a time from now is over. Times of more than a year
/// count as one, which keeps the sum within what a clock can say.
pub(crate) fn deadline(timeout: Duration) -> Instant {
    Instant::now() + timeout.min(Duration::from_secs(365 * 86_400))
}

/// How much later than its deadline a call may end.
const SLACK: Duration = Duration::from_millis(10);

/// Waits until a deadline.
///
/// The socket's own receive timeout does the waiting, so that a receive is one
/// system call. It is set again only when it would end later than the deadline
/// and some slack; when it ends earlier, the wait is repeated with a new one. A
/// connection whose calls all have the same deadline sets it about once for
/// every 10 ms that it really waits.
pub(crate) struct Timed<'a> {
    pub(crate) stream: &'a Stream,
    pub(crate) deadline: Instant,
    /// What the socket's receive timeout is.
    pub(crate) current: &'a mut Duration,
}

impl Timed<'_> {
    fn arm(&mut self) -> io::Result<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if *self.current > left + SLACK {
            self.set(left)?;
        }
        Ok(())
    }

    fn set(&mut self, left: Duration) -> io::Result<()> {
        // Zero would mean "for ever".
        let time = left.max(Duration::from_millis(1));
        self.stream.set_read_timeout(Some(time))?;
        *self.current = time;
        Ok(())
    }

    /// After an error: wait on, or give it to the caller.
    fn again(&mut self, error: io::Error) -> io::Result<()> {
        if error.kind() == io::ErrorKind::Interrupted {
            return Ok(());
        }
        if !sys::is_would_block(&error) {
            return Err(error);
        }
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.set(left)
    }
}

impl Source for Timed<'_> {
    fn recv(&mut self, buf: &mut [u8], all: bool) -> io::Result<usize> {
        loop {
            self.arm()?;
            match sys::recv(self.stream.as_fd(), buf, flags(all)) {
                Err(e) => self.again(e)?,
                ok => return ok,
            }
        }
    }

    unsafe fn recv_pieces(&mut self, pieces: &mut [Piece]) -> io::Result<usize> {
        loop {
            self.arm()?;
            // SAFETY: as the caller vouches.
            match unsafe { sys::recv_pieces(self.stream.as_fd(), pieces, flags(true)) } {
                Err(e) => self.again(e)?,
                ok => return ok,
            }
        }
    }
}

/// Takes what is there and never waits.
pub(crate) struct Present<'a>(pub(crate) &'a Stream);

impl Source for Present<'_> {
    fn recv(&mut self, buf: &mut [u8], _all: bool) -> io::Result<usize> {
        loop {
            match sys::recv(self.0.as_fd(), buf, libc::MSG_DONTWAIT) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    unsafe fn recv_pieces(&mut self, pieces: &mut [Piece]) -> io::Result<usize> {
        // SAFETY: as the caller vouches.
        unsafe { sys::recv_pieces(self.0.as_fd(), pieces, libc::MSG_DONTWAIT) }
    }
}
