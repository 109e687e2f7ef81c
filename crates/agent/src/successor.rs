//! The process that takes the place of this one: started with its listening sockets, so
//! that no client is refused meanwhile.
//!
//! Both listen until the new one has said that it is ready; from then on only the new one
//! does, and the old one serves what it has.

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::inherit::{FROM_PREDECESSOR, line};
use crate::listen::Listener;
use crate::metrics::http::Server;

/// How long it may take to become ready.
const PATIENCE: Duration = Duration::from_secs(60);
/// What it says when it is.
pub const READY: &[u8] = b"ready";

/// A process that is to take the place of this one.
#[derive(Debug)]
pub struct Successor {
    child: Child,
    said: io::PipeReader,
    until: Instant,
}

/// What is known of a successor.
#[derive(Debug, PartialEq, Eq)]
pub enum State {
    /// It starts.
    Starting,
    /// It takes clients.
    Ready,
    /// It has ended, or takes too long.
    Failed,
}

impl Successor {
    /// Starts the program again, as this one was started, with its sockets.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(program: &Path, listeners: &[Listener], metrics: Option<&Server>) -> Result<Self> {
        let (said, tell) = io::pipe().context("cannot make a pipe")?;
        let mut text = format!("pid {}\nready {}\n", std::process::id(), tell.as_raw_fd());
        let mut passed = vec![tell.as_raw_fd()];
        for listener in listeners {
            let fd = listener.as_fd().as_raw_fd();
            text += &line(listener.kind(), &fd, listener.address(), listener.names());
            passed.push(fd);
        }
        // The default one lies in a folder of each agent's own.
        if let Some((server, kind)) = metrics.and_then(|server| Some((server, server.kind()?))) {
            let fd = server.as_fd().as_raw_fd();
            text += &line(kind, &fd, server.address(), &[]);
            passed.push(fd);
        }
        let mut command = Command::new(program);
        let mut arguments = std::env::args_os();
        if let Some(name) = arguments.next() {
            command.arg0(name);
        }
        command
            .args(arguments)
            .env(FROM_PREDECESSOR, text)
            .env_remove("LISTEN_PID")
            .env_remove("LISTEN_FDS")
            .env_remove("LISTEN_FDNAMES")
            .env_remove("WATCHDOG_PID");
        // SAFETY: only calls that may be made between fork and exec; the descriptors stay
        // open until after `spawn`.
        unsafe {
            command.pre_exec(move || keep_open(&passed));
        }
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self {
            child,
            said,
            until: Instant::now() + PATIENCE,
        })
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// When it must be ready.
    #[must_use]
    pub fn until(&self) -> Instant {
        self.until
    }

    /// What it says; to be asked when its descriptor is readable, or its time is over.
    pub fn state(&mut self) -> State {
        let mut fds = [rustix::event::PollFd::new(
            &self.said,
            rustix::event::PollFlags::IN,
        )];
        let now = rustix::event::Timespec::default();
        if matches!(rustix::event::poll(&mut fds, Some(&now)), Ok(1..)) {
            let mut word = [0; READY.len()];
            return match self.said.read_exact(&mut word) {
                Ok(()) if word == READY => State::Ready,
                _ => State::Failed,
            };
        }
        match self.until <= Instant::now() {
            true => State::Failed,
            false => State::Starting,
        }
    }

    /// Ends it, unless it has ended. How it ended, for the log.
    pub fn bury(mut self) -> String {
        // It may be just about to end by itself, with a better reason than the signal.
        let soon = Instant::now() + Duration::from_secs(1);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < soon {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        match self.child.wait() {
            Ok(status) => crate::process::describe(status),
            Err(e) => e.to_string(),
        }
    }
}

impl AsFd for Successor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.said.as_fd()
    }
}

/// In the child: what it is given stays open in the program.
fn keep_open(passed: &[RawFd]) -> io::Result<()> {
    for fd in passed {
        // SAFETY: a plain system call.
        if unsafe { libc::fcntl(*fd, libc::F_SETFD, 0) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
