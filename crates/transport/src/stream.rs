//! One end of a connection: Unix, TCP, TLS or vsock.

use crate::address::Address;
use crate::error::ConnectError;
use crate::sys::{self, Ready};
use crate::timed::deadline;
use crate::tls::{Pump, Security};
use socket2::{Domain, SockAddr, SockRef, Socket, TcpKeepalive, Type};
use std::io;
use std::net::ToSocketAddrs;
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
    family: Family,
    /// What encrypts behind it. Dropped after the descriptor, whose end it waits for.
    tls: Option<Arc<Pump>>,
}

impl Stream {
    /// Connects to an agent.
    ///
    /// `timeout` covers all addresses of a name, but not the resolving of it,
    /// which the C library does in its own time.
    ///
    /// # Errors
    /// Says what is there instead, and what to do.
    pub fn connect(address: &Address, timeout: Duration) -> Result<Self, ConnectError> {
        Self::connect_with(address, timeout, &Security::default())
    }

    /// Connects to an agent; `security` says what TLS needs, and what may go
    /// without it.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); when a name leads to another machine, and
    /// the address neither asks for TLS nor says that it does without.
    pub fn connect_with(
        address: &Address,
        timeout: Duration,
        security: &Security,
    ) -> Result<Self, ConnectError> {
        let end = deadline(timeout);
        match address {
            Address::Unix(path) => {
                let to = SockAddr::unix(path).map_err(|e| unreachable(address, &e))?;
                let socket = Socket::new(Domain::UNIX, Type::STREAM, None)
                    .map_err(|e| unreachable(address, &e))?;
                // The send timeout counts for connect, and is the only way to wait
                // for a listener whose queue is full.
                let limited = socket
                    .set_write_timeout(Some(timeout.max(Duration::from_millis(1))))
                    .and_then(|()| connect_fully(&socket, &to))
                    .and_then(|()| socket.set_write_timeout(None));
                match limited {
                    Ok(()) => Ok(Self::new(socket.into(), Family::Unix)),
                    Err(e) => Err(failed(address, timeout, &e)),
                }
            }
            Address::Tcp { host, port }
            | Address::InsecureTcp { host, port }
            | Address::Tls { host, port } => {
                let encrypted = matches!(address, Address::Tls { .. });
                // What is wrong with a certificate is told before anybody is called.
                let tls = match encrypted {
                    true => Some(security.tls(address)?),
                    false => None,
                };
                let plaintext =
                    security.allow_plaintext || matches!(address, Address::InsecureTcp { .. });
                let resolved = (host.as_str(), *port).to_socket_addrs().map_err(|e| {
                    ConnectError::Unreachable {
                        address: address.to_string(),
                        reason: format!("the name `{host}` cannot be resolved: {e}"),
                    }
                })?;
                let mut last = None;
                for to in resolved {
                    let left = end.saturating_duration_since(Instant::now());
                    if left.is_zero() && last.is_some() {
                        break;
                    }
                    if !encrypted && !plaintext && !to.ip().is_loopback() {
                        return Err(plain(address, to.ip()));
                    }
                    match connect_inet(to, left.max(Duration::from_millis(1))) {
                        Ok(stream) => {
                            return match tls {
                                Some(tls) => tls.open(stream, address, end, timeout),
                                None => Ok(stream),
                            };
                        }
                        Err(e) => last = Some(e),
                    }
                }
                let error = last.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into());
                Err(failed(address, timeout, &error))
            }
            Address::Vsock { cid, port } => {
                let connected = Socket::new(Domain::VSOCK, Type::STREAM, None).and_then(|socket| {
                    socket.connect_timeout(&SockAddr::vsock(*cid, *port), timeout)?;
                    Ok(Self::new(socket.into(), Family::Vsock))
                });
                connected.map_err(|e| failed(address, timeout, &e))
            }
        }
    }

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
            family,
            tls: None,
        }
    }

    /// A stream whose bytes something else encrypts.
    pub(crate) fn encrypted(fd: OwnedFd, pump: Arc<Pump>) -> Self {
        Self {
            fd,
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
        let c: Ucred = sys::option(self.as_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED)?;
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
        SockRef::from(&self.fd).set_read_timeout(time)
    }

    /// Ends both directions: reads on either side see the end, also those that
    /// wait already.
    pub fn shutdown(&self) {
        // Fails only when the other end is gone already, which is as good.
        let _ = SockRef::from(&self.fd).shutdown(std::net::Shutdown::Both);
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
            match sys::send(self.as_fd(), chunk, libc::MSG_DONTWAIT) {
                Ok(n) => bytes = &bytes[n..],
                Err(e) if sys::is_would_block(&e) => self.wait_until(Ready::Write, end)?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn wait_until(&self, what: Ready, end: Instant) -> io::Result<()> {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            if sys::wait(self.as_fd(), what, Some(left))?.is_some() {
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
        self.fd.as_fd()
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
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

/// Connects, and waits on when a signal interrupts.
fn connect_fully(socket: &Socket, to: &SockAddr) -> io::Result<()> {
    loop {
        match socket.connect(to) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            // A connect that was interrupted has gone through meanwhile.
            Err(e) if e.raw_os_error() == Some(libc::EISCONN) => return Ok(()),
            other => return other,
        }
    }
}

/// No waiting to fill packets, and a peer whose machine has vanished is noticed
/// within a minute even when nothing is sent.
fn tune_tcp(socket: SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    socket.set_tcp_keepalive(&keepalive)
}

fn connect_inet(to: std::net::SocketAddr, timeout: Duration) -> io::Result<Stream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.connect_timeout(&to.into(), timeout)?;
    tune_tcp(SockRef::from(&socket))?;
    Ok(Stream::new(socket.into(), Family::Tcp))
}

fn failed(address: &Address, timeout: Duration, error: &io::Error) -> ConnectError {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => ConnectError::TimedOut {
            address: address.to_string(),
            after: timeout,
        },
        _ => unreachable(address, error),
    }
}

fn plain(address: &Address, ip: std::net::IpAddr) -> ConnectError {
    let insecure = address.to_string().replacen("tcp:", "tcp+insecure:", 1);
    let tls = address.to_string().replacen("tcp:", "tls:", 1);
    ConnectError::Unreachable {
        address: address.to_string(),
        reason: format!(
            "{ip} is another machine, and everybody on the way could read and change what is \
             sent: use {tls}, or, if the network is trusted, write {insecure} or set \
             VACCEL_RPC_ALLOW_PLAINTEXT=1"
        ),
    }
}

fn unreachable(address: &Address, error: &io::Error) -> ConnectError {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, NotFound, PermissionDenied};
    let reason = match (address, error.kind()) {
        (Address::Unix(_), NotFound) => {
            "there is no such socket; start vaccel-agent, or correct the address".into()
        }
        (Address::Unix(_), ConnectionRefused) => {
            "nobody listens on the socket; start vaccel-agent".into()
        }
        (Address::Unix(_), PermissionDenied) => {
            "this user may not use the socket; see its mode and owner".into()
        }
        (
            Address::Tcp { .. } | Address::InsecureTcp { .. } | Address::Tls { .. },
            ConnectionRefused,
        ) => "nobody listens there; start vaccel-agent, or correct the address".into(),
        (Address::Vsock { .. }, ConnectionReset | ConnectionRefused) => {
            "nobody listens there; start vaccel-agent on the host, and see the port".into()
        }
        (Address::Vsock { .. }, _)
            if matches!(
                error.raw_os_error(),
                Some(libc::EAFNOSUPPORT | libc::ENODEV)
            ) =>
        {
            format!("this machine has no vsock: load the module or give it a device ({error})")
        }
        _ => error.to_string(),
    };
    ConnectError::Unreachable {
        address: address.to_string(),
        reason,
    }
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
