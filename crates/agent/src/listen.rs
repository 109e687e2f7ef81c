//! Where the agent listens.

use std::net::ToSocketAddrs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use vaccel_transport::{Address, ListenerOptions};

use crate::identity::Identity;

/// A socket that takes connections, without waiting for them.
#[derive(Debug)]
pub struct Listener {
    socket: vaccel_transport::Listener,
    /// Connections begin with a TLS handshake.
    tls: bool,
    /// It came from the service manager, whose business its file is.
    activated: bool,
    /// What a policy may call it: its name, the address that was asked for, and the one it has.
    names: Vec<String>,
}

/// An address, and what a policy may call it: `ADDRESS` or `NAME=ADDRESS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its name.
    pub name: Option<String>,
    /// Where to listen.
    pub address: Address,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_name = |name: &str| !name.is_empty() && !name.contains([':', '/']);
        let (name, address) = match text.split_once('=').filter(|(name, _)| is_name(name)) {
            Some((name, address)) => (Some(name.to_owned()), address),
            None => (None, text),
        };
        let address = address.parse::<Address>().map_err(|e| e.to_string())?;
        Ok(Self { name, address })
    }
}

impl From<Address> for Named {
    fn from(address: Address) -> Self {
        Self {
            name: None,
            address,
        }
    }
}

/// A connection that has arrived.
#[derive(Debug)]
pub struct Accepted {
    /// It.
    pub descriptor: OwnedFd,
    /// Where it comes from, for the log.
    pub origin: String,
    /// It begins with a TLS handshake.
    pub tls: bool,
    /// Who the client is, for what it may share with others; `None` when nobody knows.
    pub who: Option<String>,
    /// Who the client is, for the policy.
    pub identity: Identity,
}

/// Listens on an address.
///
/// # Errors
/// When it cannot be listened on; and for TCP beyond this machine, unless
/// `allow_insecure`.
pub fn bind(named: &Named, mode: u32, allow_insecure: bool) -> Result<Listener> {
    let address = &named.address;
    if matches!(address, Address::Tcp { .. }) && !allow_insecure && !is_loopback(address)? {
        bail!(
            "{address} can be reached from other machines, and nothing on it is encrypted \
             or asks who the client is; listen on {} with certificates, or, if the network \
             is trusted, write {} or say --allow-insecure-tcp",
            address.to_string().replacen("tcp:", "tls:", 1),
            address.to_string().replacen("tcp:", "tcp+insecure:", 1),
        );
    }
    let socket = bind_any(address, mode)?;
    let has = socket.address().to_string();
    let names = named.name.iter().cloned();
    Ok(Listener {
        tls: matches!(address, Address::Tls { .. }),
        names: names.chain([address.to_string(), has]).collect(),
        activated: false,
        socket,
    })
}

/// Listens for clients of the metrics page, which is neither encrypted nor asks who they are.
///
/// # Errors
/// When it cannot be listened on, and for addresses beyond this machine that do not say
/// so themselves.
pub fn bind_plain(address: &Address, mode: u32) -> Result<vaccel_transport::Listener> {
    match address {
        Address::Unix(_) | Address::InsecureTcp { .. } => {}
        Address::Tcp { .. } if is_loopback(address)? => {}
        Address::Tcp { .. } => bail!(
            "{address} can be reached from other machines, and whoever reaches it sees who \
             uses the agent; have a proxy in front of it, or write {}",
            address.to_string().replacen("tcp:", "tcp+insecure:", 1),
        ),
        Address::Tls { .. } | Address::Vsock { .. } => {
            bail!("{address}: metrics are served at unix:///PATH or tcp://127.0.0.1:PORT")
        }
    }
    bind_any(address, mode)
}

fn bind_any(address: &Address, mode: u32) -> Result<vaccel_transport::Listener> {
    let options = ListenerOptions {
        mode: Some(mode),
        ..ListenerOptions::default()
    };
    let socket = vaccel_transport::Listener::bind(address, &options)?;
    socket
        .set_nonblocking(true)
        .with_context(|| format!("cannot listen on {address}"))?;
    Ok(socket)
}

/// True when every address of a host is of this machine only.
pub(crate) fn is_loopback(address: &Address) -> Result<bool> {
    let Some((host, port)) = address.host_and_port() else {
        return Ok(true);
    };
    let mut addresses = (host, port)
        .to_socket_addrs()
        .with_context(|| format!("the name `{host}` cannot be resolved"))?
        .peekable();
    Ok(addresses.peek().is_some() && addresses.all(|address| address.ip().is_loopback()))
}

