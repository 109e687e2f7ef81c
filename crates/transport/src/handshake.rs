//! HELLO and WELCOME: how a stream is opened, from both sides.

use crate::Stream;
use crate::error::{ConnectError, ReadError};
use crate::timed::deadline;
use std::io;
use std::time::{Duration, Instant};
use vaccel_wire::{Hello, MAX_EXTRA, MAX_TEXT, Progress, WELCOME_LEN, Welcome, WireError};

/// A message that was received, still as bytes.
#[derive(Debug)]
pub struct Opening {
    bytes: Vec<u8>,
}

/// What went wrong while an opening was read.
enum Fault {
    Io(io::Error),
    End(usize),
    Wire(WireError),
}

impl Opening {
    /// Receives exactly the bytes of one message: `need` says how many are
    /// wanted in all, or that the message is complete.
    fn receive(
        stream: &Stream,
        end: Instant,
        most: usize,
        need: impl Fn(&[u8]) -> Result<Progress<()>, WireError>,
    ) -> Result<Self, Fault> {
        let mut bytes = Vec::new();
        loop {
            let total = match need(&bytes).map_err(Fault::Wire)? {
                Progress::Done(..) => return Ok(Self { bytes }),
                Progress::More(total) => total.min(most),
            };
            let there = bytes.len();
            bytes.resize(total, 0);
            // Never more than this message: what follows is a reader's.
            let n = stream
                .recv_until(&mut bytes[there..], end)
                .map_err(Fault::Io)?;
            bytes.truncate(there + n);
            if n == 0 {
                return Err(Fault::End(there));
            }
        }
    }

    /// HELLO, on the agent's side.
    ///
    /// # Errors
    /// When the bytes are none; [`receive_hello`] has checked them already.
    pub fn hello(&self) -> Result<Hello<'_>, WireError> {
        match Hello::decode(&self.bytes)? {
            Progress::Done(hello, _) => Ok(hello),
            Progress::More(_) => Err(WireError::Missing(0)),
        }
    }

    fn welcome(&self) -> Result<Welcome<'_>, WireError> {
        match Welcome::decode(&self.bytes)? {
            Progress::Done(welcome, _) => Ok(welcome),
            Progress::More(_) => Err(WireError::Missing(0)),
        }
    }
}

fn done<T>(progress: Progress<T>) -> Progress<()> {
    match progress {
        Progress::More(n) => Progress::More(n),
        Progress::Done(_, n) => Progress::Done((), n),
    }
}

/// Waits for a client's HELLO, all of it within the time.
///
/// # Errors
/// [`ReadError::Frame`] with [`WireError::Magic`] for a client of something
/// else; [`ReadError::TimedOut`] also for one that sends byte by byte.
pub fn receive_hello(stream: &Stream, timeout: Duration) -> Result<Opening, ReadError> {
    let end = deadline(timeout);
    let most = vaccel_wire::HELLO_LEN + MAX_EXTRA;
    Opening::receive(stream, end, most, |b| Hello::decode(b).map(done)).map_err(|fault| match fault
    {
        Fault::Io(e) if e.kind() == io::ErrorKind::TimedOut => ReadError::TimedOut,
        Fault::Io(e) => ReadError::Io(e),
        Fault::End(0) => ReadError::Closed,
        Fault::End(_) => ReadError::Truncated,
        Fault::Wire(error) => ReadError::Frame {
            header: None,
            error,
        },
    })
}

/// Sends WELCOME.
///
/// # Errors
/// `TimedOut`, or what the system says.
pub fn send_welcome(stream: &Stream, welcome: &Welcome<'_>, timeout: Duration) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(WELCOME_LEN + welcome.text.len());
    welcome.encode(&mut bytes);
    stream.send_until(&bytes, deadline(timeout))
}

/// What an agent granted, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// Requests that may be in flight.
    pub in_flight: u16,
    /// `FEATURE_*` bits in use.
    pub features: u32,
    /// Deadline of a request that names none.
    pub default_deadline: Duration,
    /// Largest frame the agent takes, in bytes.
    pub max_frame: u64,
    /// The agent's number for the connection.
    pub connection: u64,
    /// Its greeting.
    pub text: String,
}

/// Opens a stream from the client's side: sends HELLO and waits for WELCOME.
/// `address` is for messages.
///
/// # Errors
/// Says whether the agent refused, was silent, or is something else.
pub fn open(
    stream: &Stream,
    hello: &Hello<'_>,
    address: &str,
    timeout: Duration,
) -> Result<Granted, ConnectError> {
    let end = deadline(timeout);
    let address = || address.to_owned();
    // Only now it shows whether the agent took this side's certificate.
    let hung_up = || match stream.fault() {
        Some(reason) => ConnectError::Unreachable {
            address: address(),
            reason: reason.to_string(),
        },
        None => ConnectError::HungUp { address: address() },
    };
    let io_error = |e: io::Error| match e.kind() {
        io::ErrorKind::TimedOut => ConnectError::TimedOut {
            address: address(),
            after: timeout,
        },
        _ if crate::sys::is_gone(&e) => hung_up(),
        _ => ConnectError::Unreachable {
            address: address(),
            reason: e.to_string(),
        },
    };
    let wire_error = |error| match error {
        // An alert of TLS.
        WireError::Magic([0x15, 0x03, ..]) => ConnectError::Unreachable {
            address: address(),
            reason: "TLS is spoken there: write tls:// instead of tcp://".into(),
        },
        error => ConnectError::Protocol {
            address: address(),
            error,
        },
    };
    let mut bytes = Vec::new();
    hello.encode(&mut bytes).map_err(wire_error)?;
    stream.send_until(&bytes, end).map_err(io_error)?;
    let most = WELCOME_LEN + MAX_TEXT;
    let opening =
        Opening::receive(stream, end, most, |b| Welcome::decode(b).map(done)).map_err(|fault| {
            match fault {
                Fault::Io(e) => io_error(e),
                Fault::End(_) => hung_up(),
                Fault::Wire(error) => wire_error(error),
            }
        })?;
    let welcome = opening.welcome().map_err(wire_error)?;
    if welcome.status != 0 {
        return Err(ConnectError::Refused {
            address: address(),
            status: welcome.status,
            text: welcome.text.to_owned(),
        });
    }
    Ok(Granted {
        in_flight: welcome.in_flight,
        features: welcome.features & hello.features,
        default_deadline: Duration::from_millis(welcome.default_deadline_ms.into()),
        max_frame: welcome.max_frame,
        connection: welcome.connection,
        text: welcome.text.to_owned(),
    })
}
