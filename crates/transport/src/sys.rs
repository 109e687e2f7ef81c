//! The few system calls that std does not offer in the form needed here.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// A piece of memory to receive into or to send from.
pub(crate) type Piece = libc::iovec;

/// The most pieces of one call; the kernel takes up to 1024.
pub(crate) const MAX_PIECES: usize = 64;

pub(crate) const NO_PIECE: Piece = Piece {
    iov_base: std::ptr::null_mut(),
    iov_len: 0,
};

/// A piece to send from.
pub(crate) fn piece(bytes: &[u8]) -> Piece {
    Piece {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    }
}

fn check(n: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Receives.
pub(crate) fn recv(fd: BorrowedFd<'_>, buf: &mut [u8], flags: i32) -> io::Result<usize> {
    // SAFETY: the kernel writes at most the slice's length to it.
    check(unsafe { libc::recv(fd.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len(), flags) })
}

/// Receives into several pieces.
///
/// # Safety
/// Every piece must be valid for writes.
pub(crate) unsafe fn recv_pieces(
    fd: BorrowedFd<'_>,
    pieces: &mut [Piece],
    flags: i32,
) -> io::Result<usize> {
    let mut message = message(pieces);
    // SAFETY: the message points at the pieces, which the caller vouches for.
    check(unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, flags) })
}

/// Sends one piece, never raising SIGPIPE.
pub(crate) fn send(fd: BorrowedFd<'_>, bytes: &[u8], flags: i32) -> io::Result<usize> {
    let flags = flags | libc::MSG_NOSIGNAL;
    // SAFETY: the kernel reads the slice.
    check(unsafe { libc::send(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) })
}

/// Sends several pieces, never raising SIGPIPE.
///
/// # Safety
/// Every piece must be valid for reads.
pub(crate) unsafe fn send_pieces(
    fd: BorrowedFd<'_>,
    pieces: &mut [Piece],
    flags: i32,
) -> io::Result<usize> {
    let message = message(pieces);
    let flags = flags | libc::MSG_NOSIGNAL;
    // SAFETY: the message points at the pieces, which the caller vouches for.
    check(unsafe { libc::sendmsg(fd.as_raw_fd(), &raw const message, flags) })
}

fn message(pieces: &mut [Piece]) -> libc::msghdr {
    // SAFETY: a plain C structure, for which zeros are valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = pieces.as_mut_ptr();
    // The type differs between C libraries; at most MAX_PIECES.
    message.msg_iovlen = pieces.len() as _;
    message
}

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ready {
    Read,
    Write,
}

impl Ready {
    fn events(self) -> i16 {
        match self {
            Self::Read => libc::POLLIN,
            Self::Write => libc::POLLOUT,
        }
    }
}

/// Waits until the descriptor is ready or has failed, and says whether; false too when the
/// time is over or a signal came.
pub(crate) fn wait(fd: BorrowedFd<'_>, what: Ready, time: Option<Duration>) -> io::Result<bool> {
    let mut one = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: what.events(),
        revents: 0,
    };
    poll(std::slice::from_mut(&mut one), time)
}

/// Waits until one of them is ready or has failed, and says whether.
fn poll(polls: &mut [libc::pollfd], time: Option<Duration>) -> io::Result<bool> {
    // Rounded up, so that a wait never ends before its time.
    let millis = time.map_or(-1, |t| {
        i32::try_from(t.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
    });
    let count = polls.len() as libc::nfds_t;
    // SAFETY: so many live structures.
    let ready = unsafe { libc::poll(polls.as_mut_ptr(), count, millis) };
    if ready >= 0 {
        return Ok(ready > 0);
    }
    let error = io::Error::last_os_error();
    match error.kind() {
        io::ErrorKind::Interrupted => Ok(false),
        _ => Err(error),
    }
}

/// As [`wait`] for two descriptors, and says which of them.
pub(crate) fn wait_either(
    fds: [(BorrowedFd<'_>, Ready); 2],
    time: Option<Duration>,
) -> io::Result<[bool; 2]> {
    let mut polls = fds.map(|(fd, what)| libc::pollfd {
        fd: fd.as_raw_fd(),
        events: what.events(),
        revents: 0,
    });
    poll(&mut polls, time)?;
    Ok(polls.map(|one| one.revents != 0))
}

/// True when the other end has hung up; never waits.
pub(crate) fn hung_up(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut one = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLRDHUP,
        revents: 0,
    };
    poll(std::slice::from_mut(&mut one), Some(Duration::ZERO))?;
    Ok(one.revents & (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) != 0)
}

/// Reads one socket option of a fixed size.
pub(crate) fn option<T: Copy + Default>(
    fd: BorrowedFd<'_>,
    level: i32,
    name: i32,
) -> io::Result<T> {
    let mut value = T::default();
    let mut size = size_of::<T>() as libc::socklen_t;
    // SAFETY: value and size are live and belong together.
    let code = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw mut value).cast(),
            &raw mut size,
        )
    };
    if code == 0 {
        Ok(value)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The most bytes that a TCP socket lets its peer send ahead of its reader.
pub(crate) fn set_window_clamp(fd: BorrowedFd<'_>, bytes: libc::c_int) -> io::Result<()> {
    // SAFETY: the option is an integer, which is live.
    let code = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_WINDOW_CLAMP,
            (&raw const bytes).cast(),
            size_of_val(&bytes) as libc::socklen_t,
        )
    };
    match code {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// True for the errors that mean "not now": nothing arrived in time, or no room.
pub(crate) fn is_would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// True for the errors that mean that the other end is gone.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionReset | ConnectionAborted | NotConnected
    )
}
