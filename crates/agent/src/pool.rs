//! The workers of an agent: started ahead, heard, replaced when they end.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::backoff::Backoff;
use crate::cache::desk::Desk;
use crate::handoff::{ToAgent, ToWorker, Wanted};
use crate::options::Isolation;
use crate::process::{Process, Recipe, describe, reap_strangers};
use crate::rundir::Rundir;
use crate::{debug, error, info, log, warn};

/// How long a worker may take from its start to READY.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a worker may take from its last word to its end.
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// How soon a folder that could not be removed is tried again.
const RETRY_REMOVAL: Duration = Duration::from_secs(2);
/// Workers that start at the same time: more would only slow each other down.
const MAX_STARTING: usize = 4;

/// How workers are used.
#[derive(Debug)]
pub struct Settings {
    /// How they are started.
    pub recipe: Recipe,
    /// One for each connection, or one for all.
    pub isolation: Isolation,
    /// How many are kept idle.
    pub idle: usize,
    /// The cache of content, if there is one.
    pub cache: Option<Desk>,
}

/// All workers.
pub struct Pool {
    settings: Settings,
    workers: Vec<Worker>,
    next: u64,
    backoff: Backoff,
    cleaner: Cleaner,
    /// Last, because what goes before it still has folders in it.
    rundir: Rundir,
}

/// One worker, and what it serves.
pub struct Worker {
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

/// A client's connection.
#[derive(Debug)]
pub struct Connection {
    /// Its number, for logs.
    pub number: u64,
    /// Where it comes from, for logs.
    pub origin: String,
    /// Who the client is, for what it may share with others.
    pub who: Option<String>,
    /// Held until the worker says that it has it: if that worker dies first, another
    /// one is given it and the client notices nothing.
    pub descriptor: Option<OwnedFd>,
}

impl Pool {
    /// No workers yet; their folders go to `rundir`.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn new(settings: Settings, rundir: Rundir) -> Result<Self> {
        Ok(Self {
            settings,
            workers: Vec::new(),
            next: 1,
            backoff: Backoff::default(),
            cleaner: Cleaner::start()?,
            rundir,
        })
    }

    /// All workers that have not been buried.
    #[must_use]
    pub fn workers(&self) -> &[Worker] {
        &self.workers
    }

    /// Connections that workers serve.
    #[must_use]
    pub fn served(&self) -> usize {
        self.workers.iter().map(|w| w.connections.len()).sum()
    }

