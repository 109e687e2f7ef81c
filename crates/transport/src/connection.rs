//! The client: calls from many threads over one stream, without a thread of
//! its own.
//!
//! A caller writes its request and then waits for the reply. The first one who
//! waits **leads**: it reads the stream. What it reads for others it hands to
//! them; when its own reply comes it takes it, for large ones straight into the
//! caller's memory, and wakes one of those who wait, who then leads. So a lone
//! caller costs one send and one receive, and nobody is woken needlessly.
//!
//! What adapts itself:
//! * A socket that is full: the writer reads meanwhile, so that an agent that
//!   waits for its replies to be taken can go on.
//! * Deadlines: the socket's own receive timeout is used, and set again only
//!   when it no longer fits (`timed.rs`).
//! * Small data is gathered in one piece, large data is sent from where it lies
//!   (`vaccel-wire`), and received where it is wanted.
//!
//! A request whose caller has given up stays in the table until the agent has
//! answered it, so that the agent never has more in flight than it granted.

mod lead;
mod parting;
mod pending;
mod probe;
mod reply;
mod shared;
mod submitted;

use crate::address::Address;
use crate::error::{CallError, ConnectError, SendError};
use crate::handshake::{self, Granted};
use crate::outputs::Outputs;
use crate::reader::FrameReader;
use crate::second;
use crate::shm::{self, Block};
use crate::table::Table;
use crate::timed::deadline;
use crate::tls::Security;
use crate::writer::FrameWriter;
use crate::{Family, Stream, fork};
use lead::{Goal, Reading};
pub use pending::Pending;
use reply::Expected;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
pub use submitted::Sink;
pub(crate) use submitted::Submitted;
use vaccel_wire::{Frame, FrameBuffer, Hello, Kind, Limits, Trace, WireError};

/// The most requests that a client has in flight, whatever the agent grants.
const MOST_IN_FLIGHT: u16 = 256;

/// How to connect.
#[derive(Debug, Clone)]
pub struct Options {
    /// Time for connecting and opening.
    pub connect_timeout: Duration,
    /// Time for a call that names none.
    pub timeout: Duration,
    /// Bearer token.
    pub token: Option<Vec<u8>>,
    /// Name of the client, for the agent's logs.
    pub client: Option<String>,
    /// Largest frame taken from the agent, in bytes.
    pub max_frame: u64,
    /// What TLS needs, and what may go without it.
    pub security: Security,
    /// Share memory with an agent on a Unix socket.
    pub share_memory: bool,
    /// What is spent to see replies in shared memory sooner.
    pub mode: shm::Mode,
    /// The trace that requests belong to, told to agents that record traces.
    pub trace: Option<Trace>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(60),
            token: None,
            client: None,
            max_frame: 4 << 30,
            security: Security::default(),
            share_memory: true,
            mode: shm::Mode::default(),
            trace: None,
        }
    }
}

/// A connection to an agent, for calls from many threads.
#[derive(Debug)]
pub struct Connection {
    address: Arc<str>,
    granted: Granted,
    timeout: Duration,
    epoch: u64,
    writer: FrameWriter,
    reading: Mutex<Reading>,
    table: Mutex<Table>,
    /// One for each request in flight.
    replies: Box<[Condvar]>,
    room: Condvar,
    /// For who attends to requests that nobody waits for.
    attention: Condvar,
    memory: Option<shm::Client>,
    /// Why there is none although it was granted.
    not_shared: Option<String>,
    /// The agent has said that it goes away.
    leaving: AtomicBool,
    /// The trace that requests belong to, where the agent wants to know.
    trace: Option<Trace>,
    /// What the agent said when it gave the connection up.
    parting: OnceLock<String>,
}
impl Connection {
    /// Connects to an agent and opens the connection.
    ///
    /// # Errors
    /// Says what is wrong with the address or the agent.
    pub fn connect(address: &Address, options: &Options) -> Result<Self, ConnectError> {
        let end = deadline(options.connect_timeout);
        let stream = Stream::connect_with(address, options.connect_timeout, &options.security)?;
        let left = end.saturating_duration_since(Instant::now());
        let options = Options {
            connect_timeout: left.max(Duration::from_millis(1)),
            ..options.clone()
        };
        Self::open(stream, &address.to_string(), &options)
    }

