//! Where the agent listens.

use std::net::ToSocketAddrs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, bail};
use vaccel_transport::{Address, ListenerOptions};

/// A socket that takes connections, without waiting for them.
#[derive(Debug)]
pub struct Listener(vaccel_transport::Listener, bool);

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
}

/// Listens on an address.
///
/// # Errors
/// When it cannot be listened on; and for TCP beyond this machine, unless
/// `allow_insecure`.
pub fn bind(address: &Address, mode: u32, allow_insecure: bool) -> Result<Listener> {
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
    let listener = vaccel_transport::Listener::bind(address, &options)?;
    listener
        .set_nonblocking(true)
        .with_context(|| format!("cannot listen on {address}"))?;
    Ok(Listener(listener, matches!(address, Address::Tls { .. })))
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
        self.0.address()
    }

    /// The next connection; `None` when none waits.
    ///
    /// # Errors
    /// What the system says, for example that there are too many open files.
    pub fn accept(&self) -> std::io::Result<Option<Accepted>> {
        match self.0.accept() {
            Ok(stream) => {
                let peer = stream.peer().ok();
                Ok(Some(Accepted {
                    origin: peer
                        .as_ref()
                        .map_or_else(|| "a client that has gone".to_owned(), ToString::to_string),
                    who: crate::cache::who(peer.as_ref()),
                    descriptor: stream.into(),
                    tls: self.1,
                }))
            }
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(e),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tcp_beyond_this_machine_needs_to_be_asked_for() {
        let address: Address = "tcp://0.0.0.0:0".parse().unwrap();
        let error = bind(&address, 0o600, false).unwrap_err().to_string();
        assert!(error.contains("--allow-insecure-tcp"), "{error}");
        let listener = bind(&address, 0o600, true).unwrap();
        assert_ne!(listener.address(), &address);
        let by_name: Address = "tcp+insecure://0.0.0.0:0".parse().unwrap();
        bind(&by_name, 0o600, false).unwrap();
    }

    #[test]
    fn nobody_waiting_is_not_an_error() {
        let address: Address = "tcp://127.0.0.1:0".parse().unwrap();
        let listener = bind(&address, 0o600, false).unwrap();
        assert!(listener.accept().unwrap().is_none());
    }
}
