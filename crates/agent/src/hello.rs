//! Reading a client's token before it is known whose worker serves it.
//!
//! HELLO is looked at and left where it is, for the worker to read. Each client that has
//! connected and not said HELLO has a thread of the agent's for as long; at most
//! `MAX` do.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::net::{RecvFlags, recv};
use vaccel_wire::{HELLO_LEN, Hello, MAX_EXTRA, Progress};

use crate::listen::Accepted;
use crate::{debug, warn};

/// How long a client may take to say HELLO.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause where a part of HELLO has arrived: the descriptor stays readable meanwhile.
const PAUSE: Duration = Duration::from_millis(2);
/// Clients that are waited for at the same time; further ones are hung up on.
const MAX: usize = 256;
const STACK: usize = 64 << 10;

/// Waits for HELLOs.
#[derive(Debug)]
pub struct Hellos {
    arrivals: Receiver<Accepted>,
    sender: Sender<Accepted>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Told each time one has arrived.
    wake: OwnedFd,
    waiting: AtomicUsize,
}

impl Hellos {
    /// Waits for nobody yet.
    ///
    /// # Errors
    /// When the system gives no descriptor.
    pub fn new() -> Result<Self> {
        let (sender, arrivals) = channel();
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .context("cannot make an eventfd")?;
        Ok(Self {
            arrivals,
            sender,
            shared: Arc::new(Shared {
                wake,
                waiting: AtomicUsize::new(0),
            }),
        })
    }

    /// Waits for a client's HELLO. Does not wait here: the client comes out of
    /// [`arrived`](Self::arrived), with its token if it has one.
    pub fn begin(&self, client: Accepted) {
        if self.shared.waiting.fetch_add(1, Ordering::Relaxed) >= MAX {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
            warn!(
                "hanging up on {}: {MAX} clients have not said HELLO",
                client.origin
            );
            return;
        }
        let shared = Arc::clone(&self.shared);
        let sender = self.sender.clone();
        let started = std::thread::Builder::new()
            .name("hello".into())
            .stack_size(STACK)
            .spawn(move || {
                let mut client = client;
                let seen = look(&client.descriptor, &mut client.identity);
                match seen {
                    Ok(()) => {
                        if sender.send(client).is_ok() {
                            // Full only when the loop is about to look anyway.
                            let _ = rustix::io::write(&shared.wake, &1u64.to_ne_bytes());
                        }
                    }
                    Err(reason) => debug!("{} is not let in: {reason}", client.origin),
                }
                // After it has been sent: whoever is waited for no more has arrived.
                shared.waiting.fetch_sub(1, Ordering::Release);
            });
        if let Err(e) = started {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
            warn!("cannot start a thread for a client: {e}");
        }
    }

    /// Clients that have not said HELLO yet. Those that were waited for before and are not
    /// any more have gone, or come out of [`arrived`](Self::arrived) after this.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.shared.waiting.load(Ordering::Acquire)
    }

    /// Clients that have said HELLO, or something else, since the last call.
    pub fn arrived(&self) -> Vec<Accepted> {
        let mut count = [0; 8];
        // Empty when nobody has come.
        let _ = rustix::io::read(&self.shared.wake, &mut count);
        self.arrivals.try_iter().collect()
    }
}

impl AsFd for Hellos {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.wake.as_fd()
    }
}

/// Looks at HELLO without taking it. What is none is the worker's to answer.
fn look(descriptor: &OwnedFd, identity: &mut crate::identity::Identity) -> Result<(), String> {
    let end = Instant::now() + PATIENCE;
    let mut bytes = vec![0; HELLO_LEN + MAX_EXTRA];
    loop {
        let left = end
            .checked_duration_since(Instant::now())
            .ok_or_else(|| format!("it did not say HELLO within {PATIENCE:?}"))?;
        let mut fds = [PollFd::new(descriptor, PollFlags::IN)];
        let timeout = Timespec::try_from(left).map_err(|e| e.to_string())?;
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => {}
            Err(e) => return Err(e.to_string()),
        }
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let (_, length) = match recv(descriptor, &mut bytes[..], flags) {
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => continue,
            other => other.map_err(|e| e.to_string())?,
        };
        if length == 0 {
            return Err("it hung up before it said HELLO".to_owned());
        }
        match Hello::decode(&bytes[..length]) {
            Ok(Progress::Done(hello, _)) => {
                if let Some(token) = hello.token {
                    identity.show(token);
                }
                return Ok(());
            }
            // Of the C implementation, or of nobody.
            Err(_) => return Ok(()),
            Ok(Progress::More(_)) => std::thread::sleep(PAUSE),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::identity::Identity;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    fn hello(token: Option<&[u8]>) -> Vec<u8> {
        let mut hello = Hello::new(1 << 20);
        hello.token = token;
        let mut bytes = Vec::new();
        hello.encode(&mut bytes).unwrap();
        bytes
    }

    fn accepted(stream: UnixStream) -> Accepted {
        Accepted {
            descriptor: stream.into(),
            origin: "a test".into(),
            tls: false,
            who: None,
            identity: Identity::default(),
        }
    }

    #[test]
    fn a_token_is_seen_and_hello_is_left_for_the_worker() {
        let hellos = Hellos::new().unwrap();
        let (mut client, server) = UnixStream::pair().unwrap();
        hellos.begin(accepted(server));
        let bytes = hello(Some(b"secret"));
        // In two parts, with the other side in between.
        client.write_all(&bytes[..20]).unwrap();
        assert!(hellos.arrived().is_empty());
        client.write_all(&bytes[20..]).unwrap();
        poll(&mut [PollFd::new(&hellos, PollFlags::IN)], None).unwrap();
        let mut arrived = hellos.arrived();
        let arrived = arrived.pop().unwrap();
        let mut expected = Identity::default();
        expected.show(b"secret");
        assert_eq!(arrived.identity.token, expected.token);
        let mut left = vec![0; bytes.len()];
        UnixStream::from(arrived.descriptor)
            .read_exact(&mut left)
            .unwrap();
        assert_eq!(left, bytes);
    }

    #[test]
    fn clients_without_token_and_of_other_protocols_arrive_and_those_who_hang_up_do_not() {
        let hellos = Hellos::new().unwrap();
        for first in [&hello(None)[..], b"\0\0\0\x01ttrpc"] {
            let (mut client, server) = UnixStream::pair().unwrap();
            hellos.begin(accepted(server));
            client.write_all(first).unwrap();
            poll(&mut [PollFd::new(&hellos, PollFlags::IN)], None).unwrap();
            let arrived = hellos.arrived();
            assert!(arrived.len() == 1 && arrived[0].identity.token.is_none());
        }
        let (client, server) = UnixStream::pair().unwrap();
        hellos.begin(accepted(server));
        drop(client);
        let end = Instant::now() + PATIENCE;
        while hellos.shared.waiting.load(Ordering::Relaxed) > 0 {
            assert!(Instant::now() < end);
            std::thread::yield_now();
        }
        assert!(hellos.arrived().is_empty());
    }
}
