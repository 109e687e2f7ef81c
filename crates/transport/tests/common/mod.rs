//! A small agent for the tests: real frames, real arithmetic, real sockets.
#![allow(dead_code, clippy::unwrap_used)]

use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use vaccel_transport::{
    Connection, FrameReader, FrameWriter, Message, Options, ReadError, Stream, handshake,
};
use vaccel_wire::{ArgReader, FrameBuffer, Kind, Limits, Scalar, Welcome};

pub(crate) const SOON: Duration = Duration::from_secs(10);

/// Replies with nothing.
pub(crate) const NOOP: u16 = 0;
/// Replies with its read arguments.
pub(crate) const ECHO: u16 = 1;
/// As ECHO, once the gate is open, on a thread of its own.
pub(crate) const GATED_ECHO: u16 = 2;
/// Adds two arrays of f32.
pub(crate) const ADD: u16 = 3;
/// Always fails with 22 and a message.
pub(crate) const FAIL: u16 = 4;
/// Replies with as many zeros as its u64 argument says.
pub(crate) const ZEROS: u16 = 5;

/// Something that opens once.
#[derive(Default)]
pub(crate) struct Gate {
    open: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    pub(crate) fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.changed.notify_all();
    }

    pub(crate) fn wait(&self) {
        let open = self.open.lock().unwrap();
        let (open, _) = self
            .changed
            .wait_timeout_while(open, SOON, |o| !*o)
            .unwrap();
        assert!(*open, "the gate was never opened");
    }
}

/// What the agent has seen.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) cancelled: Mutex<Vec<u64>>,
    pub(crate) requests: Mutex<Vec<u64>>,
    pub(crate) pongs: Mutex<Vec<u64>>,
}

pub(crate) struct Agent {
    pub(crate) gate: Arc<Gate>,
    pub(crate) seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
}

impl Agent {
    /// An agent, and a connection to it.
    pub(crate) fn start(in_flight: u16, options: &Options) -> (Self, Connection) {
        let (ours, theirs) = Stream::pair().unwrap();
        let gate = Arc::new(Gate::default());
        let seen = Arc::new(Seen::default());
        let (g, s) = (Arc::clone(&gate), Arc::clone(&seen));
        let thread = std::thread::spawn(move || {
            welcome(&theirs, in_flight);
            serve(theirs, &g, &s);
        });
        let connection = Connection::open(ours, "unix:///test", options).unwrap();
        let agent = Self {
            gate,
            seen,
            thread: Some(thread),
        };
        (agent, connection)
    }

    /// Waits until the agent has ended, which it does when its client hangs up.
    pub(crate) fn join(mut self) {
        self.thread.take().unwrap().join().unwrap();
    }
}

pub(crate) fn welcome(stream: &Stream, in_flight: u16) {
    handshake::receive_hello(stream, SOON).unwrap();
    let welcome = Welcome {
        in_flight,
        max_frame: 1 << 30,
        default_deadline_ms: 60_000,
        ..Welcome::refusal(0, "")
    };
    handshake::send_welcome(stream, &welcome, SOON).unwrap();
}

/// A connection to an agent that does with its stream whatever it likes.
pub(crate) fn hostile(
    options: &Options,
    f: impl FnOnce(Stream) + Send + 'static,
) -> (Connection, JoinHandle<()>) {
    let (ours, theirs) = Stream::pair().unwrap();
    let thread = std::thread::spawn(move || {
        welcome(&theirs, 16);
        f(theirs);
    });
    let connection = Connection::open(ours, "unix:///test", options).unwrap();
    (connection, thread)
}

pub(crate) fn serve(stream: Stream, gate: &Arc<Gate>, seen: &Seen) {
    let stream = Arc::new(stream);
    let mut reader = FrameReader::new(Limits::default());
    let writer = Arc::new(FrameWriter::new(Arc::clone(&stream)));
    let mut buffer = FrameBuffer::new();
    loop {
        let message = match reader.read(&stream) {
            Ok(message) => message,
            Err(ReadError::Closed | ReadError::Truncated) => return,
            Err(error) => panic!("{error}"),
        };
        let header = message.header;
        match header.kind {
            Kind::Cancel => seen.cancelled.lock().unwrap().push(header.request),
            Kind::Ping => writer.post(&buffer.bare(Kind::Pong, header.request)),
            Kind::Pong => seen.pongs.lock().unwrap().push(header.request),
            Kind::Reply | Kind::ReplyInPieces | Kind::Piece => panic!("a client does not reply"),
            Kind::Request => {
                seen.requests.lock().unwrap().push(header.request);
                if header.operation == GATED_ECHO {
                    let (gate, writer) = (Arc::clone(gate), Arc::clone(&writer));
                    std::thread::spawn(move || {
                        gate.wait();
                        let _ = run(&message, &writer, &mut FrameBuffer::new());
                    });
                } else if run(&message, &writer, &mut buffer).is_err() {
                    return;
                }
            }
        }
    }
}

fn run(
    message: &Message,
    writer: &FrameWriter,
    buffer: &mut FrameBuffer,
) -> Result<(), vaccel_transport::SendError> {
    let header = &message.header;
    let args = message.args(&Limits::default()).unwrap();
    let payload = message.payload();
    assert_eq!(payload.as_ptr() as usize % 64, 0);
    let mut numbers = Vec::new();
    let zeros;
    let frame = match header.operation {
        FAIL => buffer.error_reply(header, 22, "that is no good"),
        ECHO | GATED_ECHO => {
            let mut builder = buffer.reply(header);
            for arg in args.reads() {
                builder.write_bytes(arg.type_, arg.custom_type, arg.bytes(payload));
            }
            builder.finish().unwrap()
        }
        ADD => {
            let [a, b] = [0, 1].map(|i| {
                let arg = args.reads().nth(i).unwrap();
                arg.bytes(payload)
                    .chunks(4)
                    .map(|c| f32::from_bytes(c).unwrap())
                    .collect::<Vec<_>>()
            });
            for (x, y) in a.iter().zip(&b) {
                numbers.extend_from_slice(&(x + y).to_le_bytes());
            }
            let mut builder = buffer.reply(header);
            builder.write_bytes(18, 0, &numbers);
            builder.finish().unwrap()
        }
        ZEROS => {
            let n = ArgReader::new(args.reads(), payload)
                .scalar::<u64>()
                .unwrap();
            zeros = vec![0; n as usize];
            let mut builder = buffer.reply(header);
            builder.write_bytes(28, 0, &zeros);
            builder.finish().unwrap()
        }
        _ => buffer.reply(header).finish().unwrap(),
    };
    writer.send(&frame, Some(Instant::now() + SOON))
}

/// A call ended by its deadline, not before it. How promptly is for a benchmark to say, not for a
/// machine that may have other things to do.
#[track_caller]
pub(crate) fn ended_by_its_deadline(timeout: Duration, took: Duration) {
    assert!(
        took >= timeout,
        "{took:?} is before the deadline of {timeout:?}"
    );
    assert!(
        took - timeout < SOON,
        "{took:?} is long after the deadline of {timeout:?}"
    );
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !so() {
        assert!(Instant::now() < end, "never happened: {what}");
        std::thread::yield_now();
    }
}