    /// Workers that have said READY and take connections.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.count(|w| w.state == State::Ready)
    }

    /// Why the last worker that was tried did not start; `None` when it did.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.backoff.reason()
    }

    /// Why no worker is to be had; `None` while one is starting, or may be started.
    #[must_use]
    pub fn broken(&self) -> Option<&str> {
        let hope = self.starting() > 0 || self.backoff.until(Instant::now()).is_none();
        self.backoff.reason().filter(|_| !hope)
    }

    /// When something is due even if nothing happens; `waiting` connections have no worker.
    #[must_use]
    pub fn next_deadline(&self, waiting: usize, now: Instant) -> Option<Instant> {
        let workers = self.workers.iter().filter_map(|worker| match worker.state {
            State::Starting(at) | State::Ending(at) => Some(at),
            State::Ready | State::Draining => None,
        });
        let retry = self.backoff.until(now);
        workers
            .chain(retry.filter(|_| self.missing(waiting) > 0))
            .min()
    }

    /// Starts the workers that are missing.
    pub fn refill(&mut self, waiting: usize) {
        let now = Instant::now();
        for _ in 0..self.missing(waiting) {
            if self.starting() >= MAX_STARTING || self.backoff.until(now).is_some() {
                return;
            }
            if let Err(e) = self.start() {
                error!("{e:#}");
                self.backoff.failed(format!("{e:#}"), now);
            }
        }
    }

    /// Starts one worker.
    ///
    /// # Errors
    /// When its folder cannot be made or its program cannot be started.
    pub fn start(&mut self) -> Result<()> {
        let number = self.next;
        self.next += 1;
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

    /// Gives a connection to a worker; gives it back when none is free.
    pub fn assign(&mut self, connection: Connection) -> Option<Connection> {
        let shared = self.settings.isolation == Isolation::Shared;
        let free = |w: &Worker| w.state == State::Ready && (shared || w.connections.is_empty());
        while let Some(worker) = self.workers.iter_mut().find(|w| free(w)) {
            let message = ToWorker::Connection {
                number: connection.number,
                origin: connection.origin.clone(),
            };
            let descriptor = connection.descriptor.as_ref().map(AsFd::as_fd);
            match worker.process.send(&message, descriptor) {
                Ok(()) => {
                    worker.connections.push(connection);
                    worker.served = true;
                    return None;
                }
                Err(e) => {
                    // Dead or stuck; its end is seen elsewhere.
                    debug!("worker {} takes no connection: {e}", worker.number);
                    worker.kill();
                }
            }
        }
        Some(connection)
    }

    /// Takes what the worker at a position says.
    pub fn hear(&mut self, i: usize) {
        let Self {
            workers,
            backoff,
            settings,
            ..
        } = self;
        let worker = &mut workers[i];
        loop {
            match worker.process.receive() {
                Ok(Some(message)) => worker.obey(message, backoff, settings),
                Ok(None) => {
                    // It is ending; how, is seen when it has.
                    if let State::Starting(_) = worker.state {
                        worker.failed_to_start(backoff, "it ended while it started");
                    }
                    worker.end();
                    return;
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(e) => {
                    error!("worker {}: {e}", worker.number);
                    worker.kill();
                    return;
                }
            }
        }
    }

    /// Buries the workers that have ended. Returns connections that they had not taken yet.
    pub fn reap(&mut self) -> Vec<Connection> {
        let mut returned = Vec::new();
        let mut i = 0;
        while i < self.workers.len() {
            match self.workers[i].process.try_wait() {
                None => i += 1,
                Some(status) => {
                    // What it said last may not have been heard yet.
                    if self.workers[i].is_heard() {
                        self.hear(i);
                    }
                    let worker = self.workers.swap_remove(i);
                    self.bury(worker, status, &mut returned);
                }
            }
        }
        reap_strangers(|pid| self.workers.iter().any(|w| w.process.id() == pid));
        returned
    }

    fn bury(&mut self, worker: Worker, status: ExitStatus, returned: &mut Vec<Connection>) {
        let Worker {
            number,
            process,
            connections,
            served,
            ..
        } = worker;
        let how = describe(status);
        let id = process.id();
        let level = if status.success() || !connections.is_empty() {
            log::Level::Debug
        } else {
            log::Level::Warn
        };
        log!(level, "worker {number} (process {id}) {how}");
        if !status.success() && !served && self.backoff.reason().is_none() {
            // It died while it waited: another one could do the same, for ever.
            let reason = format!("worker {number} {how} before it served anybody");
            self.backoff.failed(reason, Instant::now());
        }
        for connection in connections {
            if let Some(cache) = &self.settings.cache {
                cache.forget(connection.number);
            }
            if connection.descriptor.is_some() {
                debug!(
                    connection = connection.number,
                    "worker {number} had not taken it"
                );
                returned.push(connection);
            } else {
                error!(
                    connection = connection.number,
                    "from {}: worker {number} (process {id}) {how} while it served it",
                    connection.origin,
                );
            }
        }
        self.cleaner.dispose(process);
    }

    /// Kills workers that take longer than they may.
    pub fn enforce_deadlines(&mut self, now: Instant) {
        for worker in &mut self.workers {
            match worker.state {
                State::Starting(until) if until <= now => {
                    worker.failed_to_start(&mut self.backoff, "it does not become ready");
                    worker.kill();
                }
                State::Ending(until) if until <= now => {
                    warn!("worker {} does not end: killing it", worker.number);
                    worker.kill();
                }
                _ => {}
            }
        }
    }

    /// Ends idle workers, to have new ones in their place.
    pub fn renew_idle(&mut self) {
        let idle = |w: &&mut Worker| w.state == State::Ready && w.connections.is_empty();
        for worker in self.workers.iter_mut().filter(idle) {
            worker.tell_to_end();
            worker.end();
        }
    }

    /// Tells all workers to finish what they have and to end.
    pub fn drain(&mut self) {
        for worker in &mut self.workers {
            match worker.state {
                State::Starting(_) => worker.kill(),
                State::Ready => {
                    worker.tell_to_end();
                    worker.state = State::Draining;
                }
                State::Ending(_) | State::Draining => {}
            }
        }
    }

    /// Kills all workers.
    pub fn kill_all(&mut self) {
        for worker in &mut self.workers {
            if worker.state == State::Draining {
                warn!(
                    "worker {} takes too long to finish: killing it",
                    worker.number
                );
            }
            worker.kill();
        }
    }

    /// How many workers should be started.
    fn missing(&self, waiting: usize) -> usize {
        let (wanted, there) = match self.settings.isolation {
            Isolation::Shared => (1, self.ready()),
            Isolation::Connection => (
                self.settings.idle + waiting,
                self.count(|w| w.state == State::Ready && w.connections.is_empty()),
            ),
        };
        wanted.saturating_sub(there + self.starting())
    }

    fn starting(&self) -> usize {
        self.count(|w| matches!(w.state, State::Starting(_)))
    }

    fn count(&self, is: impl Fn(&Worker) -> bool) -> usize {
        self.workers.iter().filter(|w| is(w)).count()
    }
}

impl Worker {
    /// Its process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// False when it has said its last word: its channel then stays ready for ever.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        !matches!(self.state, State::Ending(_))
    }

    fn obey(&mut self, message: ToAgent, backoff: &mut Backoff, settings: &Settings) {
        match message {
            ToAgent::Ready { about } => {
                debug!("worker {} is ready: {about}", self.number);
                if let State::Starting(_) = self.state {
                    self.state = State::Ready;
                    backoff.succeeded();
                }
            }
            ToAgent::Failed { reason } => {
                self.failed_to_start(backoff, &reason);
                self.end();
            }
            ToAgent::Taken { number } => {
                let taken = self.connections.iter_mut().find(|c| c.number == number);
                if let Some(connection) = taken {
                    connection.descriptor = None;
                    info!(
                        connection = number,
                        "from {}, served by worker {} (process {})",
                        connection.origin,
                        self.number,
                        self.process.id()
                    );
                }
            }
            ToAgent::Ended { number, reason } => {
                self.connections.retain(|c| c.number != number);
                info!(connection = number, "ended: {reason}");
                if let Some(cache) = &settings.cache {
                    cache.forget(number);
                }
                if settings.isolation == Isolation::Connection {
                    self.end();
                }
            }
            ToAgent::Content { number, wanted } => {
                self.ask(settings.cache.as_ref(), number, wanted);
            }
        }
    }

    /// Passes on what it wants of the cache for a connection that it serves.
    fn ask(&self, cache: Option<&Desk>, number: u64, wanted: Wanted) {
        let (Some(cache), Some(connection)) =
            (cache, self.connections.iter().find(|c| c.number == number))
        else {
            debug!("worker {} asks for content it may not have", self.number);
            return;
        };
        match self.process.channel().try_clone_to_owned() {
            Ok(channel) => cache.ask(number, connection.who.as_deref(), wanted, channel),
            Err(e) => {
                // It would wait for ever.
                error!("worker {} cannot be answered: {e}", self.number);
                self.process.kill();
            }
        }
    }

    fn tell_to_end(&mut self) {
        if let Err(e) = self.process.send(&ToWorker::Drain, None) {
            debug!("worker {} cannot be told to end: {e}", self.number);
            self.process.kill();
        }
    }

    /// It is about to end by itself.
    fn end(&mut self) {
        if self.is_heard() {
            self.state = State::Ending(Instant::now() + END_TIMEOUT);
        }
    }

    fn kill(&mut self) {
        self.process.kill();
        self.state = State::Ending(Instant::now() + END_TIMEOUT);
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
            .spawn(move || clean(&work))
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

/// Buries processes and removes their folders. A folder that could not be removed, as on a file
/// system that is read-only for a while, is tried again.
fn clean(work: &Receiver<Process>) {
    let mut left: Vec<PathBuf> = Vec::new();
    loop {
        let next = match left.is_empty() {
            true => work.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => work.recv_timeout(RETRY_REMOVAL),
        };
        match next {
            Ok(process) => {
                let folder = process.folder().clone();
                drop(process);
                left.push(folder);
            }
            Err(RecvTimeoutError::Timeout) => {
                // Told once, when it failed first.
                left.iter()
                    .for_each(|folder| drop(std::fs::remove_dir_all(folder)));
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
        left.retain(|folder| folder.exists());
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
