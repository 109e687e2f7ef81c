//! Clients that come by TLS: hands are shaken here, and their bytes decrypted.
//!
//! Each has a thread of the agent's, which first shakes hands, then tells the
//! loop that a connection has arrived, and from then on encrypts and decrypts. The
//! worker is given one end of a pair of sockets. So no client that has not shown
//! its certificate ever reaches a worker, and no worker, which runs what clients
//! send, has the private key.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{EventfdFlags, eventfd};
use vaccel_transport::tls::{Acceptor, ServerFiles};
use vaccel_transport::{Address, Stream};

use crate::identity::Certificate;
use crate::listen::Accepted;
use crate::options::Options;
use crate::{debug, error, info, warn};

/// How long a client may take for the handshake, all of it.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Only what is touched takes memory.
const STACK: usize = 512 << 10;

/// How connections are encrypted.
#[derive(Debug)]
pub struct Tls {
    acceptor: Arc<Acceptor>,
    arrivals: Receiver<Accepted>,
    shared: Arc<Shared>,
    sender: Sender<Accepted>,
}

#[derive(Debug)]
struct Shared {
    /// Told each time a connection has arrived.
    wake: OwnedFd,
    handshakes: AtomicUsize,
    /// Threads there are.
    threads: Mutex<usize>,
    fewer: Condvar,
}

impl Tls {
    /// Reads the certificates, where the options name some.
    ///
    /// # Errors
    /// When they are no good; when an address asks for TLS and there are none; and when
    /// anybody could come from other machines without having been asked for.
    pub fn new(options: &Options, addresses: &[Address]) -> Result<Option<Self>> {
        let encrypted = |a: &&Address| matches!(a, Address::Tls { .. });
        let Some(address) = addresses.iter().find(encrypted) else {
            return Ok(None);
        };
        let (Some(certificate), Some(key)) = (&options.tls_cert, &options.tls_key) else {
            bail!(
                "{address} needs --tls-cert and --tls-key; `vaccel certs DIR` makes \
                 certificates to begin with"
            );
        };
        let open = options.tls_client_ca.is_none() && !options.tls_no_client_auth;
        for address in addresses.iter().filter(encrypted) {
            if open && !crate::listen::is_loopback(address)? {
                bail!(
                    "{address} can be reached from other machines, so clients must show \
                     certificates: name their authority with --tls-client-ca, or let in \
                     anybody with --tls-no-client-auth"
                );
            }
        }
        warn_of_open_key(key);
        let absolute = |path: &PathBuf| std::path::absolute(path);
        let files = ServerFiles {
            certificate: absolute(certificate)?,
            key: absolute(key)?,
            client_ca: options.tls_client_ca.as_ref().map(absolute).transpose()?,
        };
        let (sender, arrivals) = channel();
        Ok(Some(Self {
            acceptor: Arc::new(Acceptor::new(files)?),
            arrivals,
            shared: Arc::new(Shared {
                wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
                    .context("cannot make an eventfd")?,
                handshakes: AtomicUsize::new(0),
                threads: Mutex::new(0),
                fewer: Condvar::new(),
            }),
            sender,
        }))
    }

    /// How many clients have not finished their handshake.
    #[must_use]
    pub fn handshakes(&self) -> usize {
        self.shared.handshakes.load(Ordering::Relaxed)
    }

    /// Shakes hands with a client. Does not wait: it comes out of
    /// [`arrived`](Self::arrived).
    pub fn begin(&self, client: Accepted) {
        let acceptor = Arc::clone(&self.acceptor);
        let sender = self.sender.clone();
        let counted = Counted::new(&self.shared);
        self.shared.handshakes.fetch_add(1, Ordering::Relaxed);
        let started = std::thread::Builder::new()
            .name("tls".into())
            .stack_size(STACK)
            .spawn(move || serve(&acceptor, client, &sender, &counted));
        if let Err(e) = started {
            self.shared.handshakes.fetch_sub(1, Ordering::Relaxed);
            warn!("cannot start a thread for a client: {e}");
        }
    }

    /// Clients that have shaken hands since the last call.
    pub fn arrived(&self) -> Vec<Accepted> {
        let mut count = [0; 8];
        // Empty when nobody has come.
        let _ = rustix::io::read(&self.shared.wake, &mut count);
        self.arrivals.try_iter().collect()
    }

    /// Reads the certificates again; the old ones stay when the new ones are no good.
    pub fn reload(&self) {
        match self.acceptor.reload() {
            Ok(()) => info!("certificates read again"),
            Err(e) => error!("certificates stay as they were: {e}"),
        }
    }

    /// When all workers have ended: lets clients have what was sent to them last.
    pub fn settle(&self, time: Duration) {
        let end = Instant::now() + time;
        let threads = &self.shared.threads;
        let mut count = threads.lock().unwrap_or_else(PoisonError::into_inner);
        while *count > self.handshakes() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.shared.fewer.wait_timeout(count, left);
            count = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl AsFd for Tls {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.wake.as_fd()
    }
}

/// Counts a thread for as long as it runs.
struct Counted(Arc<Shared>);

impl Counted {
    fn new(shared: &Arc<Shared>) -> Self {
        *shared
            .threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner) += 1;
        Self(Arc::clone(shared))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let threads = &self.0.threads;
        *threads.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.fewer.notify_all();
    }
}

/// The life of a client's thread.
fn serve(acceptor: &Acceptor, client: Accepted, loop_: &Sender<Accepted>, counted: &Counted) {
    let shared = &counted.0;
    match acceptor.refresh() {
        Ok(true) => info!("new certificates are in use"),
        Ok(false) => {}
        Err(e) => error!("certificates stay as they were: {e}"),
    }
    let Accepted {
        descriptor,
        origin,
        who,
        mut identity,
        ..
    } = client;
    let accepted = Stream::from_fd(descriptor)
        .map_err(|e| e.to_string())
        .and_then(|stream| {
            acceptor
                .accept(stream, HANDSHAKE)
                .map_err(|e| e.to_string())
        });
    shared.handshakes.fetch_sub(1, Ordering::Relaxed);
    let accepted = match accepted {
        Ok(accepted) => accepted,
        Err(e) => {
            warn!("{origin} is not let in: {e}");
            return;
        }
    };
    identity.certificate = accepted.certificate.as_deref().and_then(Certificate::of);
    let arrived = Accepted {
        descriptor: accepted.plain,
        origin: format!("{origin} by TLS"),
        // Not those who come from there without a certificate.
        who: who.map(|who| format!("{who} by TLS")),
        tls: false,
        identity,
    };
    if loop_.send(arrived).is_err() {
        return;
    }
    if let Err(e) = rustix::io::write(&shared.wake, &1u64.to_ne_bytes()) {
        debug!("the loop is not told of a client: {e}");
    }
    if let Err(e) = accepted.relay.run() {
        info!("{origin}: {e}");
    }
}

/// Others on this machine should not read the key.
fn warn_of_open_key(key: &std::path::Path) {
    use std::os::unix::fs::MetadataExt;
    if std::fs::metadata(key).is_ok_and(|m| m.mode() & 0o007 != 0) {
        warn!(
            "every user of this machine can use the private key {}: chmod 600",
            key.display()
        );
    }
}
