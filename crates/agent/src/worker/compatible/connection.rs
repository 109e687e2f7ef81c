//! A connection of a client that speaks ttrpc: opened, served, closed.

use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::net::{Shutdown, shutdown};
use vaccel_abi::error::EIO;
use vaccel_compat::{
    Code, CompatError, FLAG_REMOTE_OPEN, Frame, FrameDecoder, Kind, Method, Request, Response,
    check_new_stream, decode, encode_frame,
};
use vaccel_transport::{Pool, Stream};
use vaccel_wire::Limits;

use super::super::clock::Timed;
use super::super::failure::Failure;
use super::super::flights::{Begun, Fate, Flights};
use super::super::generic::Call;
use super::super::lead::Lead;
use super::super::requests::{NEVER, Requests};
use super::super::resources::Resources;
use super::super::service::Service;
use super::super::sessions::Sessions;
use super::super::tenant::Tenant;
use super::super::tensors::Tensors;
use super::super::watch::{Watch, Watched};
use super::fault::{Fault, Result};
use super::service::Heads;
use super::times::Times;
use crate::ledger::Quota;
use crate::{error, warn};

/// How long a client may stop in the middle of a frame, or take nothing of an answer.
const STALL: Duration = Duration::from_secs(20);
/// The slowest that a client may take an answer, bytes a second, beside [`STALL`].
const SLOWEST: u64 = 1 << 20;
/// What is read at once.
const CHUNK: usize = 256 << 10;
/// What a request takes in memory while it runs, in multiples of its size: as it came, and
/// as operations read it.
const COPIES: u64 = 2;

/// A connection that is being served.
pub struct Connection {
    number: u64,
    stream: Stream,
    reader: Mutex<Reader>,
    writer: Mutex<()>,
    pub(super) pool: Arc<Pool>,
    pub(super) limits: Limits,
    pub(super) sessions: Sessions,
    pub(super) resources: Resources,
    pub(super) heads: Heads,
    pub(super) times: Times,
    /// Always empty: these clients keep none.
    pub(super) tensors: Tensors,
    lead: Lead,
    flights: Flights,
    /// Whose it is.
    pub(super) tenant: Arc<Tenant>,
    /// When its requests are looked at next, in nanoseconds since the service began.
    look_at: AtomicU64,
    /// What it shares with the other connections of the worker.
    service: Arc<Service>,
    watch: Arc<Watch<Self>>,
    reason: Mutex<Option<String>>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("number", &self.number)
            .field("protocol", &"ttrpc")
            .finish_non_exhaustive()
    }
}

/// Whoever reads holds it.
struct Reader {
    decoder: FrameDecoder,
    buffer: Vec<u8>,
    /// What of the buffer has arrived and not been looked at.
    from: usize,
    to: usize,
    /// The greatest stream id of a request so far.
    last: u32,
}

/// What a thread does after a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It reads the next one.
    Next,
    /// It does not hold the reading any more.
    Lost,
    /// Nothing more comes.
    Over,
}

impl Connection {
    /// Takes a connection whose client begins to speak ttrpc.
    ///
    /// # Errors
    /// Why it is not served, for the log.
    pub fn open(
        stream: Stream,
        number: u64,
        tenant: &Arc<Tenant>,
        service: &Arc<Service>,
    ) -> Result<Self, String> {
        let settings = &service.settings;
        let terms = tenant.terms().clone();
        let watch = service.compatible_watch().map_err(|e| e.to_string())?;
        let limits = Limits::for_frame(terms.max_frame);
        let folder = settings.folder.join(format!("connection.{number}"));
        std::fs::create_dir(&folder)
            .map_err(|e| format!("cannot make the folder {}: {e}", folder.display()))?;
        let most = u32::try_from(limits.frame).unwrap_or(u32::MAX);
        // These clients have no hashes to find content by.
        let resources = Resources::new(folder, terms.max_resources, None, tenant);
        Ok(Self {
            number,
            stream,
            reader: Mutex::new(Reader {
                decoder: FrameDecoder::new(most),
                buffer: vec![0; CHUNK],
                from: 0,
                to: 0,
                last: 0,
            }),
            writer: Mutex::new(()),
            pool: Pool::new(),
            limits,
            sessions: Sessions::new(tenant),
            tensors: Tensors::new(resources.quota()),
            resources,
            heads: Heads::default(),
            times: Times::default(),
            lead: Lead::new(terms.threads.into()),
            flights: Flights::new(limits.frame.saturating_mul(2)),
            tenant: Arc::clone(tenant),
            look_at: AtomicU64::new(NEVER),
            service: Arc::clone(service),
            watch: Arc::clone(watch),
            reason: Mutex::default(),
        })
    }

