//! One connection: requests are read, run and answered.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use vaccel_abi::error::{ECANCELED, EIO, ENOMEM, ETIMEDOUT};
use vaccel_transport::{FrameReader, FrameWriter, Message, Pool, ReadError, Stream, shm};
use vaccel_wire::control::RESOURCE_DATA;
use vaccel_wire::{Frame, FrameBuffer, Header, Kind, Limits, Trace, WireError};

use super::content::Contents;
use super::control;
use super::failure::{Failure, Result};
use super::flights::{About, Begun, Fate, Flights};
use super::generic::Call;
use super::lead::Lead;
use super::pace::Expected;
use super::resources::Resources;
use super::service::Service;
use super::sessions::Sessions;
use super::shared::Room;
use super::tenant::{Pass, Tenant};
use super::tensors::Tensors;
use super::watch::Watched;
use crate::handoff::{ToAgent, offer_to_agent};
use crate::traces::Span;
use crate::{counts, debug, error};
/// How long a client may stop in the middle of a frame.
pub(super) const STALL: Duration = Duration::from_secs(20);
/// The slowest that a client may take a reply, bytes a second, beside [`STALL`].
const SLOWEST: u64 = 1 << 20;
/// Bytes of an answer that are sent without waiting for anybody.
const SOON_SENT: u64 = 64 << 10;
/// What an error takes at the most, about.
const MAX_MESSAGE: u64 = 8 << 10;
const TOO_LATE: &str = "the deadline had passed before the request could begin";

/// What all connections of a worker have in common.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What is spent to see requests in shared memory sooner.
    pub mode: shm::Mode,
    /// How long a connection is quiet before it gives up its thread.
    pub park_after: Duration,
    /// Folder for uploads.
    pub folder: PathBuf,
    /// What the agent keeps.
    pub contents: Option<Arc<Contents>>,
    /// The agent takes spans of requests.
    pub traces: bool,
}

/// A connection that is being served.
#[derive(Debug)]
pub struct Connection {
    pub(super) number: u64,
    pub(super) stream: Arc<Stream>,
    pub(super) reader: Mutex<FrameReader>,
    /// The reader's own: whoever reads holds the lock while it waits.
    pub(super) pool: Arc<Pool>,
    pub(super) writer: FrameWriter,
    pub(super) limits: Limits,
    /// Largest frame that the client takes.
    pub(super) client_takes: u64,
    /// Sessions that the client has opened.
    pub(super) sessions: Sessions,
    /// Resources that the client has sent.
    pub(super) resources: Resources,
    /// Tensors that its sessions keep.
    pub(super) tensors: Tensors,
    /// Memory that the client shares. Goes last of what operations use.
    pub(super) memory: Option<shm::Memory>,
    pub(super) lead: Lead,
    pub(super) flights: Flights,
    /// Whose it is.
    pub(super) tenant: Arc<Tenant>,
    /// When its requests are looked at next, in nanoseconds since the service began.
    pub(super) look_at: AtomicU64,
    /// What it shares with the other connections of the worker.
    pub(super) service: Arc<Service>,
    /// It has been parked before.
    pub(super) known: AtomicBool,
    /// Why the connection ended; the first reason counts.
    pub(super) reason: Mutex<Option<String>>,
}

/// What a thread keeps from one request to the next.
#[derive(Default)]
pub(super) struct Scratch {
    buffer: FrameBuffer,
    call: Call,
}

/// What a thread does after a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It reads the next one.
    Next,
    /// It does not hold the reading any more.
    Lost,
    /// Nothing has come for a while.
    Quiet,
    /// Nothing more comes.
    Over,
}

/// What there is to count of a request.
struct Done {
    /// Where its plugin is counted.
    plugin: usize,
    /// When the operation had ended.
    computed: Instant,
    /// Bytes of the reply.
    sent: u64,
    /// What it counts of its tenant's quotas.
    pass: Pass,
}

