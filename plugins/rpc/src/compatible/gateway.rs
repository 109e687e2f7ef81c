//! Carries calls to an agent that speaks ttrpc, and its answers back.

use super::request::{self, Translated};
use super::response::{self, What};
use super::uploads::Uploads;
use super::{probe, request::Failure};
use crate::link::lock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use vaccel_compat::{
    DEFAULT_MAX_MESSAGE, FrameDecoder, HEADER_LEN, Kind as FrameKind, Request, Response,
    SYNC_SERVICE, decode, encode_frame,
};
use vaccel_plugin::abi::error::{ECANCELED, ENOTSUP, EREMOTEIO};
use vaccel_transport::{FrameReader, FrameWriter, Stream, fork, handshake};
use vaccel_wire::{FrameBuffer, Header, Kind, Limits, VERSION, Welcome};

/// Requests in flight; the agent has a thread for each.
const IN_FLIGHT: u16 = 64;
/// How long opening the pair of sockets may take, between threads of one process.
const OPENING: Duration = Duration::from_secs(5);
/// How long the agent may take nothing of a request, or the plugin nothing of a reply.
const STALL: Duration = Duration::from_secs(20);
/// The slowest that a request may be taken, bytes a second, beside [`STALL`].
const SLOWEST: u64 = 1 << 20;
/// What is read at once.
const CHUNK: usize = 256 << 10;

/// A gateway that runs.
#[derive(Debug)]
pub(crate) struct Gateway {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// The process that has the threads.
    epoch: u64,
}

#[derive(Debug)]
struct Shared {
    /// To the agent.
    agent: Stream,
    /// To the plugin.
    plugin: Arc<Stream>,
    writer: FrameWriter,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    /// The stream id of the next call.
    next: u32,
    /// Calls that have not been answered, by stream id.
    pending: HashMap<u32, Pending>,
    pub(super) uploads: Uploads,
}

#[derive(Debug)]
struct Pending {
    header: Header,
    what: What,
}

impl Gateway {
    /// Serves the plugin at one stream by the agent at the other.
    pub(super) fn start(agent: Stream, plugin: Stream) -> std::io::Result<Self> {
        let plugin = Arc::new(plugin);
        let shared = Arc::new(Shared {
            agent,
            writer: FrameWriter::new(Arc::clone(&plugin)),
            plugin,
            state: Mutex::new(State {
                next: probe::NEXT_STREAM,
                pending: HashMap::new(),
                uploads: Uploads::default(),
            }),
        });
        let gateway = Self {
            shared: Arc::clone(&shared),
            threads: Mutex::default(),
            epoch: fork::epoch(),
        };
        let other = Arc::clone(&shared);
        let requests = Builder::new()
            .name("vaccel-requests".into())
            .spawn(move || shared.carry_requests())?;
        lock(&gateway.threads).push(requests);
        let replies = Builder::new()
            .name("vaccel-replies".into())
            .spawn(move || other.carry_replies())?;
        lock(&gateway.threads).push(replies);
        Ok(gateway)
    }