    /// Serves the client; in the first of the connection's threads.
    pub fn serve(self: &Arc<Self>) {
        self.watch.add(self.number, Arc::clone(self));
        self.stint();
    }

    /// A thread's time with the connection: serves the client until it hangs up, or until
    /// the connection needs the thread no more. The last one releases what the client had.
    fn stint(&self) {
        if let Some(reason) = self.work() {
            self.service.end(self.number, reason);
        }
    }

    /// Reads no more requests; those that run are finished and answered.
    pub fn drain(&self) {
        self.note("the agent ends".to_owned());
        // Fails when the client has gone, and then it is over anyway.
        let _ = shutdown(self.stream.as_fd(), Shutdown::Read);
    }

    /// What each thread of the connection does. The reason when the connection has ended.
    fn work(&self) -> Option<String> {
        let mut call = Call::default();
        while self.lead.take() {
            let serve = || loop {
                match self.serve_one(&mut call) {
                    Step::Next => {}
                    other => return other,
                }
            };
            let step = catch_unwind(AssertUnwindSafe(serve)).unwrap_or_else(|_| {
                self.note("the agent failed internally; see the log above".to_owned());
                // Somebody else may hold the reading.
                self.stream.shutdown();
                Step::Over
            });
            if step == Step::Over {
                self.watch.remove(self.number);
                return self.lead.close().then(|| self.finish());
            }
        }
        None
    }

    /// What runs for it.
    fn requests(&self) -> Requests<'_> {
        Requests {
            number: self.number,
            lead: &self.lead,
            flights: &self.flights,
            look_at: &self.look_at,
            tenant: &self.tenant,
            service: &self.service,
        }
    }

    /// Nothing more is read: waits for operations that still run, and releases what the
    /// client had. Returns why it ended.
    fn finish(&self) -> String {
        self.requests().wait_for_end();
        self.stream.shutdown();
        // Resources go while their sessions are there to give them back.
        self.resources.clear();
        drop(self.sessions.close_all());
        crate::rundir::remove(self.resources.folder());
        let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        reason.clone().unwrap_or_default()
    }

    /// Reads a request and runs it.
    fn serve_one(&self, call: &mut Call) -> Step {
        let frame = match self.read() {
            Ok(frame) => frame,
            Err(reason) => {
                self.note(reason);
                return Step::Over;
            }
        };
        let stream = frame.header.stream;
        match frame.header.kind {
            Kind::Request => {}
            // Of a stream that has been refused.
            Kind::Data => return Step::Next,
            Kind::Response => {
                self.note("the client sent a response; it must send requests".to_owned());
                return Step::Over;
            }
        }
        let size = frame.body.len() as u64;
        let request = match read_request(frame) {
            Ok(request) => request,
            Err(fault) => {
                self.send(stream, &fault.into_response());
                return Step::Next;
            }
        };
        let wanted = u64::try_from(request.timeout_nano).ok();
        let wanted = wanted.filter(|&nanos| nanos > 0).map(Duration::from_nanos);
        let deadline = Instant::now() + self.tenant.terms().time(wanted);
        let bytes = size.saturating_mul(COPIES);
        // Stream ids grow, so that none is in flight twice.
        if self.flights.begin(u64::from(stream), deadline, bytes) != Begun::Yes {
            self.send(stream, &too_late().into_response());
            return Step::Next;
        }
        // What it is is not known before its messages are read.
        let brief = false;
        let number = self.lead.begin(brief);
        self.watch.rouse(brief);
        self.answer(stream, request, deadline, call);
        match self.lead.end(number) {
            true => Step::Next,
            false => Step::Lost,
        }
    }

    /// The next frame, or why there is none.
    fn read(&self) -> Result<Frame, String> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let Reader {
            decoder,
            buffer,
            from,
            to,
            last,
        } = &mut *reader;
        loop {
            let mut rest = &buffer[*from..*to];
            let taken = decoder.take(&mut rest);
            *from = *to - rest.len();
            match taken {
                Ok(Some(frame)) => {
                    if frame.header.kind == Kind::Request {
                        check_new_stream(frame.header.stream, *last).map_err(|e| e.to_string())?;
                        *last = frame.header.stream;
                    }
                    return Ok(frame);
                }
                Ok(None) => {}
                Err(e) => {
                    if let Some(header) = decoder.header() {
                        let code = Code::ResourceExhausted;
                        let fault = Fault::Refused(code, e.to_string());
                        self.send(header.stream, &fault.into_response());
                    }
                    return Err(e.to_string());
                }
            }
            (*from, *to) = (0, 0);
            match self.stream.recv_until(buffer, Instant::now() + STALL) {
                Ok(0) if decoder.is_mid_frame() => {
                    return Err("the client hung up in the middle of a frame".to_owned());
                }
                Ok(0) => return Err("the client hung up".to_owned()),
                Ok(n) => *to = n,
                Err(e) if e.kind() != std::io::ErrorKind::TimedOut => return Err(e.to_string()),
                Err(_) if !decoder.is_mid_frame() => {}
                Err(_) => {
                    return Err(format!(
                        "the client sent nothing for {STALL:?} in the middle of a frame"
                    ));
                }
            }
        }
    }

    /// Runs a request and sends the answer.
    fn answer(&self, stream: u32, request: Request, deadline: Instant, call: &mut Call) {
        let turn = self.service.turn(&self.tenant, deadline);
        let result = if turn.is_none() || Instant::now() >= deadline {
            Err(too_late())
        } else {
            let run = || self.run(request, call);
            catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
                error!(connection = self.number, "a request panicked; see above");
                Err(Failure::new(EIO, "the agent failed internally").into())
            })
        };
        drop(turn);
        call.clear();
        let response = match result {
            Ok(payload) => Response {
                payload: payload.into(),
                ..Response::default()
            },
            Err(fault) => fault.into_response(),
        };
        // Memory of the request is free; what the answer takes is the client's to take.
        if self.flights.end(stream.into()) != Fate::Answered {
            self.send(stream, &response);
        }
    }

    fn run(&self, request: Request, call: &mut Call) -> Result<Vec<u8>> {
        let Request {
            service,
            method,
            payload,
            ..
        } = request;
        let Some((_, method)) = Method::find(&service, &method) else {
            return Err(Fault::Refused(
                Code::Unimplemented,
                format!("/{service}/{method} is not supported"),
            ));
        };
        self.tenant.pace()?;
        self.call(method, payload, call)
    }

    /// Sends an answer; a client that does not take it is hung up on.
    fn send(&self, stream: u32, response: &Response) {
        let bytes = encode_frame(Kind::Response, stream, 0, response).or_else(|e| {
            let code = Code::ResourceExhausted;
            let fault = Fault::Refused(code, format!("the answer cannot be sent: {e}"));
            encode_frame(Kind::Response, stream, 0, &fault.into_response())
        });
        let sent = bytes.map_err(|e| e.to_string()).and_then(|bytes| {
            let time = STALL + Duration::from_secs(bytes.len() as u64 / SLOWEST);
            let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            self.stream
                .send_until(&bytes, Instant::now() + time)
                .map_err(|e| e.to_string())
        });
        if let Err(e) = sent {
            self.note(format!("cannot answer: {e}"));
            self.stream.shutdown();
        }
    }

    fn note(&self, reason: String) {
        let mut first = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(reason);
    }
}

