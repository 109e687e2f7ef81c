//! The agent's one loop: connections in, workers started, told, watched and replaced.
//!
//! Everything runs on the main thread, which never waits for a worker or a client:
//! it polls the listeners, the workers' channels and the signals.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use vaccel_abi::error::{EREMOTEIO, EUSERS};

use crate::backoff::Backoff;
use crate::handoff::{ToAgent, ToWorker};
use crate::listen::{Accepted, Listener};
use crate::options::Isolation;
use crate::process::{Process, Recipe, describe};
use crate::refuse::refuse;
use crate::rundir::Rundir;
use crate::signals::{Signal, Signals};
use crate::{debug, error, info, log, warn};

/// How long a worker may take from its start to READY.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a worker may take from its last word to its end.
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// Workers that start at the same time: more would only slow each other down.
const MAX_STARTING: usize = 4;
/// Pause after the machine had no descriptor left for a new connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the loop needs to know.
#[derive(Debug)]
pub struct Settings {
    /// How workers are started.
    pub recipe: Recipe,
    /// One worker for each connection, or one for all.
    pub isolation: Isolation,
    /// Idle workers to keep.
    pub pool: usize,
    /// Connections at the same time.
    pub max_connections: usize,
    /// How long workers may take when the agent ends.
    pub drain_timeout: Duration,
}

/// The loop's state.
pub struct Supervisor {
    settings: Settings,
    listeners: Vec<Listener>,
    signals: Signals,
    workers: Vec<Worker>,
    /// Connections that no worker has yet.
    waiting: VecDeque<Connection>,
    backoff: Backoff,
    accept_after: Option<Instant>,
    /// Set when the agent is to end: until when workers may take.
    draining: Option<Instant>,
    next_worker: u64,
    next_connection: u64,
    cleaner: Cleaner,
    /// Last, because what goes before it still has folders in it.
    rundir: Rundir,
}

struct Worker {
    number: u64,
    process: Process,
    state: State,
    connections: Vec<Connection>,
    /// It has had a connection: what happens to it then may be the client's doing.
    served: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Not ready yet; ends at this time if it does not become so.
    Starting(Instant),
    /// Ready for connections.
    Ready,
    /// Takes no connection; killed at this time.
    Ending(Instant),
    /// Serves what it has, then ends.
    Draining,
}

struct Connection {
    number: u64,
    origin: String,
    /// Held until the worker says that it has it: if that worker dies first, another
    /// one is given it and the client notices nothing.
    descriptor: Option<OwnedFd>,
}

impl Supervisor {
    /// Puts together what the loop needs; starts nothing.
    ///
    /// # Errors
    /// When signals cannot be watched or a thread cannot be started.
    pub fn new(settings: Settings, rundir: Rundir, listeners: Vec<Listener>) -> Result<Self> {
        Ok(Self {
            settings,
            rundir,
            listeners,
            signals: Signals::new()?,
            workers: Vec::new(),
            waiting: VecDeque::new(),
            backoff: Backoff::default(),
            accept_after: None,
            draining: None,
            next_worker: 1,
            next_connection: 1,
            cleaner: Cleaner::start()?,
        })
    }

    /// Starts the first worker, says through `ready` that clients may come, and
    /// serves until a signal ends it.
    ///
    /// # Errors
    /// When the first worker does not become ready: then the settings are wrong,
    /// and saying so at once is better than refusing every client later.
    pub fn run(mut self, ready: impl FnOnce(&[Listener]) -> Result<()>) -> Result<()> {
        self.start_worker()?;
        while self.draining.is_none() && self.ready_workers() == 0 {
            self.turn(false)?;
            if let Some(reason) = self.backoff.reason() {
                bail!("no worker can be started: {reason}");
            }
        }
        if self.draining.is_none() {
            ready(&self.listeners)?;
        }
        while self.draining.is_none() || !self.workers.is_empty() {
            // Who waits is served before anything that takes time.
            self.assign();
            self.refill();
            self.turn(true)?;
        }
        Ok(())
    }

    fn ready_workers(&self) -> usize {
        let is_ready = |worker: &&Worker| worker.state == State::Ready;
        self.workers.iter().filter(is_ready).count()
    }

