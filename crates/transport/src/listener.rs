//! Where an agent takes calls.

use crate::address::{Address, CID_ANY};
use crate::error::ListenError;
use crate::stream::{Family, Stream};
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs;
use std::io;
use std::net::ToSocketAddrs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// How to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerOptions {
    /// Permission bits of a Unix socket; `None` leaves what the umask gives.
    pub mode: Option<u32>,
    /// How many connections may wait to be accepted.
    pub backlog: i32,
}

impl Default for ListenerOptions {
    fn default() -> Self {
        Self {
            mode: None,
            backlog: 128,
        }
    }
}

/// Takes connections at an address. A Unix socket's file goes with it.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    family: Family,
    address: Address,
    file: OnceLock<SocketFile>,
}

/// The file that a listener made, so that it removes no other.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    owner: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A child of fork() leaves it to its parent.
        if crate::fork::epoch() != self.owner {
            return;
        }
        let same = fs::symlink_metadata(&self.path)
            .is_ok_and(|m| m.dev() == self.device && m.ino() == self.inode);
        if same {
            // Nothing is lost when it stays: it is found stale next time.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Listener {
    /// Listens at an address.
    ///
    /// A Unix socket that is left over from a process that is gone is removed;
    /// one on which somebody answers is not.
    ///
    /// # Errors
    /// Says what stands in the way, and what to do.
    pub fn bind(address: &Address, options: &ListenerOptions) -> Result<Self, ListenError> {
        let fail = |reason: String, source| ListenError {
            address: address.to_string(),
            reason,
            source,
        };
        match address {
            Address::Unix(path) => {
                clear(path).map_err(|reason| fail(reason, None))?;
                bind_unix(path, options)
                    .map_err(|e| fail(explain_path(path, &e), Some(e)))
                    .map(|(socket, file)| Self {
                        socket,
                        family: Family::Unix,
                        address: address.clone(),
                        file: OnceLock::from(file),
                    })
            }
            Address::Tcp { host, port }
            | Address::InsecureTcp { host, port }
            | Address::Tls { host, port } => {
                let resolved = (host.as_str(), *port).to_socket_addrs().map_err(|e| {
                    fail(format!("the name `{host}` cannot be resolved: {e}"), Some(e))
                })?;
                let mut last = None;
                for to in resolved {
                    match bind_inet(to, options.backlog) {
                        Ok((socket, port)) => {
                            return Ok(Self {
                                socket,
                                family: Family::Tcp,
                                address: address.with_port(port),
                                file: OnceLock::new(),
                            });
                        }
                        Err(e) => last = Some(e),
                    }
                }
                let error = last.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into());
                let reason = match error.kind() {
                    io::ErrorKind::AddrInUse => {
                        "the port is in use; choose another, or 0 for any".into()
                    }
                    io::ErrorKind::AddrNotAvailable => {
                        "this machine does not have that address".into()
                    }
                    io::ErrorKind::PermissionDenied => {
                        "ports below 1024 need privileges; choose a higher one".into()
                    }
                    _ => error.to_string(),
                };
                Err(fail(reason, Some(error)))
            }
            Address::Vsock { cid, port } => bind_vsock(*cid, *port, options.backlog)
                .map_err(|e| {
                    let reason = match e.raw_os_error() {
                        Some(libc::EAFNOSUPPORT | libc::ENODEV) => {
                            "this machine has no vsock; load the module vhost_vsock or vsock_loopback"
                                .into()
                        }
                        Some(libc::EADDRNOTAVAIL) => format!(
                            "{cid} is not the context of this machine; write vsock://any:{port}"
                        ),
                        Some(libc::EADDRINUSE) => "the port is in use; choose another".into(),
                        _ => e.to_string(),
                    };
                    fail(reason, Some(e))
                })
                .map(|(socket, port)| Self {
                    socket,
                    family: Family::Vsock,
                    address: Address::Vsock { cid: *cid, port },
                    file: OnceLock::new(),
                }),
        }
    }

    /// Takes a listening socket that came from elsewhere, for example from
    /// systemd. Its file, if it has one, stays.
    ///
    /// # Errors
    /// When it does not listen, or has an address of no known family.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(fd);
        let invalid = |text| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        if socket.r#type()? != Type::STREAM || !socket.is_listener()? {
            return invalid("the descriptor is not a listening stream socket");
        }
        let local = socket.local_addr()?;
        let (family, address) = if let Some(path) = local.as_pathname() {
            (Family::Unix, Address::Unix(path.into()))
        } else if let Some((cid, port)) = local.as_vsock_address() {
            (Family::Vsock, Address::Vsock { cid, port })
        } else if let Some(inet) = local.as_socket() {
            let host = inet.ip().to_string();
            let port = inet.port();
            (Family::Tcp, Address::Tcp { host, port })
        } else {
            return invalid("the socket has an address of no known family");
        };
        Ok(Self {
            socket,
            family,
            address,
            file: OnceLock::new(),
        })
    }

    /// Takes over a listening socket of a process that this one takes the place of, at
    /// the address that it was opened with. Its file, if it has one, stays, until
    /// [`own_file`](Self::own_file).
    ///
    /// # Errors
    /// As [`from_fd`](Self::from_fd); when the socket is not of that address's family.
    pub fn inherit(fd: OwnedFd, address: Address) -> io::Result<Self> {
        let mut listener = Self::from_fd(fd)?;
        let family = match &address {
            Address::Unix(_) => Family::Unix,
            Address::Tcp { .. } | Address::InsecureTcp { .. } | Address::Tls { .. } => Family::Tcp,
            Address::Vsock { .. } => Family::Vsock,
        };
        if listener.family != family {
            let text = format!("the socket is not one of {address}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        listener.address = address;
        Ok(listener)
    }

    /// From now on the socket's file, where it has one, goes with this listener.
    pub fn own_file(&self) {
        if let Address::Unix(path) = &self.address
            && let Ok(meta) = fs::symlink_metadata(path)
        {
            let file = SocketFile {
                path: path.clone(),
                device: meta.dev(),
                inode: meta.ino(),
                owner: crate::fork::epoch(),
            };
            if let Err(mut second) = self.file.set(file) {
                // It is owned already; a second owner must not remove it when it goes here.
                second.owner = 0;
            }
        }
    }

    /// Where it listens: what was asked for, with the port that was chosen.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    /// `WouldBlock` when the listener is non-blocking and none waits; what the
    /// system says, for example that there are too many open files.
    pub fn accept(&self) -> io::Result<Stream> {
        loop {
            match self.socket.accept() {
                Ok((socket, _)) => {
                    return crate::stream::accepted(crate::stream::into_raw(socket), self.family);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // It has gone again before it was accepted.
                Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Lets [`accept`](Self::accept) return at once when nobody waits. Accepted
    /// streams are not affected.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        self.socket.set_nonblocking(on)
    }

    /// Keeps the socket's file when the listener goes, for a process that
    /// hands the socket on.
    pub fn keep_file(&mut self) {
        if let Some(file) = self.file.get_mut() {
            // No process has this number.
            file.owner = 0;
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Removes a socket on which nobody answers.
fn clear(path: &Path) -> Result<(), String> {
    let Ok(meta) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !meta.file_type().is_socket() {
        return Err("something that is no socket is at that path; choose another".into());
    }
    let answered = SockAddr::unix(path).and_then(|to| {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // A queue that is full has an owner too, and must not be waited for.
        socket.set_nonblocking(true)?;
        socket.connect(&to)
    });
    match answered {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(format!(
                "a socket is left over there and cannot be removed: {e}"
            )),
            _ => Ok(()),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            Err("a socket of another user is there; choose another path".into())
        }
        _ => Err("another process answers on that socket; stop it or choose another path".into()),
    }
}

fn bind_unix(path: &Path, options: &ListenerOptions) -> io::Result<(Socket, SocketFile)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let meta = fs::symlink_metadata(path)?;
    let file = SocketFile {
        path: path.into(),
        device: meta.dev(),
        inode: meta.ino(),
        owner: crate::fork::epoch(),
    };
    if let Some(mode) = options.mode {
        // Before listen: until then nobody can connect, whatever the umask was.
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    socket.listen(options.backlog)?;
    Ok((socket, file))
}

fn explain_path(path: &Path, error: &io::Error) -> String {
    let folder = path.parent().unwrap_or(path).display();
    match error.kind() {
        io::ErrorKind::NotFound => format!("the folder {folder} does not exist; create it"),
        io::ErrorKind::PermissionDenied => {
            format!("this user may not create files in {folder}; choose another folder")
        }
        io::ErrorKind::AddrInUse => "another process has just taken that path".into(),
        _ => error.to_string(),
    }
}

fn bind_inet(to: std::net::SocketAddr, backlog: i32) -> io::Result<(Socket, u16)> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&to.into())?;
    socket.listen(backlog)?;
    let local = socket.local_addr()?.as_socket();
    Ok((socket, local.map_or(to.port(), |a| a.port())))
}

fn bind_vsock(cid: u32, port: u32, backlog: i32) -> io::Result<(Socket, u32)> {
    let socket = Socket::new(Domain::VSOCK, Type::STREAM, None)?;
    // VMADDR_PORT_ANY is all ones; a port of 0 means the same here.
    let wanted = if port == 0 { CID_ANY } else { port };
    socket.bind(&SockAddr::vsock(cid, wanted))?;
    socket.listen(backlog)?;
    let local = socket.local_addr()?.as_vsock_address();
    Ok((socket, local.map_or(port, |a| a.1)))
}