    /// Hangs up at both ends and waits until no code of the gateway runs any more.
    pub(crate) fn end(&self) {
        if self.epoch != fork::epoch() {
            // The threads are the parent's, and so is the connection.
            return;
        }
        self.shared.hang_up();
        for thread in std::mem::take(&mut *lock(&self.threads)) {
            // It has said what went wrong.
            let _ = thread.join();
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn hang_up(&self) {
        self.agent.shutdown();
        self.plugin.shutdown();
    }

    /// The life of the thread that reads what the plugin asks.
    fn carry_requests(&self) {
        take_no_signals();
        // However it ends, the plugin sees that the connection is lost.
        let _ = self.open().map(|limits| self.requests(limits));
        self.hang_up();
    }

    /// The life of the thread that reads what the agent answers.
    fn carry_replies(&self) {
        take_no_signals();
        self.replies();
        self.hang_up();
    }

    /// HELLO and WELCOME.
    fn open(&self) -> Option<Limits> {
        handshake::receive_hello(&self.plugin, OPENING).ok()?;
        // Room for one argument of the most that a message has, and some more.
        let limits = Limits::for_frame(u64::from(DEFAULT_MAX_MESSAGE) + (1 << 20));
        let welcome = Welcome {
            status: 0,
            version: VERSION,
            in_flight: IN_FLIGHT,
            features: 0,
            default_deadline_ms: u32::MAX,
            max_frame: limits.frame,
            connection: 0,
            text: "an agent that speaks ttrpc",
        };
        handshake::send_welcome(&self.plugin, &welcome, OPENING).ok()?;
        self.plugin.set_read_timeout(None).ok()?;
        Some(limits)
    }

    fn requests(&self, limits: Limits) {
        let mut reader = FrameReader::new(limits);
        let mut buffer = FrameBuffer::new();
        loop {
            let Ok(message) = reader.read(&self.plugin) else {
                return;
            };
            let header = message.header;
            match header.kind {
                Kind::Request => {}
                Kind::Cancel => {
                    self.cancel(header.request, &mut buffer);
                    continue;
                }
                Kind::Ping => {
                    let pong = buffer.bare(Kind::Pong, header.request);
                    self.writer.post(&pong);
                    continue;
                }
                Kind::Pong | Kind::Reply | Kind::ReplyInPieces | Kind::Piece => continue,
            }
            let translated = message
                .args(&limits)
                .map_err(Failure::from)
                .and_then(|args| {
                    let mut state = lock(&self.state);
                    request::translate(&header, &args, message.payload(), &mut state.uploads)
                });
            // Its bytes are in the call now.
            drop(message);
            let done = match translated {
                Ok(Translated::Call {
                    method,
                    payload,
                    what,
                }) => match self.call(&header, method.name(), payload, what) {
                    Some(failure) => self.refuse(&header, &failure, &mut buffer),
                    None => true,
                },
                Ok(Translated::Done(reply)) => {
                    let mut builder = buffer.reply(&header);
                    reply.write(&mut builder);
                    match builder.finish() {
                        Ok(frame) => self.reply(&frame),
                        Err(_) => false,
                    }
                }
                Err(failure) => self.refuse(&header, &failure, &mut buffer),
            };
            if !done {
                return;
            }
        }
    }

    /// Sends a call. What the plugin is to be told when it cannot be sent.
    fn call(&self, header: &Header, method: &str, payload: Vec<u8>, what: What) -> Option<Failure> {
        let size = payload.len() as u64;
        let timeout = u64::from(header.deadline_ms()) * 1_000_000;
        let request = Request {
            service: SYNC_SERVICE.to_owned(),
            method: method.to_owned(),
            payload: payload.into(),
            timeout_nano: i64::try_from(timeout).unwrap_or(0),
            metadata: Vec::new(),
        };
        let stream = {
            let mut state = lock(&self.state);
            let stream = state.next;
            let Some(next) = stream.checked_add(2) else {
                self.hang_up();
                return Some(Failure::new(EREMOTEIO, "the connection is used up"));
            };
            state.next = next;
            let header = *header;
            state.pending.insert(stream, Pending { header, what });
            stream
        };
        let frame = encode_frame(FrameKind::Request, stream, 0, &request);
        let too_large = |size: u64| {
            Failure::new(
                ENOTSUP,
                format!(
                    "the compatible protocol carries messages of {DEFAULT_MAX_MESSAGE} bytes; \
                     {method} would have {size}"
                ),
            )
        };
        let sent = match frame {
            Ok(frame) if frame.len() - HEADER_LEN <= DEFAULT_MAX_MESSAGE as usize => {
                let time = STALL + Duration::from_secs(frame.len() as u64 / SLOWEST);
                let sent = self.agent.send_until(&frame, Instant::now() + time);
                sent.map_err(|e| {
                    // Part of it may be on its way.
                    self.hang_up();
                    Failure::new(EREMOTEIO, format!("the agent does not take the call: {e}"))
                })
            }
            Ok(frame) => Err(too_large(frame.len() as u64)),
            Err(_) => Err(too_large(size)),
        };
        let failure = sent.err()?;
        lock(&self.state).pending.remove(&stream);
        Some(failure)
    }

    /// Answers a request whose caller has given up: nobody waits for what the agent says.
    fn cancel(&self, request: u64, buffer: &mut FrameBuffer) {
        let cancelled = {
            let mut state = lock(&self.state);
            let found = state.pending.iter();
            let mut found = found.filter(|(_, pending)| pending.header.request == request);
            let stream = found.next().map(|(stream, _)| *stream);
            drop(found);
            stream.and_then(|stream| state.pending.remove(&stream))
        };
        if let Some(pending) = cancelled {
            let failure = Failure::new(ECANCELED, "the request was cancelled");
            self.refuse(&pending.header, &failure, buffer);
        }
    }

    fn replies(&self) {
        let mut decoder = FrameDecoder::new(DEFAULT_MAX_MESSAGE);
        let mut chunk = vec![0; CHUNK];
        let mut buffer = FrameBuffer::new();
        loop {
            let far = Instant::now() + STALL;
            let n = match self.agent.recv_until(&mut chunk, far) {
                Ok(0) => return,
                Ok(n) => n,
                // Callers have deadlines of their own; half an answer is none.
                Err(e) if e.kind() == std::io::ErrorKind::TimedOut && !decoder.is_mid_frame() => {
                    continue;
                }
                Err(_) => return,
            };
            let mut rest = &chunk[..n];
            loop {
                let frame = match decoder.take(&mut rest) {
                    Ok(Some(frame)) => frame,
                    Ok(None) => break,
                    Err(_) => return,
                };
                if frame.header.kind != FrameKind::Response {
                    continue;
                }
                let pending = lock(&self.state).pending.remove(&frame.header.stream);
                // Else its caller has given up.
                let Some(Pending { header, what }) = pending else {
                    continue;
                };
                let Ok(response) = decode::<Response>(frame.body) else {
                    return;
                };
                if !self.answer(&header, what, response, &mut buffer) {
                    return;
                }
            }
        }
    }

    /// Hands an answer to the plugin. False when it has gone.
    fn answer(
        &self,
        header: &Header,
        what: What,
        response: Response,
        buffer: &mut FrameBuffer,
    ) -> bool {
        let reply = {
            let mut state = lock(&self.state);
            response::translate(header, &what, response, &mut state.uploads)
        };
        match reply {
            Ok(reply) => {
                let mut builder = buffer.reply(header);
                reply.write(&mut builder);
                match builder.finish() {
                    Ok(frame) => self.reply(&frame),
                    Err(e) => self.refuse(header, &e.into(), buffer),
                }
            }
            Err(failure) => {
                if let Some(status) = failure.status.as_ref().filter(|_| what.has_status()) {
                    let mut builder =
                        buffer.error_reply_with(header, failure.code, &failure.message);
                    what.write_failure(status, &mut builder);
                    if let Ok(frame) = builder.finish() {
                        return self.reply(&frame);
                    }
                }
                self.refuse(header, &failure, buffer)
            }
        }
    }

    fn refuse(&self, header: &Header, failure: &Failure, buffer: &mut FrameBuffer) -> bool {
        let frame = buffer.error_reply(header, failure.code, &failure.message);
        self.reply(&frame)
    }

    fn reply(&self, frame: &vaccel_wire::Frame<'_, '_>) -> bool {
        let time = STALL + Duration::from_secs(frame.frame_len() / SLOWEST);
        self.writer.send(frame, Some(Instant::now() + time)).is_ok()
    }
}

/// Signals are the application's: threads of the library take none.
fn take_no_signals() {
    // SAFETY: the set is live; blocking signals has no other effect.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut());
    }
}
