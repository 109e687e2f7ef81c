//! The agent's one loop: connections in, workers told and watched, signals obeyed.
//!
//! Everything runs on the main thread, which never waits for a worker or a client:
//! it polls the listeners, the workers' channels and the signals.
//!
//! * `admission`: clients on their way to a worker. `succession`: a restart that no client notices.

mod admission;
mod succession;

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::board::{Board, Phase};
use crate::hello::Hellos;
use crate::listen::Listener;
use crate::metrics::http::Server;
use crate::notify::Notifier;
use crate::options::Options;
use crate::pool::{Connection, Pool};
use crate::signals::{Signal, Signals};
use crate::successor::Successor;
use crate::tenants;
use crate::tls::Tls;
use crate::{info, warn};
/// How long killed workers may take to be gone.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long clients may take to read what they were sent last.
const LAST_BYTES: Duration = Duration::from_secs(5);

/// The loop's state.
pub struct Supervisor {
    listeners: Vec<Listener>,
    tls: Option<Tls>,
    /// Clients that have not said HELLO, where tokens decide who they are.
    hellos: Hellos,
    options: Options,
    signals: Signals,
    pool: Pool,
    board: Arc<Board>,
    /// Connections that no worker has yet.
    waiting: VecDeque<Connection>,
    max_connections: usize,
    next_connection: u64,
    /// Nobody is accepted before this.
    accept_after: Option<Instant>,
    drain_timeout: Duration,
    /// Set when the agent is to end: until when workers may take.
    draining: Option<Instant>,
    /// Set when a successor takes new clients: until when the old ones may stay.
    leaving: Option<Instant>,
    life: Life,
    successor: Option<Successor>,
}

/// What the loop has to do with the agent's own process.
#[derive(Debug, Default)]
pub struct Life {
    /// The service manager.
    pub notifier: Notifier,
    /// The program, to start its successor.
    pub program: PathBuf,
    /// The server for figures.
    pub server: Option<Server>,
}

impl Supervisor {
    /// Puts together what the loop needs; starts nothing. `tls` is there when a listener
    /// needs it.
    ///
    /// # Errors
    /// When signals cannot be watched.
    pub fn new(
        listeners: Vec<Listener>,
        tls: Option<Tls>,
        pool: Pool,
        board: Arc<Board>,
        life: Life,
        options: Options,
    ) -> Result<Self> {
        Ok(Self {
            listeners,
            tls,
            hellos: Hellos::new()?,
            signals: Signals::new()?,
            pool,
            board,
            waiting: VecDeque::new(),
            max_connections: usize::try_from(options.max_connections).unwrap_or(usize::MAX),
            next_connection: 1,
            accept_after: None,
            drain_timeout: options.drain_timeout,
            options,
            draining: None,
            leaving: None,
            life,
            successor: None,
        })
    }

    /// Starts the first worker, says through `ready` that clients may come, and
    /// serves until a signal ends it.
    ///
    /// # Errors
    /// When the first worker does not become ready: then the settings are wrong,
    /// and saying so at once is better than refusing every client later.
    pub fn run(mut self, ready: impl FnOnce(&[Listener])) -> Result<()> {
        self.pool.start_first()?;
        while self.draining.is_none() && self.pool.ready() == 0 {
            self.turn(false)?;
            if let Some(reason) = self.pool.failure() {
                bail!("no worker can be started: {reason}");
            }
        }
        if self.draining.is_none() {
            let listeners = self.listeners.iter().map(|l| l.address().to_string());
            let listeners = listeners.collect();
            self.board.note(|facts| {
                facts.phase = Phase::Serving;
                facts.listeners = listeners;
            });
            // Until now a successor that fails must leave the files to its predecessor.
            self.listeners.iter().for_each(Listener::own_file);
            self.life.server.iter().for_each(Server::own_file);
            ready(&self.listeners);
            self.life.notifier.ready("serving");
        }
        while self.draining.is_none() || !self.pool.workers().is_empty() {
            if self.draining.is_none() {
                // Who waits is served before anything that takes time.
                let assigned = self.assign();
                if self.leaving.is_none() {
                    self.pool.refill(&self.waiting);
                } else {
                    self.see_off(assigned);
                }
            }
            self.turn(true)?;
        }
        if let Some(tls) = &self.tls {
            tls.settle(LAST_BYTES);
        }
        if let Some(server) = self.life.server.take().filter(|_| self.leaving.is_some()) {
            server.leave_file();
        }
        Ok(())
    }

