//! How a connection begins: HELLO, WELCOME, and the memory that both sides share.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::net::sockopt;
use vaccel_abi::error::EREMOTEIO;
use vaccel_transport::{
    Family, FrameReader, FrameWriter, ReadError, Stream, handshake, second, shm,
};
use vaccel_wire::{
    FEATURE_KEPT_TENSORS, FEATURE_PIECES, FEATURE_SECOND_SOCKET, FEATURE_SHARED_MEMORY,
    FEATURE_TRACES, Limits, VERSION, Welcome,
};

use super::connection::{Connection, STALL};
use super::flights::Flights;
use super::lead::Lead;
use super::requests::NEVER;
use super::resources::Resources;
use super::service::Service;
use super::sessions::Sessions;
use super::tenant::Tenant;
use super::tensors::Tensors;
use crate::{counts, debug, warn};

/// How long a client may take to say HELLO.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

impl Connection {
    /// Opens a connection: HELLO and WELCOME.
    ///
    /// # Errors
    /// Why the client is not served, for the log; it has been told.
    pub fn open(
        descriptor: OwnedFd,
        number: u64,
        tenant: &Arc<Tenant>,
        service: &Arc<Service>,
    ) -> Result<Self, String> {
        let settings = &service.settings;
        let terms = tenant.terms().clone();
        let mut stream = Stream::from_fd(descriptor).map_err(|e| e.to_string())?;
        if stream.family() == Family::Tcp {
            watch_for_silence(&stream);
        }
        let opening = handshake::receive_hello(&stream, HELLO_TIMEOUT).map_err(refusal)?;
        let hello = opening.hello().map_err(|e| e.to_string())?;
        if let Err(e) = hello.version() {
            let text = e.to_string();
            // It hangs up anyway.
            let _ = handshake::send_welcome(&stream, &Welcome::refusal(EREMOTEIO, &text), STALL);
            return Err(text);
        }
        if let Some(name) = hello.client {
            debug!(connection = number, "the client is {name:?}");
        }
        let mut limits = Limits::for_frame(terms.max_frame);
        let unix = stream.family() == Family::Unix;
        let local = if unix { FEATURE_SECOND_SOCKET } else { 0 };
        let share = unix && terms.max_shared > 0;
        let share = if share { FEATURE_SHARED_MEMORY } else { 0 };
        let traces = if settings.traces { FEATURE_TRACES } else { 0 };
        let offered = local | share | traces | FEATURE_KEPT_TENSORS | FEATURE_PIECES;
        let features = offered & hello.features;
        let welcome = Welcome {
            status: 0,
            version: VERSION,
            in_flight: terms.threads,
            features,
            default_deadline_ms: u32::try_from(terms.deadline().as_millis()).unwrap_or(u32::MAX),
            max_frame: limits.frame,
            connection: number,
            text: concat!("vaccel-agent ", env!("CARGO_PKG_VERSION")),
        };
        let client_takes = hello.max_frame;
        handshake::send_welcome(&stream, &welcome, STALL)
            .and_then(|()| stream.set_read_timeout(Some(settings.park_after.min(STALL))))
            .map_err(|e| e.to_string())?;
        if features & FEATURE_SECOND_SOCKET != 0 {
            let taken = second::accept(&mut stream, Instant::now() + HELLO_TIMEOUT)
                .map_err(|e| format!("the client brought no second socket: {e}"))?;
            if !taken {
                debug!(connection = number, "no second socket came from the client");
            }
        }
        let (mut memory, mut tx, mut rx) = (None, None, None);
        if features & FEATURE_SHARED_MEMORY != 0 {
            let end = Instant::now() + HELLO_TIMEOUT;
            match shm::host::accept(&stream, terms.max_shared, settings.mode, end)
                .map_err(|e| format!("the client offered no memory: {e}"))?
            {
                Ok(host) => {
                    limits.shared = true;
                    (tx, rx) = (host.tx, host.rx);
                    memory = Some(host.memory);
                }
                Err(e) => warn!(connection = number, "{e}"),
            }
        }
        let stream = Arc::new(stream);
        // Numbers of uploads begin anew in each connection; their folders must not meet.
        let folder = settings.folder.join(format!("connection.{number}"));
        std::fs::create_dir(&folder)
            .map_err(|e| format!("cannot make the folder {}: {e}", folder.display()))?;
        let mut reader = FrameReader::new(limits);
        if let Some(rx) = rx {
            reader.use_ring(rx);
        }
        let resources = Resources::new(
            folder,
            terms.max_resources,
            settings.contents.as_ref().map(|all| all.desk(number)),
            tenant,
        );
        let mut writer =
            FrameWriter::with_ring(Arc::clone(&stream), tx).counting(counts::mine().midway(number));
        if features & FEATURE_PIECES != 0 {
            writer = writer.in_pieces(client_takes);
        }
        Ok(Self {
            number,
            pool: Arc::clone(reader.pool()),
            reader: Mutex::new(reader),
            writer,
            stream,
            limits,
            client_takes,
            sessions: Sessions::new(tenant),
            tensors: Tensors::new(resources.quota()),
            resources,
            memory,
            lead: Lead::new(terms.threads.into()),
            flights: Flights::new(limits.frame.saturating_mul(2)),
            tenant: Arc::clone(tenant),
            look_at: AtomicU64::new(NEVER),
            service: Arc::clone(service),
            known: AtomicBool::new(false),
            reason: Mutex::default(),
        })
    }
}

/// What to say about a client that does not say HELLO.
fn refusal(e: ReadError) -> String {
    match e {
        ReadError::Closed => "the client hung up before it said HELLO".to_owned(),
        ReadError::TimedOut => format!("the client did not say HELLO within {HELLO_TIMEOUT:?}"),
        e => e.to_string(),
    }
}

/// Lets the kernel find out that a machine at the other end has gone without a word.
fn watch_for_silence(stream: &Stream) {
    let set = || {
        sockopt::set_socket_keepalive(stream, true)?;
        sockopt::set_tcp_keepidle(stream, Duration::from_secs(60))?;
        sockopt::set_tcp_keepintvl(stream, Duration::from_secs(15))?;
        sockopt::set_tcp_keepcnt(stream, 4)
    };
    if let Err(e) = set() {
        debug!("keepalive cannot be set: {e}");
    }
}
