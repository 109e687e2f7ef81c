//! The floor of every call over a socket: bytes there and an answer back, between two processes.

use crate::bench::sample::bounded;
use anyhow::{Context, Result, bail};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Bytes of a message without data.
pub(crate) const SIZE: usize = 64;

/// Longest that the other end may take to connect.
const LIMIT: Duration = Duration::from_secs(20);

/// Which socket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Unix,
    Tcp,
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// A second process that answers; it ends when this is dropped.
pub(crate) struct PingPong {
    peer: Child,
    stream: Option<Box<dyn Stream>>,
    message: Vec<u8>,
    _folder: tempfile::TempDir,
}

impl PingPong {
    /// Starts the other end, for requests of so many bytes; it inherits the processors of this thread.
    pub(crate) fn start(kind: Kind, bytes: usize) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("vaccel-floor-").tempdir()?;
        let (peer, stream): (_, Box<dyn Stream>) = match kind {
            Kind::Unix => {
                let socket = folder.path().join("socket");
                let listener = UnixListener::bind(&socket)?;
                let mut peer = start(&format!("unix:{}", socket.display()), bytes)?;
                listener.set_nonblocking(true)?;
                let stream = accept(&mut peer, || listener.accept().map(|(stream, _)| stream))?;
                stream.set_nonblocking(false)?;
                (peer, Box::new(stream))
            }
            Kind::Tcp => {
                let listener = TcpListener::bind("127.0.0.1:0")?;
                let mut peer = start(&format!("tcp:{}", listener.local_addr()?), bytes)?;
                listener.set_nonblocking(true)?;
                let stream = accept(&mut peer, || listener.accept().map(|(stream, _)| stream))?;
                stream.set_nonblocking(false)?;
                stream.set_nodelay(true)?;
                (peer, Box::new(stream))
            }
        };
        Ok(Self {
            peer,
            stream: Some(stream),
            message: vec![7; bytes],
            _folder: folder,
        })
    }

    /// One round trip.
    pub(crate) fn round(&mut self) -> Result<()> {
        let stream = self.stream.as_mut().context("the floor has ended")?;
        stream.write_all(&self.message)?;
        stream.read_exact(&mut [0; SIZE])?;
        Ok(())
    }

    /// Microseconds of each round trip, sorted.
    pub(crate) fn measure(&mut self, calls: usize) -> Result<Vec<f64>> {
        bounded(calls, || self.round())
    }
}

fn start(place: &str, bytes: usize) -> Result<Child> {
    Command::new(crate::process::OWN)
        .args(["bench-peer", place, "--bytes", &bytes.to_string()])
        .stdin(Stdio::null())
        .spawn()
        .context("cannot start the other end of a floor")
}

/// A connection of the peer's, unless it ends or takes too long.
fn accept<T>(peer: &mut Child, mut accept: impl FnMut() -> std::io::Result<T>) -> Result<T> {
    let begun = Instant::now();
    loop {
        match accept() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            done => return Ok(done?),
        }
        if let Some(status) = peer.try_wait()? {
            bail!("the other end of a floor ended before it connected: {status}");
        }
        if begun.elapsed() > LIMIT {
            let _ = peer.kill();
            bail!("the other end of a floor did not connect within {LIMIT:?}");
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

impl Drop for PingPong {
    fn drop(&mut self) {
        // It ends when its stream does.
        self.stream = None;
        let _ = self.peer.wait();
    }
}

/// What the second process does.
pub(crate) fn peer(place: &str, bytes: usize) -> Result<()> {
    match place.split_once(':') {
        Some(("unix", path)) => answer(UnixStream::connect(path)?, bytes),
        Some(("tcp", address)) => {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            answer(stream, bytes)
        }
        _ => bail!("`{place}` is no place of a floor"),
    }
}

fn answer(mut stream: impl Stream, bytes: usize) -> Result<()> {
    let mut message = vec![0; bytes];
    let acknowledgement = [1; SIZE];
    while stream.read_exact(&mut message).is_ok() {
        if stream.write_all(&acknowledgement).is_err() {
            break;
        }
    }
    Ok(())
}
