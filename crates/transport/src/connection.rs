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

use crate::address::Address;
use crate::error::{CallError, ConnectError, ReadError, SendError};
use crate::handshake::{self, Granted};
use crate::outputs::{Outputs, PlaceError, checked, deliver};
use crate::reader::FrameReader;
use crate::sys::{self, Piece, Ready};
use crate::table::{Meaning, Table};
use crate::timed::{Present, Source, Timed, deadline};
use crate::writer::FrameWriter;
use crate::{Stream, fork};
use std::cell::Cell;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use vaccel_wire::{Args, Frame, FrameBuffer, Header, Hello, Kind, Limits, WireError};

/// The most requests that a client has in flight, whatever the agent grants.
const MOST_IN_FLIGHT: u16 = 256;

/// How often a writer that waits for room looks whether somebody still reads.
const LOOK: Duration = Duration::from_millis(20);

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
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(60),
            token: None,
            client: None,
            max_frame: 4 << 30,
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
}

#[derive(Debug)]
struct Reading {
    frames: FrameReader,
    /// The socket's receive timeout.
    timeout: Duration,
}

/// What a leader waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goal {
    Reply(u64, Expected),
    Room,
}

/// What the answer to a request must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Expected {
    kind: Kind,
    nr_write: u16,
}

/// Why a leader stopped reading.
enum Led {
    /// Its own reply, delivered.
    Reply(Result<(), CallError>),
    /// There is room for a further request.
    Room,
    TimedOut,
    Dead,
}

/// A request in flight.
#[derive(Debug)]
#[must_use = "the reply must be waited for"]
pub struct Pending<'c> {
    connection: &'c Connection,
    request: u64,
    expected: Expected,
    deadline: Instant,
    timeout: Duration,
    /// True once nothing is in flight any more.
    over: bool,
}