    /// Waits for something to happen and deals with it.
    fn turn(&mut self, accept: bool) -> Result<()> {
        let now = Instant::now();
        let accept =
            accept && self.draining.is_none() && self.accept_after.is_none_or(|t| t <= now);
        let timeout = self
            .next_deadline(now)
            .map(|at| at.saturating_duration_since(now));
        let timeout = timeout.map(|t| Timespec {
            tv_sec: i64::try_from(t.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: t.subsec_nanos().into(),
        });

        let mut fds: Vec<PollFd<'_>> = vec![PollFd::from_borrowed_fd(
            self.signals.as_fd(),
            PollFlags::IN,
        )];
        let channels: Vec<BorrowedFd<'_>> =
            self.workers.iter().map(|w| w.process.channel()).collect();
        for (worker, channel) in self.workers.iter().zip(&channels) {
            // The channel of a worker that has said its last word stays ready for ever.
            let events = match worker.state {
                State::Ending(_) => PollFlags::empty(),
                _ => PollFlags::IN,
            };
            fds.push(PollFd::from_borrowed_fd(*channel, events));
        }
        if accept {
            for listener in &self.listeners {
                fds.push(PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN));
            }
        }
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e).context("cannot wait for events"),
        }
        let happened: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);

        if happened[0] {
            for signal in self.signals.take() {
                self.handle_signal(signal);
            }
        }
        let nr_workers = self.workers.len();
        for (i, &happened) in happened[1..=nr_workers].iter().enumerate() {
            if happened && !matches!(self.workers[i].state, State::Ending(_)) {
                self.hear(i);
            }
        }
        self.reap();
        self.enforce_deadlines(Instant::now());
        if accept {
            for i in 0..self.listeners.len() {
                if happened.get(1 + nr_workers + i).is_some_and(|&h| h) {
                    self.accept(i);
                }
            }
        }
        Ok(())
    }

    /// When something is due even if nothing happens.
    fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let workers = self.workers.iter().filter_map(|worker| match worker.state {
            State::Starting(at) | State::Ending(at) => Some(at),
            State::Ready | State::Draining => None,
        });
        let wanted = self.missing_workers() > 0;
        workers
            .chain(self.draining)
            .chain(self.accept_after.filter(|&at| at > now))
            .chain(self.backoff.until(now).filter(|_| wanted))
            .min()
    }

    fn handle_signal(&mut self, signal: Signal) {
        match signal {
            // `reap` looks after every turn.
            Signal::Child => {}
            Signal::Hangup => {
                info!("starting idle workers anew");
                let idle = |w: &Worker| w.state == State::Ready && w.connections.is_empty();
                let until = Instant::now() + END_TIMEOUT;
                for worker in self.workers.iter_mut().filter(|w| idle(w)) {
                    worker.drain();
                    worker.state = State::Ending(until);
                }
            }
            Signal::Terminate if self.draining.is_some() => {
                warn!("told to end a second time: ending at once");
                self.draining = Some(Instant::now());
            }
            Signal::Terminate => {
                let served: usize = self.workers.iter().map(|w| w.connections.len()).sum();
                info!(
                    "ending: {served} connections, workers have {:?}",
                    self.settings.drain_timeout
                );
                self.draining = Some(Instant::now() + self.settings.drain_timeout);
                // Removes the socket files.
                self.listeners.clear();
                self.waiting.clear();
                for worker in &mut self.workers {
                    match worker.state {
                        State::Starting(_) => worker.process.kill(),
                        State::Ready => {
                            worker.drain();
                            worker.state = State::Draining;
                        }
                        State::Ending(_) | State::Draining => {}
                    }
                }
            }
        }
    }

    fn accept(&mut self, listener: usize) {
        // A few at a time, so that workers are heard in between.
        for _ in 0..16 {
            match self.listeners[listener].accept() {
                Ok(Some(accepted)) => self.admit(accepted),
                Ok(None) => return,
                Err(e) => {
                    warn!("cannot accept a connection: {e}");
                    self.accept_after = Some(Instant::now() + ACCEPT_PAUSE);
                    return;
                }
            }
        }
    }

    fn admit(&mut self, accepted: Accepted) {
        let served: usize = self.workers.iter().map(|w| w.connections.len()).sum();
        let limit = self.settings.max_connections;
        if served + self.waiting.len() >= limit {
            warn!(
                "refusing {}: {limit} connections are served already",
                accepted.origin
            );
            let text = format!("the agent serves {limit} connections already; try again later");
            refuse(accepted.descriptor, EUSERS, text);
            return;
        }
        let number = self.next_connection;
        self.next_connection += 1;
        debug!(connection = number, "from {}", accepted.origin);
        self.waiting.push_back(Connection {
            number,
            origin: accepted.origin,
            descriptor: Some(accepted.descriptor),
        });
    }

    /// Gives waiting connections to workers, or tells them why there is none.
    fn assign(&mut self) {
        let shared = self.settings.isolation == Isolation::Shared;
        while !self.waiting.is_empty() {
            let free = |w: &Worker| w.state == State::Ready && (shared || w.connections.is_empty());
            let Some(worker) = self.workers.iter_mut().find(|w| free(w)) else {
                break;
            };
            let Some(connection) = self.waiting.pop_front() else {
                break;
            };
            let message = ToWorker::Connection {
                number: connection.number,
                origin: connection.origin.clone(),
            };
            let descriptor = connection.descriptor.as_ref().map(AsFd::as_fd);
            match worker.process.send(&message, descriptor) {
                Ok(()) => {
                    worker.connections.push(connection);
                    worker.served = true;
                }
                Err(e) => {
                    // Dead or stuck; its end is seen elsewhere.
                    debug!("worker {} takes no connection: {e}", worker.number);
                    worker.process.kill();
                    worker.state = State::Ending(Instant::now() + END_TIMEOUT);
                    self.waiting.push_front(connection);
                }
            }
        }
        if let (Some(reason), true) = (self.backoff.reason(), self.starting() == 0) {
            for connection in self.waiting.drain(..) {
                let text = format!("no worker can be started: {reason}");
                if let Some(descriptor) = connection.descriptor {
                    refuse(descriptor, EREMOTEIO, text);
                }
            }
        }
    }

    fn starting(&self) -> usize {
        let starting = |w: &&Worker| matches!(w.state, State::Starting(_));
        self.workers.iter().filter(starting).count()
    }

    /// How many workers should be started.
    fn missing_workers(&self) -> usize {
        if self.draining.is_some() {
            return 0;
        }
        let (wanted, there) = match self.settings.isolation {
            Isolation::Shared => (1, self.ready_workers()),
            Isolation::Connection => {
                let idle = |w: &&Worker| w.state == State::Ready && w.connections.is_empty();
                (
                    self.settings.pool + self.waiting.len(),
                    self.workers.iter().filter(idle).count(),
                )
            }
        };
        wanted.saturating_sub(there + self.starting())
    }

    fn refill(&mut self) {
        let now = Instant::now();
        for _ in 0..self.missing_workers() {
            if self.starting() >= MAX_STARTING || self.backoff.until(now).is_some() {
                return;
            }
            if let Err(e) = self.start_worker() {
                error!("{e:#}");
                self.backoff.failed(format!("{e:#}"), now);
            }
        }
    }

    fn start_worker(&mut self) -> Result<()> {
        let number = self.next_worker;
        self.next_worker += 1;
        let folder = self.rundir.worker(number)?;
        let process = Process::start(&self.settings.recipe, folder.clone())
            .inspect_err(|_| crate::rundir::remove(&folder))?;
        debug!("worker {number} started as process {}", process.id());
        self.workers.push(Worker {
            number,
            process,
            state: State::Starting(Instant::now() + START_TIMEOUT),
            connections: Vec::new(),
            served: false,
        });
        Ok(())
    }

    /// Takes what a worker says.
    fn hear(&mut self, i: usize) {
        loop {
            let worker = &mut self.workers[i];
            match worker.process.receive() {
                Ok(Some(message)) => self.obey(i, message),
                Ok(None) => {
                    // It is ending; how, is seen when it has.
                    if let State::Starting(_) | State::Ready | State::Draining = worker.state {
                        let failed = matches!(worker.state, State::Starting(_));
                        worker.state = State::Ending(Instant::now() + END_TIMEOUT);
                        if failed {
                            worker.failed_to_start(&mut self.backoff, "it ended while it started");
                        }
                    }
                    return;
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(e) => {
                    error!("worker {}: {e}", worker.number);
                    worker.process.kill();
                    worker.state = State::Ending(Instant::now() + END_TIMEOUT);
                    return;
                }
            }
        }
    }

    fn obey(&mut self, i: usize, message: ToAgent) {
        let worker = &mut self.workers[i];
        match message {
            ToAgent::Ready { about } => {
                debug!("worker {} is ready: {about}", worker.number);
                if let State::Starting(_) = worker.state {
                    worker.state = State::Ready;
                    self.backoff.succeeded();
                }
            }
            ToAgent::Failed { reason } => {
                worker.failed_to_start(&mut self.backoff, &reason);
                worker.state = State::Ending(Instant::now() + END_TIMEOUT);
            }
            ToAgent::Taken { number } => {
                let taken = worker.connections.iter_mut().find(|c| c.number == number);
                if let Some(connection) = taken {
                    connection.descriptor = None;
                    info!(
                        connection = number,
                        "from {}, served by worker {} (process {})",
                        connection.origin,
                        worker.number,
                        worker.process.id()
                    );
                }
            }
            ToAgent::Ended { number, reason } => {
                worker.connections.retain(|c| c.number != number);
                info!(connection = number, "ended: {reason}");
                if self.settings.isolation == Isolation::Connection {
                    worker.state = State::Ending(Instant::now() + END_TIMEOUT);
                }
            }
        }
    }

    /// Looks which workers have ended, and deals with what they leave.
    fn reap(&mut self) {
        let mut i = 0;
        while i < self.workers.len() {
            match self.workers[i].process.try_wait() {
                None => i += 1,
                Some(status) => {
                    // What it said last may not have been heard yet.
                    if !matches!(self.workers[i].state, State::Ending(_)) {
                        self.hear(i);
                    }
                    let worker = self.workers.swap_remove(i);
                    self.bury(worker, status);
                }
            }
        }
    }

    fn bury(&mut self, worker: Worker, status: ExitStatus) {
        let Worker {
            number,
            process,
            state,
            connections,
            served,
        } = worker;
        let how = describe(status);
        if let State::Starting(_) = state {
            // It was killed before it could say anything.
            let reason = format!("worker {number} was {how} while it started");
            error!("{reason}");
            self.backoff.failed(reason, Instant::now());
        } else if connections.is_empty() {
            let level = if status.success() {
                log::Level::Debug
            } else {
                log::Level::Warn
            };
            log!(level, "worker {number} (process {}) {how}", process.id());
            if !status.success() && !served && self.draining.is_none() {
                let reason = format!("an idle worker was {how}");
                self.backoff.failed(reason, Instant::now());
            }
        }
        for connection in connections {
            if connection.descriptor.is_some() && self.draining.is_none() {
                debug!(
                    connection = connection.number,
                    "worker {number} {how} before it took it"
                );
                self.waiting.push_front(connection);
            } else {
                error!(
                    connection = connection.number,
                    "from {}: worker {number} (process {}) {how} while it served it",
                    connection.origin,
                    process.id()
                );
            }
        }
        self.cleaner.dispose(process);
    }

    fn enforce_deadlines(&mut self, now: Instant) {
        let all = self.draining.is_some_and(|until| until <= now);
        for worker in &mut self.workers {
            let what = match worker.state {
                State::Starting(until) if until <= now => "does not become ready",
                State::Ending(until) if until <= now => "does not end",
                State::Draining | State::Ready if all => "takes too long to finish",
                _ if all => "is still there",
                _ => continue,
            };
            warn!("worker {} {what}: killing it", worker.number);
            if let State::Starting(_) = worker.state {
                worker.failed_to_start(&mut self.backoff, what);
            }
            worker.process.kill();
            worker.state = State::Ending(now + END_TIMEOUT);
        }
        if all {
            // Said once; from now on only their ends are waited for.
            self.draining = Some(now + END_TIMEOUT);
        }
    }
}

