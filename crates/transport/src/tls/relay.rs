//! Moves bytes between a TLS connection and a pair of sockets.

use super::handshake::{Wire, explain, flush};
use crate::fork;
use crate::sys;
use rustls::Connection;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Bytes of one step in either direction.
const STEP: usize = 64 << 10;

/// What TLS needs beside its buffers; ring's elliptic curves are the deepest.
const STACK: usize = 512 << 10;

/// A TLS connection and the end of a pair whose other end carries its plain bytes.
#[derive(Debug)]
pub struct Relay {
    tls: Connection,
    wire: OwnedFd,
    plain: OwnedFd,
    linger: Duration,
    /// What the other side is called.
    theirs: &'static str,
    /// The local side may still send.
    local: bool,
    /// The local side has gone altogether; what it has sent is still taken.
    local_gone: Option<Instant>,
    /// The other side may still send.
    remote: bool,
    /// Decrypted, and not yet taken.
    inbox: Box<[u8]>,
    filled: usize,
    taken: usize,
    goodbye: Goodbye,
}

/// How far the local side's end has been told.
#[derive(Debug, PartialEq, Eq)]
enum Goodbye {
    None,
    Queued,
    Sent,
}

impl Relay {
    pub(super) fn new(
        mut tls: Connection,
        wire: OwnedFd,
        plain: OwnedFd,
        linger: Duration,
        theirs: &'static str,
    ) -> Self {
        // Never more than a step is queued, see `send`.
        tls.set_buffer_limit(None);
        Self {
            tls,
            wire,
            plain,
            linger,
            theirs,
            local: true,
            local_gone: None,
            remote: true,
            inbox: vec![0; STEP].into(),
            filled: 0,
            taken: 0,
            goodbye: Goodbye::None,
        }
    }

    /// Relays until either side is gone. Takes a thread.
    ///
    /// # Errors
    /// Why the connection was cut: the other side did not say goodbye, or what
    /// came is not what it sent.
    pub fn run(self) -> Result<(), String> {
        self.relay(&OnceLock::new())
    }

    fn relay(mut self, fault: &OnceLock<Arc<str>>) -> Result<(), String> {
        let result = self.work();
        if let Err(reason) = &result {
            // Before the local side sees the end.
            let _ = fault.set(reason.as_str().into());
            flush(&mut self.tls, self.wire.as_fd());
        }
        // Also when a child of fork() holds the same descriptors.
        shutdown(self.wire.as_fd(), Shutdown::Both);
        shutdown(self.plain.as_fd(), Shutdown::Both);
        result
    }

    fn work(&mut self) -> Result<(), String> {
        let mut step = vec![0; STEP];
        loop {
            self.deliver()?;
            self.collect(&mut step)?;
            self.farewell()?;
            let gone = self.local_gone.is_some();
            let flushed = !self.tls.wants_write();
            if flushed && !self.local && (gone || !self.remote) {
                return Ok(());
            }
            if !self.wait()? {
                return Ok(());
            }
        }
    }

    /// Takes what the wire has, as long as the local side takes it.
    fn deliver(&mut self) -> Result<(), String> {
        loop {
            if self.taken == self.filled && !self.decrypt()? {
                return Ok(());
            }
            if self.local_gone.is_some() {
                // Nobody wants it any more.
                self.taken = self.filled;
                continue;
            }
            match sys::send(
                self.plain.as_fd(),
                &self.inbox[self.taken..self.filled],
                libc::MSG_DONTWAIT,
            ) {
                Ok(n) => self.taken += n,
                Err(e) if sys::is_would_block(&e) => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.leave(),
            }
        }
    }

    /// Fills the inbox; false when nothing has come.
    fn decrypt(&mut self) -> Result<bool, String> {
        self.taken = 0;
        self.filled = 0;
        loop {
            match self.tls.reader().read(&mut self.inbox) {
                Ok(0) => {
                    if self.remote {
                        self.remote = false;
                        shutdown(self.plain.as_fd(), Shutdown::Write);
                    }
                    return Ok(false);
                }
                Ok(n) => {
                    self.filled = n;
                    return Ok(true);
                }
                Err(e) if sys::is_would_block(&e) => {}
                Err(e) => {
                    return Err(self.cut(&e));
                }
            }
            match self.tls.read_tls(&mut Wire(self.wire.as_fd())) {
                // At the end of the stream `reader` tells whether a goodbye came before.
                Ok(_) => {
                    if let Err(e) = self.tls.process_new_packets() {
                        return Err(explain(&e, self.theirs));
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if sys::is_would_block(&e) => {
                    return Ok(false);
                }
                Err(e) => {
                    return Err(self.cut(&e));
                }
            }
        }
    }

    fn cut(&self, error: &io::Error) -> String {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => format!(
                "the connection was cut: it ended without TLS's goodbye, so {} has died or \
                 somebody on the way has ended it",
                self.theirs
            ),
            _ => format!("the connection was cut: {error}"),
        }
    }

    /// Sends what the local side has, as long as the wire takes it.
    fn collect(&mut self, step: &mut [u8]) -> Result<(), String> {
        loop {
            self.send()?;
            // One step at a time, so that a slow peer slows the local side down.
            if self.tls.wants_write() || !self.local {
                return Ok(());
            }
            match sys::recv(self.plain.as_fd(), step, libc::MSG_DONTWAIT) {
                Ok(0) => self.local = false,
                Ok(n) => self
                    .tls
                    .writer()
                    .write_all(&step[..n])
                    .map_err(|e| format!("cannot encrypt: {e}"))?,
                Err(e) if sys::is_would_block(&e) => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.local = false;
                    self.leave();
                }
            }
        }
    }