impl Listener {
    /// Where it listens, with the port that was chosen.
    #[must_use]
    pub fn address(&self) -> &Address {
        self.socket.address()
    }

    /// One that the service manager has opened, by the name that it gave it.
    ///
    /// # Errors
    /// When it is not a listening socket of a known family.
    pub fn activated(fd: OwnedFd, name: &str) -> Result<Self> {
        let tls = name == "tls";
        let mut socket = vaccel_transport::Listener::from_fd(fd)?;
        if tls {
            let address = socket.address().to_string().replacen("tcp:", "tls:", 1);
            let fd = socket.as_fd().try_clone_to_owned()?;
            socket = vaccel_transport::Listener::inherit(fd, address.parse()?)?;
        }
        socket.set_nonblocking(true)?;
        let has = socket.address().to_string();
        Ok(Self {
            socket,
            tls,
            activated: true,
            names: vec![name.to_owned(), has],
        })
    }

    /// One of an agent that this one takes the place of; `own` where the file was that
    /// agent's own. See [`own_file`](Self::own_file).
    ///
    /// # Errors
    /// As [`activated`](Self::activated).
    pub fn inherited(
        fd: OwnedFd,
        address: &Address,
        own: bool,
        names: Vec<String>,
    ) -> Result<Self> {
        let socket = vaccel_transport::Listener::inherit(fd, address.clone())?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            tls: matches!(address, Address::Tls { .. }),
            activated: !own,
            names,
        })
    }

    /// What a policy may call it.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What a successor is told that it is.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.activated {
            true => "activated-listen",
            false => "listen",
        }
    }

    /// Refuses plain TCP that other machines can reach, unless it was asked for.
    ///
    /// # Errors
    /// Says what to do.
    pub fn check(&self, allow_insecure: bool) -> Result<()> {
        let address = self.address();
        if matches!(address, Address::Tcp { .. }) && !allow_insecure && !is_loopback(address)? {
            bail!(
                "{address} can be reached from other machines, and nothing on it is encrypted \
                 or asks who the client is; say FileDescriptorName=tls in the socket unit and \
                 give certificates, or, if the network is trusted, FileDescriptorName=insecure"
            );
        }
        Ok(())
    }

    /// From now on the socket's file goes with this listener, unless it is the service
    /// manager's.
    pub fn own_file(&self) {
        if !self.activated {
            self.socket.own_file();
        }
    }

    /// Leaves the socket's file to another process.
    pub fn keep_file(&mut self) {
        self.socket.keep_file();
    }

    /// The next connection; `None` when none waits.
    ///
    /// # Errors
    /// What the system says, for example that there are too many open files.
    pub fn accept(&self) -> std::io::Result<Option<Accepted>> {
        match self.socket.accept() {
            Ok(stream) => {
                let peer = stream.peer().ok();
                Ok(Some(Accepted {
                    origin: peer
                        .as_ref()
                        .map_or_else(|| "a client that has gone".to_owned(), ToString::to_string),
                    who: crate::cache::who(peer.as_ref()),
                    descriptor: stream.into(),
                    tls: self.tls,
                    identity: Identity {
                        peer,
                        listener: self.names.clone(),
                        ..Identity::default()
                    },
                }))
            }
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(e),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tcp_beyond_this_machine_needs_to_be_asked_for() {
        let address: Named = "tcp://0.0.0.0:0".parse().unwrap();
        let error = bind(&address, 0o600, false).unwrap_err().to_string();
        assert!(error.contains("--allow-insecure-tcp"), "{error}");
        let listener = bind(&address, 0o600, true).unwrap();
        assert_ne!(listener.address(), &address.address);
        let by_name: Named = "tcp+insecure://0.0.0.0:0".parse().unwrap();
        bind(&by_name, 0o600, false).unwrap();
    }

    #[test]
    fn an_address_may_have_a_name() {
        let named: Named = "vm1=unix:///run/vm=1.sock".parse().unwrap();
        assert_eq!(named.name.as_deref(), Some("vm1"));
        assert_eq!(named.address.to_string(), "unix:///run/vm=1.sock");
        let plain: Named = "unix:///run/vm=1.sock".parse().unwrap();
        assert_eq!((plain.name, plain.address), (None, named.address));
        assert!("=unix:///run/x".parse::<Named>().is_err() && "vm1=".parse::<Named>().is_err());
    }

    #[test]
    fn nobody_waiting_is_not_an_error() {
        let address: Named = "tcp://127.0.0.1:0".parse().unwrap();
        let listener = bind(&address, 0o600, false).unwrap();
        assert!(listener.accept().unwrap().is_none());
    }
}