    /// Waits for something to happen and deals with it.
    fn turn(&mut self, accept: bool) -> Result<()> {
        let happened = self.wait(accept)?;
        // Without a policy there is one set of plugins, that of tenant 0.
        self.board.turned(self.waiting.len(), self.pool.broken(0));
        if happened.signal {
            for signal in self.signals.take() {
                self.handle_signal(signal);
            }
        }
        for worker in happened.workers {
            self.pool.hear(worker);
        }
        let returned = self.pool.reap();
        if self.draining.is_none() {
            // In front: they have waited longest.
            returned
                .into_iter()
                .for_each(|c| self.waiting.push_front(c));
        }
        if happened.successor {
            self.hear_successor();
        }
        let now = Instant::now();
        self.life.notifier.beat(now);
        self.pool.enforce(now);
        if self.draining.is_some_and(|until| until <= now) {
            self.pool.kill_all();
            self.draining = Some(now + KILL_TIMEOUT);
        }
        for listener in happened.listeners {
            self.accept(listener);
        }
        let arrived = self.tls.as_ref().map(Tls::arrived).unwrap_or_default();
        if self.draining.is_none() {
            arrived.into_iter().for_each(|client| self.admit(client));
            let spoken = self.hellos.arrived();
            spoken.into_iter().for_each(|client| self.let_in(client));
        }
        Ok(())
    }

    /// Waits until something happens or is due.
    fn wait(&self, accept: bool) -> Result<Happened> {
        let now = Instant::now();
        let accept =
            accept && self.draining.is_none() && self.accept_after.is_none_or(|at| at <= now);
        let mut fds = vec![
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(&self.hellos, PollFlags::IN),
            PollFd::from_borrowed_fd((*self.board).as_fd(), PollFlags::IN),
        ];
        let successor = self.successor.iter();
        fds.extend(successor.map(|s| PollFd::from_borrowed_fd(s.as_fd(), PollFlags::IN)));
        for worker in self.pool.workers() {
            let events = if worker.is_heard() {
                PollFlags::IN
            } else {
                PollFlags::empty()
            };
            fds.push(PollFd::from_borrowed_fd(worker.process().channel(), events));
        }
        let nr_workers = self.pool.workers().len();
        let nr_own = fds.len() - nr_workers;
        let nr_tls = usize::from(self.tls.is_some());
        fds.extend(self.tls.iter().map(|tls| PollFd::new(tls, PollFlags::IN)));
        if accept {
            let listeners = self.listeners.iter();
            fds.extend(listeners.map(|l| PollFd::from_borrowed_fd(l.as_fd(), PollFlags::IN)));
        }
        let due = self.next_deadline(now);
        // Only a time that no clock can hold does not convert; then there is none.
        let timeout = due.and_then(|at| Timespec::try_from(at.saturating_duration_since(now)).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e).context("cannot wait for events"),
        }
        let is_ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        let (workers, rest) = fds[nr_own..].split_at(nr_workers);
        let listeners = &rest[nr_tls..];
        let ready = |list: &[PollFd<'_>]| -> Vec<usize> {
            (0..list.len()).filter(|&i| is_ready(&list[i])).collect()
        };
        Ok(Happened {
            signal: is_ready(&fds[0]),
            successor: match &self.successor {
                Some(successor) => is_ready(&fds[3]) || successor.until() <= Instant::now(),
                None => false,
            },
            workers: ready(workers)
                .into_iter()
                .filter(|&i| self.pool.workers()[i].is_heard())
                .collect(),
            listeners: ready(listeners),
        })
    }

    fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let due = match self.draining {
            Some(until) => Some(until),
            None => self
                .pool
                .next_deadline(&self.waiting, now)
                .into_iter()
                .chain(self.accept_after.filter(|&at| at > now))
                .min(),
        };
        let further = [
            self.life.notifier.due(),
            self.leaving.filter(|_| self.draining.is_none()),
            self.successor.as_ref().map(Successor::until),
        ];
        due.into_iter().chain(further.into_iter().flatten()).min()
    }

    fn handle_signal(&mut self, signal: Signal) {
        match signal {
            // Every turn looks which workers have ended.
            Signal::Child => {}
            Signal::Replace => self.replace(),
            Signal::Hangup => {
                self.life.notifier.reloading();
                if let Some(tls) = &self.tls {
                    tls.reload();
                }
                if tenants::reload(self.pool.tenants_mut(), &self.options) {
                    self.pool.renew_terms();
                    self.drop_strangers();
                }
                info!("starting idle workers anew");
                self.pool.renew_idle();
                self.life.notifier.ready("serving");
            }
            Signal::Terminate if self.draining.is_some() => {
                warn!("told to end a second time: ending at once");
                self.draining = Some(Instant::now());
            }
            Signal::Terminate => {
                info!(
                    "ending: {} connections, workers have {:?}",
                    self.pool.served(),
                    self.drain_timeout
                );
                self.life.notifier.stopping("finishing what runs");
                if let Some(successor) = self.successor.take() {
                    // It must not outlive the agent that was told to end.
                    warn!(
                        "ending the process that was to take over: {}",
                        successor.bury()
                    );
                }
                self.drain();
            }
        }
    }

    fn drain(&mut self) {
        self.draining = Some(Instant::now() + self.drain_timeout);
        self.board.note(|facts| facts.phase = Phase::Draining);
        // Removes the socket files.
        self.listeners.clear();
        self.waiting.clear();
        self.pool.drain();
    }
}

/// What happened while the loop waited: positions of workers and listeners.
struct Happened {
    signal: bool,
    successor: bool,
    workers: Vec<usize>,
    listeners: Vec<usize>,
}