    fn send(&mut self) -> Result<(), String> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Wire(self.wire.as_fd())) {
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if sys::is_would_block(&e) => return Ok(()),
                Err(e) if sys::is_gone(&e) => {
                    // Its last word may say why.
                    self.deliver()?;
                    return Err(format!("the connection was cut: {} is gone", self.theirs));
                }
                Err(e) => return Err(self.cut(&e)),
            }
        }
        Ok(())
    }

    /// Tells the other side that nothing more comes.
    fn farewell(&mut self) -> Result<(), String> {
        if !self.local && self.goodbye == Goodbye::None {
            self.tls.send_close_notify();
            self.goodbye = Goodbye::Queued;
            self.send()?;
        }
        if self.goodbye == Goodbye::Queued && !self.tls.wants_write() {
            shutdown(self.wire.as_fd(), Shutdown::Write);
            self.goodbye = Goodbye::Sent;
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.local_gone
            .get_or_insert_with(|| Instant::now() + self.linger);
    }

    /// Waits for something to do; false when the time of a local side that has
    /// gone is over.
    fn wait(&mut self) -> Result<bool, String> {
        let mut wire = 0;
        if self.taken == self.filled && self.remote && self.tls.wants_read() {
            wire |= libc::POLLIN;
        }
        if self.tls.wants_write() {
            wire |= libc::POLLOUT;
        }
        let mut plain = 0;
        if self.local && !self.tls.wants_write() {
            plain |= libc::POLLIN;
        }
        if self.taken < self.filled {
            plain |= libc::POLLOUT;
        }
        let watched = |fd: &OwnedFd, wanted: bool| if wanted { fd.as_raw_fd() } else { -1 };
        let mut fds = [
            libc::pollfd {
                // Without events a wire that has failed would be ready for ever.
                fd: watched(&self.wire, wire != 0),
                events: wire,
                revents: 0,
            },
            libc::pollfd {
                // Without events it still tells that the local side has gone.
                fd: watched(&self.plain, self.local_gone.is_none()),
                events: plain,
                revents: 0,
            },
        ];
        let time = match self.local_gone {
            None => -1,
            Some(end) => {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Ok(false);
                }
                i32::try_from(left.as_millis()).unwrap_or(i32::MAX).max(1)
            }
        };
        // SAFETY: two live structures.
        if unsafe { libc::poll(fds.as_mut_ptr(), 2, time) } < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(format!("cannot wait: {error}"));
            }
        }
        if fds[1].revents & (libc::POLLHUP | libc::POLLERR) != 0 {
            self.leave();
        }
        Ok(true)
    }
}

fn shutdown(fd: BorrowedFd<'_>, how: Shutdown) {
    // Fails only when it is shut already.
    let _ = socket2::SockRef::from(&fd).shutdown(how);
}

/// A relay on a thread of its own, which ends when the stream before it does.
#[derive(Debug)]
pub(crate) struct Pump {
    thread: Mutex<Option<JoinHandle<()>>>,
    fault: Arc<OnceLock<Arc<str>>>,
    peer: SocketAddr,
    epoch: u64,
}

impl Pump {
    pub(super) fn start(relay: Relay, peer: SocketAddr) -> io::Result<Self> {
        let fault = Arc::new(OnceLock::new());
        let shared = Arc::clone(&fault);
        let signals = Blocked::all();
        let thread = std::thread::Builder::new()
            .name("vaccel-tls".into())
            .stack_size(STACK)
            .spawn(move || {
                // Whoever uses the stream is told the reason through `fault`.
                let _ = relay.relay(&shared);
            });
        drop(signals);
        Ok(Self {
            thread: Mutex::new(Some(thread?)),
            fault,
            peer,
            epoch: fork::epoch(),
        })
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Why the stream ended, when TLS ended it.
    pub(crate) fn fault(&self) -> Option<Arc<str>> {
        self.fault.get().cloned()
    }

    /// Waits until the thread has ended.
    pub(crate) fn settle(&self) {
        if let Some(thread) = self.take() {
            // It does not panic; and if it did, it would have ended too.
            let _ = thread.join();
        }
    }

    /// Lets the thread end by itself.
    pub(crate) fn detach(&self) {
        drop(self.take());
    }

    fn take(&self) -> Option<JoinHandle<()>> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let thread = thread.take()?;
        if self.epoch == fork::epoch() {
            return Some(thread);
        }
        // There is no such thread in a child.
        std::mem::forget(thread);
        None
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.settle();
    }
}

/// Signals are the application's: threads of the library take none.
struct Blocked(libc::sigset_t);

impl Blocked {
    fn all() -> Self {
        // SAFETY: both sets are live; blocking signals has no other effect.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
            Self(before)
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: puts back what was there.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut())
        };
    }
}
