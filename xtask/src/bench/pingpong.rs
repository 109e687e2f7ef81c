//! The floor of every call over a socket: 64 bytes there and back between two processes.

use super::sample::each_microseconds;
use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const SIZE: usize = 64;

/// A second process that sends back what it gets; ended when dropped.
pub(crate) struct PingPong {
    peer: Child,
    stream: UnixStream,
    folder: std::path::PathBuf,
}

impl PingPong {
    /// Starts the peer; it inherits the processors of this thread.
    pub(crate) fn start() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("vaccel-pingpong-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let socket = folder.join("socket");
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket)?;
        let peer = Command::new(crate::process::OWN)
            .arg("bench-peer")
            .arg(&socket)
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start the other end of the ping-pong")?;
        let (stream, _) = listener.accept()?;
        Ok(Self {
            peer,
            stream,
            folder,
        })
    }

    /// Microseconds of each round trip, sorted.
    pub(crate) fn measure(&mut self, calls: usize) -> Result<Vec<f64>> {
        let mut message = [7_u8; SIZE];
        each_microseconds(calls, || {
            self.stream.write_all(&message)?;
            self.stream.read_exact(&mut message)?;
            Ok(())
        })
    }
}

impl Drop for PingPong {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        let _ = self.peer.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What the second process does.
pub(crate) fn peer(socket: &Path) -> Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    let mut message = [0_u8; SIZE];
    while stream.read_exact(&mut message).is_ok() {
        stream.write_all(&message)?;
    }
    Ok(())
}
