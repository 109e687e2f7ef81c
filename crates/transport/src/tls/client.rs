//! The client's side: whom to believe, and who it is.

use super::files::{self, TlsError};
use super::handshake::{self, Fault};
use super::relay::{Pump, Relay};
use super::{ALPN, provider};
use crate::address::Address;
use crate::error::ConnectError;
use crate::{Peer, Stream};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a connection that is being closed may still send what it has.
const LINGER: Duration = Duration::from_millis(500);

/// What TLS needs on the client's side, and what may go without it. Files are
/// read at each connection, so that new certificates count from the next one on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Security {
    /// PEM file of the authorities whose agents are believed.
    pub ca: Option<PathBuf>,
    /// PEM file with the certificate of this client, and those that lead to its authority.
    pub certificate: Option<PathBuf>,
    /// PEM file with its private key.
    pub key: Option<PathBuf>,
    /// The name in the agent's certificate, where it is not the one in the address.
    pub name: Option<String>,
    /// Plain TCP may leave this machine.
    pub allow_plaintext: bool,
}

/// What a handshake needs.
pub(crate) struct ClientTls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Security {
    /// Reads the files.
    pub(crate) fn tls(&self, address: &Address) -> Result<ClientTls, ConnectError> {
        let wrong = |reason: String| ConnectError::Unreachable {
            address: address.to_string(),
            reason,
        };
        let config = self.config().map_err(|e| wrong(e.to_string()))?;
        let host = address.host_and_port().map_or("", |(host, _)| host);
        let name = self.name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| wrong(format!("`{name}` is no name that a certificate can have")))?;
        Ok(ClientTls {
            config: Arc::new(config),
            name,
        })
    }

    fn config(&self) -> Result<ClientConfig, TlsError> {
        let Some(ca) = &self.ca else {
            return Err(TlsError(
                "no authority is trusted: set VACCEL_RPC_TLS_CA to a PEM file with its certificate"
                    .into(),
            ));
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| TlsError(e.to_string()))?
            .with_root_certificates(files::roots(ca)?);
        let mut config = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => builder
                .with_client_auth_cert(files::chain(certificate)?, files::key(key)?)
                .map_err(|e| TlsError::of(certificate, "certificate", e))?,
            (None, None) => builder.with_no_client_auth(),
            _ => {
                return Err(TlsError(
                    "a certificate and its key go together: set both VACCEL_RPC_TLS_CERT and \
                     VACCEL_RPC_TLS_KEY"
                        .into(),
                ));
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        Ok(config)
    }
}

impl ClientTls {
    /// Shakes hands on a new connection, and starts what encrypts.
    pub(crate) fn open(
        self,
        stream: Stream,
        address: &Address,
        end: Instant,
        timeout: Duration,
    ) -> Result<Stream, ConnectError> {
        let wrong = |reason: String| ConnectError::Unreachable {
            address: address.to_string(),
            reason,
        };
        let system = |e: io::Error| wrong(e.to_string());
        let tls = ClientConnection::new(self.config, self.name)
            .map_err(|e| wrong(handshake::explain(&e, "the agent")))?;
        let mut tls = Connection::from(tls);
        handshake::shake(&mut tls, stream.as_fd(), end).map_err(|fault| match fault {
            Fault::TimedOut => ConnectError::TimedOut {
                address: address.to_string(),
                after: timeout,
            },
            Fault::Closed => wrong(
                "it hung up during the TLS handshake: does it listen for tcp:// and not tls://?"
                    .into(),
            ),
            Fault::Tls(e) => wrong(handshake::explain(&e, "the agent")),
            Fault::Io(e) => system(e),
        })?;
        let peer = match stream.peer().map_err(system)? {
            Peer::Tcp(peer) => peer,
            other => return Err(wrong(format!("{other} is no TCP address"))),
        };
        let (near, far) = Stream::pair().map_err(system)?;
        let relay = Relay::new(
            tls,
            OwnedFd::from(stream),
            OwnedFd::from(far),
            LINGER,
            "the agent",
        );
        let pump = Pump::start(relay, peer).map_err(system)?;
        Ok(Stream::encrypted(near.into(), Arc::new(pump)))
    }
}