impl Watched for Connection {
    fn running(&self) -> u64 {
        self.lead.running()
    }

    fn begun(&self) -> u64 {
        self.lead.begun()
    }

    fn takes_long(self: Arc<Self>, number: u64) {
        self.requests()
            .take_long(number, &self, |connection| connection.stint());
    }
}

impl Timed for Connection {
    fn look(self: Arc<Self>, now: Instant) -> Option<Instant> {
        let requests = self.requests();
        let overdue = requests.look(now);
        for about in &overdue.late {
            self.tenant.note(Quota::Deadline);
            // Stream ids have 32 bits.
            let stream = u32::try_from(about.request).unwrap_or(u32::MAX);
            let own = Arc::clone(&self);
            // The client may take its time to read it.
            let told = self.service.crew.run(move || {
                own.send(stream, &too_long().into_response());
            });
            if let Err(e) = told {
                warn!(connection = self.number, "cannot start a thread: {e}");
                self.stream.shutdown();
            }
        }
        requests.look_again(&overdue, |_| "an operation".to_owned())
    }
}

fn read_request(frame: Frame) -> Result<Request> {
    if frame.header.flags & FLAG_REMOTE_OPEN != 0 {
        return Err(Fault::Refused(
            Code::Unimplemented,
            "streams are not supported: send each argument as a whole".to_owned(),
        ));
    }
    decode(frame.body).map_err(|e: CompatError| e.into())
}

fn too_long() -> Fault {
    Fault::Refused(
        Code::DeadlineExceeded,
        "the deadline has passed while the operation ran".to_owned(),
    )
}

fn too_late() -> Fault {
    Fault::Refused(
        Code::DeadlineExceeded,
        "the deadline had passed before the request could begin".to_owned(),
    )
}