    /// Opens a connection on a stream that exists. `address` is for messages.
    ///
    /// # Errors
    /// Says what is wrong with the agent.
    pub fn open(
        mut stream: Stream,
        address: &str,
        options: &Options,
    ) -> Result<Self, ConnectError> {
        let mut hello = Hello::new(options.max_frame);
        hello.token = options.token.as_deref();
        hello.client = options.client.as_deref();
        let end = deadline(options.connect_timeout);
        if options.share_memory && stream.family() == Family::Unix {
            hello.features |= vaccel_wire::FEATURE_SHARED_MEMORY;
        }
        if stream.family() == Family::Unix {
            hello.features |= vaccel_wire::FEATURE_SECOND_SOCKET;
        }
        hello.features |= vaccel_wire::FEATURE_KEPT_TENSORS | vaccel_wire::FEATURE_PIECES;
        // Granted where traces are recorded; a request may name one later.
        hello.features |= vaccel_wire::FEATURE_TRACES;
        let granted = handshake::open(&stream, &hello, address, options.connect_timeout)?;
        let mut limits = Limits::for_frame(options.max_frame);
        limits.pieces = granted.features & vaccel_wire::FEATURE_PIECES != 0;
        if limits.pieces {
            stream.keep_queue_short();
        }
        let unreachable = |e: &dyn std::fmt::Display| ConnectError::Unreachable {
            address: address.to_owned(),
            reason: e.to_string(),
        };
        if granted.features & vaccel_wire::FEATURE_SECOND_SOCKET != 0 {
            // Without it, replies come where requests go.
            let _taken = second::offer(&mut stream, end).map_err(|e| unreachable(&e))?;
        }
        let (mut memory, mut not_shared, mut ring) = (None, None, None);
        let mut frames = FrameReader::new(limits);
        if granted.features & vaccel_wire::FEATURE_SHARED_MEMORY != 0 {
            match shm::client::offer(&stream, options.mode, end) {
                Ok((client, tx, rx)) => {
                    limits.shared = true;
                    frames = FrameReader::new(limits);
                    frames.use_ring(rx);
                    memory = Some(client);
                    ring = Some(tx);
                }
                Err(e @ shm::ShareError::Refused { .. }) => not_shared = Some(e.to_string()),
                Err(e) => return Err(unreachable(&e)),
            }
        }
        let timeout = options.timeout.max(Duration::from_millis(1));
        stream
            .set_read_timeout(Some(timeout))
            .map_err(|e| unreachable(&e))?;
        let most = granted.in_flight.min(MOST_IN_FLIGHT);
        Ok(Self {
            address: address.into(),
            timeout,
            epoch: fork::epoch(),
            writer: FrameWriter::with_ring(Arc::new(stream), ring),
            reading: Mutex::new(Reading { frames, timeout }),
            table: Mutex::new(Table::new(most)),
            replies: (0..most).map(|_| Condvar::new()).collect(),
            room: Condvar::new(),
            attention: Condvar::new(),
            memory,
            not_shared,
            leaving: AtomicBool::new(false),
            trace: options
                .trace
                .filter(|_| granted.features & vaccel_wire::FEATURE_TRACES != 0),
            parting: OnceLock::new(),
            granted,
        })
    }

    /// Where the agent is.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What the agent granted.
    #[must_use]
    pub fn granted(&self) -> &Granted {
        &self.granted
    }

