//! The agent's side: who it is, whom it lets in, and new certificates while it runs.

use super::files::{self, TlsError};
use super::handshake::{self, Fault};
use super::relay::Relay;
use super::{ALPN, provider};
use crate::Stream;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{Connection, ServerConfig, ServerConnection};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a client may take to read the last that is sent to it.
const LINGER: Duration = Duration::from_secs(20);
/// How long a client whose handshake failed may take to read why.
const LAST_WORD: Duration = Duration::from_secs(1);

/// PEM files of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFiles {
    /// Its certificate, and those that lead to its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Authorities of the clients that are let in; `None` lets in anybody.
    pub client_ca: Option<PathBuf>,
}

/// Shakes hands with clients. Certificates that are replaced count from the next
/// connection on; where the new ones are no good, the old ones stay.
#[derive(Debug)]
pub struct Acceptor {
    files: ServerFiles,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    stamps: Stamps,
}

/// What tells that a file is another one: device, inode, size, time of change.
type Stamps = [Option<(u64, u64, u64, i64, i64)>; 3];

/// A client with whom hands were shaken.
#[derive(Debug)]
pub struct Accepted {
    /// Carries what the client says, decrypted.
    pub plain: OwnedFd,
    /// The client's own certificate (DER), when it has shown one; it has been verified.
    pub certificate: Option<Vec<u8>>,
    /// To be run on a thread of its own for as long as the client stays.
    pub relay: Relay,
}

/// Why there is no handshake with a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AcceptError(String);

impl Acceptor {
    /// Reads the files.
    ///
    /// # Errors
    /// Names the file, and says what is wrong with it.
    pub fn new(files: ServerFiles) -> Result<Self, TlsError> {
        let stamps = stamps(&files);
        let config = config(&files)?;
        Ok(Self {
            files,
            current: Mutex::new(Current { config, stamps }),
        })
    }

    /// Reads the files again if one has changed since they were last looked at;
    /// true when new ones count from now on.
    ///
    /// # Errors
    /// What is wrong with the new ones, told once; the old ones stay.
    pub fn refresh(&self) -> Result<bool, TlsError> {
        let stamps = stamps(&self.files);
        if self.lock().stamps == stamps {
            return Ok(false);
        }
        self.reload().map(|()| true)
    }

    /// Reads the files again.
    ///
    /// # Errors
    /// What is wrong with them; the old ones stay.
    pub fn reload(&self) -> Result<(), TlsError> {
        // Before the files are read: what changes meanwhile is read next time.
        let stamps = stamps(&self.files);
        let config = config(&self.files);
        let mut current = self.lock();
        current.stamps = stamps;
        current.config = config?;
        Ok(())
    }

    /// Shakes hands on a new connection; all of it within the time.
    ///
    /// # Errors
    /// Why not, for the log; the client has been told as well as TLS can.
    pub fn accept(&self, stream: Stream, timeout: Duration) -> Result<Accepted, AcceptError> {
        let end = Instant::now() + timeout;
        let fail = |e: &dyn std::fmt::Display| AcceptError(e.to_string());
        let config = Arc::clone(&self.lock().config);
        let tls = ServerConnection::new(config).map_err(|e| fail(&e))?;
        let mut tls = Connection::from(tls);
        if let Err(fault) = handshake::shake(&mut tls, stream.as_fd(), end) {
            let reason = match fault {
                Fault::TimedOut => format!("no TLS handshake within {timeout:?}"),
                Fault::Closed => "the client hung up during the TLS handshake".to_owned(),
                Fault::Tls(e) => {
                    handshake::linger(&stream, LAST_WORD);
                    handshake::explain(&e, "the client")
                }
                Fault::Io(e) => e.to_string(),
            };
            return Err(AcceptError(reason));
        }
        let (near, far) = Stream::pair().map_err(|e| fail(&e))?;
        let certificate = tls.peer_certificates().and_then(<[_]>::first);
        let certificate = certificate.map(|der| der.to_vec());
        Ok(Accepted {
            certificate,
            plain: near.into(),
            relay: Relay::new(tls, stream.into(), far.into(), LINGER, "the client"),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        // Nothing in a critical section panics half-way.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamps(files: &ServerFiles) -> Stamps {
    let stamp = |path: &Path| {
        let m = std::fs::metadata(path).ok()?;
        Some((m.dev(), m.ino(), m.size(), m.ctime(), m.ctime_nsec()))
    };
    [
        stamp(&files.certificate),
        stamp(&files.key),
        files.client_ca.as_deref().and_then(stamp),
    ]
}

fn config(files: &ServerFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| TlsError(e.to_string()))?;
    let builder = match &files.client_ca {
        Some(path) => {
            let roots = Arc::new(files::roots(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
                .build()
                .map_err(|e| TlsError::of(path, "certificate of the authority", e))?;
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(files::chain(&files.certificate)?, files::key(&files.key)?)
        .map_err(|e| TlsError::of(&files.certificate, "certificate", e))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session would skip the check of the client's certificate.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}