/// Why there is no next frame.
enum NoFrame {
    /// Nothing has come for a while.
    Quiet,
    /// Nothing more comes.
    Over(String),
}

impl Connection {
    /// Reads a request and runs it.
    pub(super) fn serve_one(self: &Arc<Self>, scratch: &mut Scratch) -> Step {
        let message = match self.read(&mut scratch.buffer) {
            Ok(message) => message,
            Err(NoFrame::Quiet) => return Step::Quiet,
            Err(NoFrame::Over(reason)) => {
                self.note(reason);
                return Step::Over;
            }
        };
        let header = message.header;
        match header.kind {
            Kind::Request => {}
            Kind::Cancel => {
                self.flights.cancel(header.request);
                counts::mine().cancelled.fetch_add(1, Ordering::Relaxed);
                return Step::Next;
            }
            Kind::Ping => {
                let pong = scratch.buffer.bare(Kind::Pong, header.request);
                self.writer.post(&pong);
                return Step::Next;
            }
            Kind::Pong => return Step::Next,
            Kind::Reply | Kind::ReplyInPieces | Kind::Piece => {
                self.note("the client sent a reply; it must send requests".to_owned());
                return Step::Over;
            }
        }
        let arrived = Instant::now();
        let wanted = header.deadline_ms();
        let wanted = (wanted > 0).then(|| Duration::from_millis(wanted.into()));
        let time = self.tenant.terms().time(wanted);
        let deadline = arrived + time;
        // Arguments that are wrong are answered later; they take no further memory.
        let beside = |args: &vaccel_wire::Args<'_>| (args.capacity(), args.shared());
        let args = message.args(&self.limits);
        let shared = self.memory.is_some() && args.as_ref().is_ok_and(is_shared);
        let (outputs, beyond) = args.as_ref().map_or((0, 0), beside);
        let trace = args.as_ref().ok().and_then(vaccel_wire::Args::trace);
        let trace = trace.filter(|trace| self.service.settings.traces && trace.is_sampled());
        let size = header.frame_len().saturating_add(beyond);
        let bytes = size.saturating_add(outputs);
        let pass = match self.tenant.admit(header.operation, bytes) {
            Ok(pass) => pass,
            Err(Failure { code, message }) => {
                counts::mine().note(&counts::Request {
                    operation: header.operation,
                    bytes_in: size,
                    error: code,
                    ..counts::Request::default()
                });
                self.send(&scratch.buffer.error_reply(&header, code, &message));
                return Step::Next;
            }
        };
        let about = About {
            request: header.request,
            operation: header.operation,
            session: header.session,
            shared,
            shortened: wanted.is_some_and(|wanted| wanted > time),
            timed: wanted.is_some_and(|wanted| wanted <= time),
        };
        match self.flights.begin(about, deadline, bytes) {
            Begun::Yes => {}
            Begun::Twice => {
                self.note(format!("the request {} is in flight twice", header.request));
                return Step::Over;
            }
            Begun::TooLate => {
                counts::mine().note(&counts::Request {
                    operation: header.operation,
                    bytes_in: size,
                    error: ETIMEDOUT,
                    queue: arrived.elapsed(),
                    ..counts::Request::default()
                });
                let reply = scratch.buffer.error_reply(&header, ETIMEDOUT, TOO_LATE);
                self.send(&reply);
                return Step::Next;
            }
        }
        let times = (arrived, deadline);
        if header.operation == RESOURCE_DATA {
            // Pieces keep the order in which they were sent: the next request
            // waits, however long the disk takes.
            self.answer(message, (size, trace, pass), times, scratch);
            return Step::Next;
        }
        let expected = self.service.pace.expected(header.operation);
        let brief = expected == Expected::Brief;
        let number = self.lead.begin(brief);
        match expected {
            Expected::Long => Arc::clone(self).takes_long(number),
            Expected::Brief | Expected::Anything => self.service.watch.rouse(brief),
        }
        let done = self.answer(message, (size, trace, pass), times, scratch);
        let took = done.duration_since(arrived);
        self.service.pace.note(header.operation, took);
        match self.lead.end(number) {
            true => Step::Next,
            false => Step::Lost,
        }
    }

