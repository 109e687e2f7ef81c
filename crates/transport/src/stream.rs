//! One end of a connection: Unix, TCP, TLS or vsock.

use crate::sys::{self, Ready};
use crate::timed::deadline;
use crate::tls::Pump;
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Guest kernels with a vsock device in user space stall on larger writes: such
/// a device reads only the first data descriptor of a packet.
const VSOCK_CHUNK: usize = 32 << 10;

/// What a stream is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Unix stream socket.
    Unix,
    /// TCP over IPv4 or IPv6.
    Tcp,
    /// VM socket.
    Vsock,
}

/// Who is at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// A process of this machine, as it was when it connected.
    Unix {
        /// Process; 0 when it is in a namespace that cannot be seen from here.
        pid: i32,
        /// User.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// Address and port.
    Tcp(std::net::SocketAddr),
    /// Context and port.
    Vsock {
        /// Context.
        cid: u32,
        /// Port.
        port: u32,
    },
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix { pid, uid, .. } => write!(f, "process {pid} of user {uid}"),
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Vsock { cid, port } => write!(f, "vsock {cid}:{port}"),
        }
    }
}

/// One end of a connection.
///
/// Sends never raise SIGPIPE, TCP never waits to fill a packet, and the
/// descriptor does not pass to programs that are executed.
#[derive(Debug)]
pub struct Stream {
    fd: OwnedFd,
    second: Second,
    family: Family,
    /// What encrypts behind it. Dropped after the descriptors, whose end it waits for.
    tls: Option<Arc<Pump>>,
}

/// A socket beside the one that was connected, see [`second`](crate::second).
#[derive(Debug)]
pub(crate) enum Second {
    None,
    /// What the peer sends comes there.
    Reads(OwnedFd),
    /// What the peer is to get goes there.
    Writes(OwnedFd),
}