impl Worker {
    fn drain(&mut self) {
        if let Err(e) = self.process.send(&ToWorker::Drain, None) {
            debug!("worker {} cannot be told to end: {e}", self.number);
            self.process.kill();
        }
    }

    fn failed_to_start(&self, backoff: &mut Backoff, reason: &str) {
        error!("worker {} did not start: {reason}", self.number);
        backoff.failed(reason.to_owned(), Instant::now());
    }
}

/// Removes the folders of workers that have ended, away from the loop: a client may
/// have filled one with many files.
struct Cleaner {
    queue: Option<Sender<Process>>,
    thread: Option<JoinHandle<()>>,
}

impl Cleaner {
    fn start() -> Result<Self> {
        let (queue, work) = channel::<Process>();
        let thread = std::thread::Builder::new()
            .name("cleaner".into())
            .spawn(move || work.into_iter().for_each(drop))
            .context("cannot start a thread")?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    fn dispose(&self, process: Process) {
        if let Some(queue) = &self.queue {
            // The thread lives as long as the queue; if it did not, the process
            // would be dropped here.
            let _ = queue.send(process);
        }
    }
}

impl Drop for Cleaner {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// For messages: the path of the worker program when none is named.
///
/// # Errors
/// When this program does not know where it is, or there is no worker beside it.
pub fn worker_program() -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    // The same name in the folder of the file behind a symbolic link.
    let beside = own.with_file_name("vaccel-worker");
    if beside.is_file() {
        return Ok(beside);
    }
    bail!(
        "there is no {}; install vaccel-worker beside this program, or name it with --worker",
        beside.display()
    )
}