    /// False once the connection is of no use any more, as far as is known:
    /// whether an agent is still there shows at the next call.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.epoch == fork::epoch() && self.lock().dead.is_none()
    }

    /// True once the agent has said that it goes away: it still answers, but what comes
    /// next should go by a new connection.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// True where the agent records traces: then requests may [say](Frame::trace) which one they
    /// belong to, instead of that of the [`Options`].
    #[must_use]
    pub fn takes_traces(&self) -> bool {
        self.granted.features & vaccel_wire::FEATURE_TRACES != 0
    }

    /// Sends a request and waits for its outputs. `session` is 0 where none is
    /// meant; `timeout` is `None` for the connection's own.
    ///
    /// # Errors
    /// See [`CallError`]. After an error nothing writes to the outputs any more.
    pub fn call(
        &self,
        frame: &mut Frame<'_, '_>,
        session: i64,
        timeout: Option<Duration>,
        outputs: &mut dyn Outputs,
    ) -> Result<(), CallError> {
        self.begin(frame, session, timeout)?.wait(outputs)
    }

    /// As [`call`](Self::call), for a request with arguments in shared memory: the
    /// blocks are used again only after the agent has answered, even when that is
    /// long after the caller has given up.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn call_with(
        &self,
        frame: &mut Frame<'_, '_>,
        session: i64,
        timeout: Option<Duration>,
        outputs: &mut dyn Outputs,
        blocks: Vec<Arc<Block>>,
    ) -> Result<(), CallError> {
        self.begin_with(frame, session, timeout, blocks)?
            .wait(outputs)
    }

    /// Sends a request. Several may be in flight; each is waited for on its own.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn begin(
        &self,
        frame: &mut Frame<'_, '_>,
        session: i64,
        timeout: Option<Duration>,
    ) -> Result<Pending<'_>, CallError> {
        self.begin_with(frame, session, timeout, Vec::new())
    }

    /// As [`begin`](Self::begin), with blocks as for [`call_with`](Self::call_with).
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn begin_with(
        &self,
        frame: &mut Frame<'_, '_>,
        session: i64,
        timeout: Option<Duration>,
        blocks: Vec<Arc<Block>>,
    ) -> Result<Pending<'_>, CallError> {
        self.begin_as(frame, session, timeout, blocks, |_| {})
            .map_err(|(_, error)| error)
    }

    /// Sends a request, whose place in the table is given to `entered` before. An error
    /// comes with its number when it had one and may have been sent in part.
    fn begin_as(
        &self,
        frame: &mut Frame<'_, '_>,
        session: i64,
        timeout: Option<Duration>,
        blocks: Vec<Arc<Block>>,
        entered: impl FnOnce(&Pending<'_>),
    ) -> Result<Pending<'_>, (Option<u64>, CallError)> {
        if self.epoch != fork::epoch() {
            return Err((None, CallError::Forked));
        }
        if let (Some(trace), false) = (&self.trace, frame.is_ping()) {
            frame.trace(trace);
        }
        if frame.frame_len() > self.granted.max_frame {
            let error = CallError::Request(WireError::TooLarge {
                what: "the request",
                size: frame.frame_len(),
                limit: self.granted.max_frame,
            });
            return Err((None, error));
        }
        let timeout = timeout.unwrap_or(self.timeout);
        let deadline = deadline(timeout);
        let request = self.enter(deadline, timeout).map_err(|e| (None, e))?;
        let mut pending = Pending {
            connection: self,
            request,
            expected: Expected {
                kind: if frame.is_ping() {
                    Kind::Pong
                } else {
                    Kind::Reply
                },
                nr_write: frame.nr_write(),
            },
            deadline,
            timeout,
            over: false,
            blocks,
        };
        let millis = u32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX);
        frame.address(request, session, millis.max(1));
        entered(&pending);
        let sent = self
            .writer
            .send_with(frame, Some(deadline), &mut |left| self.while_full(left));
        match sent {
            // When the agent is gone the stream's end will say so; before it,
            // there may be a reply that says why.
            Ok(()) | Err(SendError::Lost(_)) => Ok(pending),
            Err(SendError::TimedOut { begun }) => {
                if !begun {
                    pending.over = true;
                    self.leave(request);
                }
                Err((begun.then_some(request), self.timed_out(timeout)))
            }
        }
    }

    /// Asks for a sign of life.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn ping(&self, timeout: Duration) -> Result<(), CallError> {
        let mut buffer = FrameBuffer::new();
        let mut frame = buffer.bare(Kind::Ping, 0);
        self.call(&mut frame, 0, Some(timeout), &mut ())
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing in a critical section panics half-way.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn timed_out(&self, after: Duration) -> CallError {
        CallError::TimedOut {
            address: Arc::clone(&self.address),
            after,
        }
    }
    /// Finds a place for a request, waiting for one when all are taken.
    fn enter(&self, deadline: Instant, timeout: Duration) -> Result<u64, CallError> {
        let mut table = self.lock();
        loop {
            if let Some(reason) = &table.dead {
                let reason = Arc::clone(reason);
                return Err(CallError::Dead(Arc::clone(&self.address), reason));
            }
            if let Some(request) = table.enter() {
                return Ok(request);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.timed_out(timeout));
            }
            if table.lead {
                table.waiting_for_room += 1;
                let waited = self.room.wait_timeout(table, left);
                table = waited.unwrap_or_else(PoisonError::into_inner).0;
                table.waiting_for_room -= 1;
            } else {
                // All who are in flight have given up, or nobody waits yet.
                table.lead = true;
                drop(table);
                self.lead(Goal::Room, deadline, &mut ());
                table = self.lock();
            }
        }
    }

    fn leave(&self, request: u64) {
        let mut table = self.lock();
        table.leave(request);
        if table.waiting_for_room > 0 {
            self.room.notify_one();
        }
    }
    /// Ends the connection: every call in flight fails now.
    fn die(&self, reason: String) {
        let mut table = self.lock();
        let reason = Arc::clone(table.dead.get_or_insert_with(|| reason.into()));
        drop(table);
        self.writer.stream().shutdown();
        for reply in &self.replies {
            reply.notify_all();
        }
        self.room.notify_all();
        self.end_all(&reason);
    }

    /// Ends the connection: every call in flight fails now, later ones too.
    pub fn close(&self) {
        if self.epoch == fork::epoch() {
            self.die("it was closed on this side".into());
            // The plugin that holds this code may be unloaded next.
            self.writer.stream().settle();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The stream is shared with a parent: a child only closes its own handle.
        if self.epoch == fork::epoch() {
            self.writer.stream().shutdown();
        }
    }
}