impl Connection {
    /// Connects to an agent and opens the connection.
    ///
    /// # Errors
    /// Says what is wrong with the address or the agent.
    pub fn connect(address: &Address, options: &Options) -> Result<Self, ConnectError> {
        let end = deadline(options.connect_timeout);
        let stream = Stream::connect(address, options.connect_timeout)?;
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
    pub fn open(stream: Stream, address: &str, options: &Options) -> Result<Self, ConnectError> {
        let mut hello = Hello::new(options.max_frame);
        hello.token = options.token.as_deref();
        hello.client = options.client.as_deref();
        let granted = handshake::open(&stream, &hello, address, options.connect_timeout)?;
        let timeout = options.timeout.max(Duration::from_millis(1));
        stream
            .set_read_timeout(Some(timeout))
            .map_err(|e| ConnectError::Unreachable {
                address: address.to_owned(),
                reason: e.to_string(),
            })?;
        let most = granted.in_flight.min(MOST_IN_FLIGHT);
        Ok(Self {
            address: address.into(),
            timeout,
            epoch: fork::epoch(),
            writer: FrameWriter::new(Arc::new(stream)),
            reading: Mutex::new(Reading {
                frames: FrameReader::new(Limits::for_frame(options.max_frame)),
                timeout,
            }),
            table: Mutex::new(Table::new(most)),
            replies: (0..most).map(|_| Condvar::new()).collect(),
            room: Condvar::new(),
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
        if self.epoch != fork::epoch() {
            return Err(CallError::Forked);
        }
        if frame.frame_len() > self.granted.max_frame {
            return Err(CallError::Request(WireError::TooLarge {
                what: "the request",
                size: frame.frame_len(),
                limit: self.granted.max_frame,
            }));
        }
        let timeout = timeout.unwrap_or(self.timeout);
        let deadline = deadline(timeout);
        let request = self.enter(deadline, timeout)?;
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
        };
        let millis = u32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX);
        frame.address(request, session, millis.max(1));
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
                Err(self.timed_out(timeout))
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

    fn misfit(&self, text: impl Into<String>) -> CallError {
        CallError::Reply(Arc::clone(&self.address), text.into())
    }

    fn no_place(&self, error: PlaceError) -> CallError {
        match error {
            PlaceError::Misfit(text) => self.misfit(text),
            PlaceError::NoMemory(bytes) => CallError::NoMemory(bytes),
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

    /// Called while the socket is full: waits for room, and reads if nobody does.
    fn while_full(&self, left: Option<Duration>) -> io::Result<()> {
        let fd = self.writer.stream().as_fd();
        let mut table = self.lock();
        if table.lead {
            drop(table);
            let time = left.map_or(LOOK, |l| l.min(LOOK));
            return sys::wait(fd, Ready::Write, Some(time)).map(drop);
        }
        table.lead = true;
        drop(table);
        let _lead = Lead(self);
        if let Some(Ready::Read | Ready::Either) = sys::wait(fd, Ready::Either, left)? {
            let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
            let mut present = Present(self.writer.stream());
            // An error that lasts is found again by the next who reads.
            while self.next(&mut reading.frames, &mut present, None).is_ok() {}
        }
        Ok(())
    }

    /// Reads until the goal is reached. The caller has set `lead`; it is
    /// unset, and passed on, on return.
    fn lead(&self, goal: Goal, deadline: Instant, outputs: &mut dyn Outputs) -> Led {
        let lead = Lead(self);
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let Reading { frames, timeout } = &mut *reading;
        let mut source = Timed {
            stream: self.writer.stream(),
            deadline,
            current: timeout,
        };
        let own = match goal {
            Goal::Reply(request, _) => Some(request),
            Goal::Room => None,
        };
        let led = loop {
            match self.next(frames, &mut source, own) {
                Ok(header) if Some(header.request) == own => {
                    let Goal::Reply(_, expected) = goal else {
                        continue;
                    };
                    match self.take(header, expected, frames, &mut source, outputs) {
                        Ok(result) => break Led::Reply(result),
                        Err(error) => break self.fault(&error),
                    }
                }
                Ok(_) => {}
                Err(error) => break self.fault(&error),
            }
            if goal == Goal::Room && self.lock().has_room() {
                break Led::Room;
            }
        };
        // Others may read from here on.
        drop(reading);
        drop(lead);
        led
    }

    /// What an error of reading means for the leader and the connection.
    fn fault(&self, error: &ReadError) -> Led {
        if matches!(error, ReadError::TimedOut) {
            return Led::TimedOut;
        }
        self.die(match error {
            ReadError::Closed => "the agent hung up".into(),
            ReadError::Truncated => "the agent hung up in the middle of a reply".into(),
            ReadError::Frame { error, .. } => format!("the agent sent what is no frame: {error}"),
            other => other.to_string(),
        });
        Led::Dead
    }

    /// Reads one frame and hands it to whom it concerns; the caller's own stays
    /// in the reader.
    fn next<S: Source>(
        &self,
        frames: &mut FrameReader,
        source: &mut S,
        own: Option<u64>,
    ) -> Result<Header, ReadError> {
        let header = frames.head(source)?;
        match header.kind {
            Kind::Reply | Kind::Pong => {}
            Kind::Ping => {
                frames.skip();
                let mut buffer = FrameBuffer::new();
                self.writer.post(&buffer.bare(Kind::Pong, header.request));
                return Ok(header);
            }
            Kind::Request | Kind::Cancel => {
                return Err(ReadError::Frame {
                    header: Some(header),
                    error: WireError::Field {
                        message: "a frame from the agent",
                        field: "kind",
                        value: header.kind as u64,
                    },
                });
            }
        }
        if Some(header.request) == own {
            return Ok(header);
        }
        let meaning = self.lock().meaning(header.request);
        match meaning {
            Meaning::Pending => {
                let message = frames.receive(source)?;
                let mut table = self.lock();
                let wanted = table.answer(header.request, message);
                drop(table);
                if wanted {
                    self.replies[Table::index(header.request)].notify_one();
                } else {
                    self.room.notify_one();
                }
            }
            Meaning::Abandoned => {
                frames.skip();
                self.leave(header.request);
            }
            Meaning::Unknown => {
                return Err(ReadError::Frame {
                    header: Some(header),
                    error: WireError::Field {
                        message: "a reply",
                        field: "number of the request",
                        value: header.request,
                    },
                });
            }
        }
        Ok(header)
    }

    /// Takes the leader's own reply. The outer error is one of reading.
    fn take<S: Source>(
        &self,
        header: Header,
        expected: Expected,
        frames: &mut FrameReader,
        source: &mut S,
        outputs: &mut dyn Outputs,
    ) -> Result<Result<(), CallError>, ReadError> {
        if let Some(payload) = frames.payload() {
            let result = self.deliver(&header, frames.meta(), payload, expected, outputs);
            frames.skip();
            return Ok(result);
        }
        if frames.is_gathering() || header.status() != 0 || header.kind != expected.kind {
            let message = frames.receive(source)?;
            let (meta, payload) = (message.meta(), message.payload());
            return Ok(self.deliver(&header, meta, payload, expected, outputs));
        }
        let pieces = Args::decode(&header, frames.meta(), frames.limits())
            .map_err(|e| self.misfit(e.to_string()))
            .and_then(|args| self.pieces(&header, &args, expected, outputs));
        match pieces {
            Ok((mut pieces, _gap)) => {
                // SAFETY: each piece is the memory of an output, which whoever
                // made it vouches for, or the gap, which lives until here.
                let outcome = unsafe { frames.scatter(source, &mut pieces) };
                if outcome.is_err() {
                    // The reader drops the rest of the reply: it has come.
                    self.leave(header.request);
                }
                outcome.map(Ok)
            }
            Err(error) => {
                frames.skip();
                Ok(Err(error))
            }
        }
    }

    /// The memory that the payload of a reply goes to, gaps included.
    fn pieces(
        &self,
        header: &Header,
        args: &Args<'_>,
        expected: Expected,
        outputs: &mut dyn Outputs,
    ) -> Result<(Vec<Piece>, Box<[u8; 64]>), CallError> {
        self.check(header, expected)?;
        // Gaps are dropped here; writing them one over the other does no harm.
        let mut gap = Box::new([0; 64]);
        let mut pieces = Vec::with_capacity(2 * args.writes().len());
        let mut end = 0;
        let mut add = |at: *mut u8, len: usize| {
            if len > 0 {
                pieces.push(Piece {
                    iov_base: at.cast(),
                    iov_len: len,
                });
            }
        };
        // A successful reply has no read arguments that anybody wants, but their
        // bytes come first.
        for arg in args.reads() {
            if arg.size > 0 && arg.has_data() {
                return Err(self.misfit("a successful reply has read arguments"));
            }
        }
        for arg in args.writes() {
            let to = checked(&arg, outputs).map_err(|e| self.no_place(e))?;
            if !arg.range.is_empty() {
                add(gap.as_mut_ptr(), arg.range.start - end);
                add(to.at, arg.range.len());
                end = arg.range.end;
            }
        }
        Ok((pieces, gap))
    }

    fn check(&self, header: &Header, expected: Expected) -> Result<(), CallError> {
        if header.nr_write == expected.nr_write {
            return Ok(());
        }
        Err(self.misfit(format!(
            "it has {} outputs, and {} were asked for",
            header.nr_write, expected.nr_write
        )))
    }

    /// Hands a complete reply to its caller.
    fn deliver(
        &self,
        header: &Header,
        meta: &[u8],
        payload: &[u8],
        expected: Expected,
        outputs: &mut dyn Outputs,
    ) -> Result<(), CallError> {
        if header.kind != expected.kind {
            return Err(self.misfit("a sign of life was mixed up with a reply"));
        }
        if header.kind == Kind::Pong {
            return Ok(());
        }
        let args = Args::decode(header, meta, &Limits::for_frame(u64::MAX))
            .map_err(|e| self.misfit(e.to_string()))?;
        let status = header.status();
        if status != 0 {
            let message = args.message(payload);
            // None is usual; another number is nothing to learn from.
            if header.nr_write == expected.nr_write {
                outputs.failed(status, &args, payload);
            }
            return Err(CallError::Remote {
                // Negative numbers are nobody's error codes.
                status: if status > 0 {
                    status
                } else {
                    vaccel_abi::error::EREMOTEIO
                },
                message: if message.is_empty() {
                    vaccel_abi::error::describe(status).to_owned()
                } else {
                    message
                },
            });
        }
        self.check(header, expected)?;
        deliver(&args, payload, outputs).map_err(|e| self.no_place(e))
    }

    /// Ends the connection: every call in flight fails now.
    fn die(&self, reason: String) {
        let mut table = self.lock();
        if table.dead.is_none() {
            table.dead = Some(reason.into());
        }
        drop(table);
        self.writer.stream().shutdown();
        for reply in &self.replies {
            reply.notify_all();
        }
        self.room.notify_all();
    }

    /// Ends the connection: every call in flight fails now, later ones too.
    pub fn close(&self) {
        if self.epoch == fork::epoch() {
            self.die("it was closed on this side".into());
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

/// The right and duty to read the stream; passed on when dropped.
struct Lead<'c>(&'c Connection);

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let mut table = self.0.lock();
        table.lead = false;
        if let Some(index) = table.sleeper() {
            self.0.replies[index].notify_one();
        } else if table.waiting_for_room > 0 {
            self.0.room.notify_one();
        }
    }
}

impl Pending<'_> {
    /// Waits for the reply.
    ///
    /// # Errors
    /// See [`CallError`]. After an error nothing writes to the outputs any more.
    pub fn wait(mut self, outputs: &mut dyn Outputs) -> Result<(), CallError> {
        let connection = self.connection;
        let index = Table::index(self.request);
        let mut table = connection.lock();
        loop {
            if let Some(message) = table.take(self.request) {
                self.over = true;
                if table.waiting_for_room > 0 {
                    connection.room.notify_one();
                }
                drop(table);
                let (meta, payload) = (message.meta(), message.payload());
                return connection.deliver(&message.header, meta, payload, self.expected, outputs);
            }
            if let Some(reason) = &table.dead {
                let reason = Arc::clone(reason);
                return Err(CallError::Lost(Arc::clone(&connection.address), reason));
            }
            if !table.lead {
                table.lead = true;
                drop(table);
                let goal = Goal::Reply(self.request, self.expected);
                match connection.lead(goal, self.deadline, outputs) {
                    Led::Reply(result) => {
                        self.over = true;
                        connection.leave(self.request);
                        return result;
                    }
                    Led::TimedOut => return Err(connection.timed_out(self.timeout)),
                    Led::Room | Led::Dead => {}
                }
                table = connection.lock();
                continue;
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(connection.timed_out(self.timeout));
            }
            table.park(self.request, true);
            let waited = connection.replies[index].wait_timeout(table, left);
            table = waited.unwrap_or_else(PoisonError::into_inner).0;
            table.park(self.request, false);
        }
    }
}

impl Drop for Pending<'_> {
    /// Takes the request back when nobody has waited for its reply.
    fn drop(&mut self) {
        if self.over || self.connection.epoch != fork::epoch() {
            return;
        }
        let connection = self.connection;
        let mut table = connection.lock();
        let to_come = table.abandon(self.request);
        let dead = table.dead.is_some();
        if table.waiting_for_room > 0 {
            connection.room.notify_one();
        }
        drop(table);
        if to_come && !dead {
            CANCEL.with(|cell| {
                let mut buffer = cell.take();
                let frame = buffer.bare(Kind::Cancel, self.request);
                connection.writer.post(&frame);
                cell.set(buffer);
            });
        }
    }
}

thread_local! {
    static CANCEL: Cell<FrameBuffer> = Cell::default();
}
