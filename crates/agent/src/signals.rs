//! Signals as a descriptor that can be polled.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR2};
use signal_hook::{SigId, flag, low_level};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// End.
    Terminate,
    /// Start idle workers anew.
    Hangup,
    /// Start the program anew, and leave the clients to it.
    Replace,
    /// A worker has ended.
    Child,
}

const KINDS: [(i32, Signal); 5] = [
    (SIGTERM, Signal::Terminate),
    (SIGINT, Signal::Terminate),
    (SIGHUP, Signal::Hangup),
    (SIGUSR2, Signal::Replace),
    (SIGCHLD, Signal::Child),
];

/// The signals that have arrived.
#[derive(Debug)]
pub struct Signals {
    wake: UnixStream,
    flags: [Arc<AtomicBool>; KINDS.len()],
    ids: Vec<SigId>,
}

impl Signals {
    /// Begins to watch.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn new() -> Result<Self> {
        let (wake, write) = UnixStream::pair().context("cannot make a pipe for signals")?;
        wake.set_nonblocking(true)?;
        let flags: [Arc<AtomicBool>; KINDS.len()] = Default::default();
        let mut ids = Vec::new();
        for ((number, _), arrived) in KINDS.iter().zip(&flags) {
            // First the flag, then the byte that wakes: handlers run in this order.
            let set = flag::register(*number, Arc::clone(arrived));
            let woken = low_level::pipe::register(*number, write.try_clone()?);
            for id in [set, woken] {
                ids.push(id.with_context(|| format!("cannot watch signal {number}"))?);
            }
        }
        Ok(Self { wake, flags, ids })
    }

    /// What has arrived since the last call, each once.
    pub fn take(&mut self) -> Vec<Signal> {
        let mut bytes = [0; 64];
        while matches!(self.wake.read(&mut bytes), Ok(n) if n > 0) {}
        KINDS
            .iter()
            .zip(&self.flags)
            .filter(|(_, arrived)| arrived.swap(false, Ordering::SeqCst))
            .map(|((_, signal), _)| *signal)
            .collect()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            low_level::unregister(id);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, poll};

    #[test]
    fn a_signal_wakes_and_is_told_once() {
        let mut signals = Signals::new().unwrap();
        low_level::raise(SIGHUP).unwrap();
        poll(&mut [PollFd::new(&signals, PollFlags::IN)], None).unwrap();
        assert!(signals.take().contains(&Signal::Hangup));
        assert!(!signals.take().contains(&Signal::Hangup));
    }
}