impl Stream {
    /// Two ends of a Unix stream socket without a name.
    ///
    /// # Errors
    /// What the system says.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = Socket::pair(Domain::UNIX, Type::STREAM, None)?;
        Ok((
            Self::new(a.into(), Family::Unix),
            Self::new(b.into(), Family::Unix),
        ))
    }

    /// Takes a connected stream socket that came from elsewhere.
    ///
    /// # Errors
    /// When it is none, or of another family.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        let socket = SockRef::from(&fd);
        if socket.r#type()? != Type::STREAM {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the descriptor is not a stream socket",
            ));
        }
        let family = match socket.domain()? {
            Domain::UNIX => Family::Unix,
            Domain::IPV4 | Domain::IPV6 => {
                tune_tcp(SockRef::from(&fd))?;
                Family::Tcp
            }
            Domain::VSOCK => Family::Vsock,
            other => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("sockets of the family {other:?} carry no connections"),
                ));
            }
        };
        Ok(Self::new(fd, family))
    }

    pub(crate) fn new(fd: OwnedFd, family: Family) -> Self {
        Self {
            fd,
            second: Second::None,
            family,
            tls: None,
        }
    }

    /// From now on one direction goes through a second socket.
    pub(crate) fn split(&mut self, second: Second) {
        self.second = second;
    }

    /// The socket that was connected, or accepted.
    pub(crate) fn first(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// What sends; [`as_fd`](AsFd::as_fd) receives.
    pub(crate) fn sender(&self) -> BorrowedFd<'_> {
        match &self.second {
            Second::Writes(fd) => fd.as_fd(),
            Second::None | Second::Reads(_) => self.fd.as_fd(),
        }
    }

    /// True when each direction has a socket of its own.
    pub(crate) fn is_split(&self) -> bool {
        !matches!(self.second, Second::None)
    }

    /// A stream whose bytes something else encrypts.
    pub(crate) fn encrypted(fd: OwnedFd, pump: Arc<Pump>) -> Self {
        Self {
            fd,
            second: Second::None,
            family: Family::Tcp,
            tls: Some(pump),
        }
    }

    /// True when what is sent is encrypted on its way.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Why the encryption ended the stream, when it did.
    pub(crate) fn fault(&self) -> Option<Arc<str>> {
        self.tls.as_ref()?.fault()
    }

    /// After [`shutdown`](Self::shutdown): waits until no thread works for the
    /// stream any more.
    pub(crate) fn settle(&self) {
        if let Some(pump) = &self.tls {
            pump.settle();
        }
    }

    /// What it is made of.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    /// A second handle of the same stream.
    ///
    /// # Errors
    /// What the system says.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            fd: self.fd.try_clone()?,
            second: match &self.second {
                Second::None => Second::None,
                Second::Reads(fd) => Second::Reads(fd.try_clone()?),
                Second::Writes(fd) => Second::Writes(fd.try_clone()?),
            },
            family: self.family,
            tls: self.tls.clone(),
        })
    }

    /// Who is at the other end.
    ///
    /// # Errors
    /// What the system says; it may be gone already.
    pub fn peer(&self) -> io::Result<Peer> {
        if let Some(pump) = &self.tls {
            return Ok(Peer::Tcp(pump.peer()));
        }
        if self.family == Family::Unix {
            return self.credentials();
        }
        let address = SockRef::from(&self.fd).peer_addr()?;
        if let Some((cid, port)) = address.as_vsock_address() {
            return Ok(Peer::Vsock { cid, port });
        }
        match address.as_socket() {
            Some(address) => Ok(Peer::Tcp(address)),
            None => Err(io::Error::other(
                "the peer has an address of no known family",
            )),
        }
    }

    fn credentials(&self) -> io::Result<Peer> {
        #[derive(Clone, Copy, Default)]
        #[repr(C)]
        struct Ucred {
            pid: libc::pid_t,
            uid: libc::uid_t,
            gid: libc::gid_t,
        }
        let c: Ucred = sys::option(self.first(), libc::SOL_SOCKET, libc::SO_PEERCRED)?;
        Ok(Peer::Unix {
            pid: c.pid,
            uid: c.uid,
            gid: c.gid,
        })
    }

    /// Lets reads end with [`ReadError::TimedOut`](crate::ReadError::TimedOut)
    /// after a time; `None` lets them wait for ever.
    ///
    /// # Errors
    /// What the system says; a time of zero is `InvalidInput`.
    pub fn set_read_timeout(&self, time: Option<Duration>) -> io::Result<()> {
        if time == Some(Duration::ZERO) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        SockRef::from(&self.as_fd()).set_read_timeout(time)
    }

    /// Bounds what the peer may have sent and nobody has taken yet: a small reply comes
    /// after all that is in that queue. Bytes beyond that are not lost; they wait at the
    /// peer, where small replies go past them.
    pub(crate) fn keep_queue_short(&self) {
        /// A millisecond of what a fast network brings.
        const QUEUE: libc::c_int = 1 << 20;
        if self.family == Family::Tcp {
            // It is as well without.
            let _ = sys::set_window_clamp(self.as_fd(), QUEUE);
        }
    }

    /// Ends both directions: reads on either side see the end, also those that
    /// wait already.
    pub fn shutdown(&self) {
        // Fails only when the other end is gone already, which is as good.
        let _ = SockRef::from(&self.fd).shutdown(std::net::Shutdown::Both);
        if let Second::Reads(fd) | Second::Writes(fd) = &self.second {
            let _ = SockRef::from(fd).shutdown(std::net::Shutdown::Both);
        }
    }

    /// The first bytes that have arrived, left where they are. Waits until
    /// there is at least one; 0 means the end of the stream.
    ///
    /// # Errors
    /// `TimedOut`, or what the system says.
    pub fn peek(&self, buf: &mut [u8], timeout: Duration) -> io::Result<usize> {
        self.recv_before(buf, libc::MSG_PEEK, deadline(timeout))
    }

    /// Receives what is there, at least one byte; 0 means the end of the stream.
    ///
    /// # Errors
    /// `TimedOut` at `end`, or what the system says.
    pub fn recv_until(&self, buf: &mut [u8], end: Instant) -> io::Result<usize> {
        self.recv_before(buf, 0, end)
    }

    fn recv_before(&self, buf: &mut [u8], flags: i32, end: Instant) -> io::Result<usize> {
        loop {
            match sys::recv(self.as_fd(), buf, flags | libc::MSG_DONTWAIT) {
                Err(e) if sys::is_would_block(&e) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                other => return other,
            }
            self.wait_until(Ready::Read, end)?;
        }
    }

    /// Sends everything.
    ///
    /// # Errors
    /// `TimedOut` at `end`, then some of it may have been sent; or what the
    /// system says.
    pub fn send_until(&self, mut bytes: &[u8], end: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            let chunk = &bytes[..bytes.len().min(self.chunk())];
            match sys::send(self.sender(), chunk, libc::MSG_DONTWAIT) {
                Ok(n) => bytes = &bytes[n..],
                Err(e) if sys::is_would_block(&e) => self.wait_until(Ready::Write, end)?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    pub(crate) fn wait_until(&self, what: Ready, end: Instant) -> io::Result<()> {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let fd = match what {
                Ready::Write => self.sender(),
                Ready::Read => self.as_fd(),
            };
            if sys::wait(fd, what, Some(left))? {
                return Ok(());
            }
        }
    }

    /// The most bytes of one write.
    pub(crate) fn chunk(&self) -> usize {
        match self.family {
            Family::Vsock => VSOCK_CHUNK,
            // What the kernel takes at once is at most 2 GiB anyway.
            Family::Unix | Family::Tcp => 1 << 30,
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.second {
            Second::Reads(fd) => fd.as_fd(),
            Second::None | Second::Writes(_) => self.fd.as_fd(),
        }
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl From<Stream> for OwnedFd {
    fn from(stream: Stream) -> Self {
        if let Some(pump) = &stream.tls {
            // It ends with the descriptor, which lives on.
            pump.detach();
        }
        stream.fd
    }
}

/// No waiting to fill packets, and a peer whose machine has vanished is noticed
/// within a minute even when nothing is sent.
pub(crate) fn tune_tcp(socket: SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    socket.set_tcp_keepalive(&keepalive)
}

/// A stream from a socket whose family is known.
pub(crate) fn accepted(fd: RawFd, family: Family) -> io::Result<Stream> {
    // SAFETY: a descriptor that accept has just returned, and nobody else owns.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    if family == Family::Tcp {
        tune_tcp(SockRef::from(&fd))?;
    }
    Ok(Stream::new(fd, family))
}

/// Hands a socket of socket2 on as a plain descriptor.
pub(crate) fn into_raw(socket: Socket) -> RawFd {
    socket.into_raw_fd()
}
