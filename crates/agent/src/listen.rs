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
    tls: bool,
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
    let options = ListenerOptions {
        mode: Some(mode),
        ..ListenerOptions::default()
    };
    let socket = vaccel_transport::Listener::bind(address, &options)?;
    socket
        .set_nonblocking(true)
        .with_context(|| format!("cannot listen on {address}"))?;
    let has = socket.address().to_string();
    let names = named.name.iter().cloned();
    Ok(Listener {
        tls: matches!(address, Address::Tls { .. }),
        names: names.chain([address.to_string(), has]).collect(),
        socket,
    })
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
