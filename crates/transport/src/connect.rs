//! The way to an agent: an address becomes a stream, or a reason why it does not.

use std::io;
use std::net::ToSocketAddrs;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use crate::address::Address;
use crate::error::ConnectError;
use crate::stream::{Family, Stream, tune_tcp};
use crate::timed::deadline;
use crate::tls::Security;

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