    /// The next frame, or why there is none.
    fn read(&self, buffer: &mut FrameBuffer) -> Result<Message, NoFrame> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        // Where the frame stood when the wait was over, and since when.
        let mut stopped = None;
        loop {
            match reader.read(&self.stream) {
                Ok(message) => return Ok(message),
                Err(ReadError::TimedOut) if !reader.is_mid_frame() => return Err(NoFrame::Quiet),
                Err(ReadError::TimedOut) => match stopped {
                    Some((mark, since)) if mark == reader.mark() => {
                        if Instant::now().duration_since(since) >= STALL {
                            return Err(NoFrame::Over(format!(
                                "the client sent nothing for {STALL:?} in the middle of a frame"
                            )));
                        }
                    }
                    _ => stopped = Some((reader.mark(), Instant::now())),
                },
                Err(ReadError::NoMemory { header, bytes }) => {
                    // The reader goes on after it.
                    let text = format!("the agent has no memory for a request of {bytes} bytes");
                    self.refuse(&header, ENOMEM, &text, buffer);
                }
                Err(ReadError::Frame { header, error }) => {
                    if let Some(header) = header {
                        self.refuse(&header, error.code(), &error.to_string(), buffer);
                    }
                    return Err(NoFrame::Over(error.to_string()));
                }
                Err(e) => return Err(NoFrame::Over(e.to_string())),
            }
        }
    }

    /// Answers a request that was not read to its end.
    fn refuse(&self, header: &Header, code: i32, text: &str, buffer: &mut FrameBuffer) {
        if header.kind == Kind::Request {
            counts::mine().note(&counts::Request {
                operation: header.operation,
                error: code,
                ..counts::Request::default()
            });
            self.writer.post(&buffer.error_reply(header, code, text));
        }
    }

    /// Runs a request of `size` bytes, sends the answer, and counts it. Returns when it was
    /// done: when a long answer had been sent, and when a short one was to be.
    fn answer(
        &self,
        mut message: Message,
        (size, trace, pass): (u64, Option<Trace>, Pass),
        (arrived, deadline): (Instant, Instant),
        scratch: &mut Scratch,
    ) -> Instant {
        let header = message.header;
        let Scratch { buffer, call } = scratch;
        // Nothing but a comparison while requests are not logged.
        let _span = tracing::debug_span!(
            "request",
            request = header.request,
            session = header.session,
            operation = counts::name_of(header.operation),
        )
        .entered();
        let turn = self.service.turn(&self.tenant, deadline);
        let begun = Instant::now();
        let mut done = Done {
            plugin: 0,
            computed: begun,
            sent: 0,
            pass,
        };
        let result = if turn.is_none() || begun >= deadline {
            Err(Failure::new(ETIMEDOUT, TOO_LATE))
        } else {
            let run = || self.run(&mut message, call, buffer, &header, &mut done);
            catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
                error!(connection = self.number, "a request panicked; see above");
                Err(Failure::new(EIO, "the agent failed internally"))
            })
        };
        drop(turn);
        let error = match result {
            Ok(()) => 0,
            Err(failure) => self.answer_failure(&header, &failure, call, buffer, &mut done),
        };
        let answered = Instant::now();
        let counted = counts::Request {
            plugin: done.plugin,
            operation: header.operation,
            bytes_in: size,
            bytes_out: done.sent,
            error,
            transfer_in: message.took(arrived),
            queue: begun.duration_since(arrived),
            compute: done.computed.duration_since(begun),
            transfer_out: answered.duration_since(done.computed),
        };
        counts::mine().note(&counted);
        if let Some(trace) = trace {
            let span = Span::new(trace, &header, counted);
            let number = self.number;
            offer_to_agent(&self.service.channel, &ToAgent::Span { number, span });
        }
        // Whoever waits for an answer may get the processor with its first byte: that does not
        // make the request a long one.
        match done.sent {
            ..=SOON_SENT => done.computed,
            _ => answered,
        }
    }

    /// Says why a request failed, and returns the code of it.
    fn answer_failure(
        &self,
        header: &Header,
        failure: &Failure,
        call: &mut Call,
        buffer: &mut FrameBuffer,
        done: &mut Done,
    ) -> i32 {
        debug!("fails with code {}: {}", failure.code, failure.message);
        call.take_back(header.session, &self.tensors);
        if *failure == answered() {
            return ETIMEDOUT;
        }
        // Room for the longest message.
        done.pass.answering(MAX_MESSAGE);
        match self.flights.end(header.request) {
            Fate::Open => {}
            Fate::Cancelled => {
                let text = "the request was cancelled";
                done.sent += self.send(&buffer.error_reply(header, ECANCELED, text));
                return ECANCELED;
            }
            Fate::Answered => return ETIMEDOUT,
        }
        done.sent += match call.failure_reply(header, failure, buffer) {
            Some(frame) => self.send(&frame),
            None => self.send(&buffer.error_reply(header, failure.code, &failure.message)),
        };
        failure.code
    }

    /// Runs a request. Success has been sent when this returns; failure has not.
    fn run(
        &self,
        message: &mut Message,
        call: &mut Call,
        buffer: &mut FrameBuffer,
        header: &Header,
        done: &mut Done,
    ) -> Result<()> {
        call.clear();
        if header.operation >= control::FIRST {
            let args = message.args(&self.limits)?;
            let frame = control::run(self, header, &args, message.payload(), buffer);
            done.computed = Instant::now();
            return self.send_result(header, &frame?, done);
        }
        let (session, plugin) = self.sessions.get_counted(header.session)?;
        done.plugin = plugin;
        let (meta, payload) = message.parts_mut();
        let args = vaccel_wire::Args::decode(header, meta, &self.limits)?;
        let ran = call.run(
            header,
            &args,
            payload,
            (&session, &self.tensors),
            &self.resources,
            &mut Room::new(self.memory.as_ref(), &self.pool),
        );
        done.computed = Instant::now();
        ran?;
        done.sent = call.written_shared();
        let frame = call.reply(header, payload, buffer)?;
        self.send_result(header, &frame, done)
    }

    /// Sends the result of a request, unless it was cancelled meanwhile.
    fn send_result(&self, header: &Header, frame: &Frame<'_, '_>, done: &mut Done) -> Result<()> {
        if frame.frame_len() > self.client_takes {
            return Err(WireError::TooLarge {
                what: "the reply",
                size: frame.frame_len(),
                limit: self.client_takes,
            }
            .into());
        }
        match self.flights.end(header.request) {
            Fate::Open => {}
            Fate::Cancelled => return Err(Failure::new(ECANCELED, "the request was cancelled")),
            Fate::Answered => return Err(answered()),
        }
        done.pass.answering(frame.frame_len());
        done.sent += self.send(frame);
        Ok(())
    }

    /// Sends a frame, and returns its size; a client that does not take it is hung up on.
    fn send(&self, frame: &Frame<'_, '_>) -> u64 {
        let size = frame.frame_len();
        let time = STALL + Duration::from_secs(size / SLOWEST);
        if let Err(e) = self.writer.send(frame, Some(Instant::now() + time)) {
            self.note(format!("cannot answer: {e}"));
            self.stream.shutdown();
        }
        size
    }

    /// Says why the connection ends; the first reason counts.
    pub(super) fn note(&self, reason: String) {
        let mut first = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(reason);
    }
}

/// The request has been answered because its time was over.
fn answered() -> Failure {
    Failure::new(0, "")
}

/// Some argument lies in memory that the client shares.
fn is_shared(args: &vaccel_wire::Args<'_>) -> bool {
    args.reads()
        .chain(args.writes())
        .any(|arg| arg.shared.is_some())
}
