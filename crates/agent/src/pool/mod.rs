//! The workers of an agent: started ahead, given to tenants, replaced when they end.
//!
//! A worker starts with the plugins of a set and nothing else. With its first connection it
//! becomes that connection's, its tenant's, or one that tenants share, and never anybody
//! else's.
//!
//! * `worker`: one of them. `need`: how many there should be.
//! * `memory`: what they may take. `burial`: what becomes of those that end; `cleaner`: of their folders.

mod burial;
mod cleaner;
mod memory;
mod need;
mod worker;

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use vaccel_jail::groups::Bounds;

use self::cleaner::Cleaner;
use self::memory::MEMORY_TICK;
use self::worker::{State, Use, plugins_of};
use crate::backoff::Backoff;
use crate::board::Board;
use crate::cache::desk::Desk;
use crate::fair;
use crate::handoff::ToWorker;
use crate::policy::Worker as Mode;
use crate::process::{Process, Recipe};
use crate::rundir::Rundir;
use crate::tenants::Tenants;
use crate::traces::Exporter;
use crate::{debug, error, warn};

pub use self::worker::Worker;

/// Workers that start at the same time: more would only slow each other down.
const MAX_STARTING: usize = 4;
/// The plugins that a worker loads.
pub type Plugins = Arc<[String]>;

/// How workers are used.
#[derive(Debug)]
pub struct Settings {
    /// How they are started.
    pub recipe: Recipe,
    /// How many are kept idle, of each set of plugins.
    pub idle: usize,
    /// The cache of content, if there is one.
    pub cache: Option<Desk>,
    /// Where spans go, if they are wanted.
    pub traces: Option<Exporter>,
}

/// All workers.
pub struct Pool {
    settings: Settings,
    tenants: Tenants,
    workers: Vec<Worker>,
    next: u64,
    backoffs: Backoffs,
    /// When memory is looked at next.
    memory_at: Option<Instant>,
    cleaner: Cleaner,
    board: Arc<Board>,
    /// Last, because what goes before it still has folders in it.
    rundir: Rundir,
}

/// How workers of each set of plugins have started.
#[derive(Debug, Default)]
struct Backoffs(HashMap<Plugins, Backoff>);

impl Backoffs {
    fn of(&mut self, plugins: &Plugins) -> &mut Backoff {
        self.0.entry(Arc::clone(plugins)).or_default()
    }
}

/// A client's connection.
#[derive(Debug)]
pub struct Connection {
    /// Its number, for logs.
    pub number: u64,
    /// Whose it is.
    pub tenant: u64,
    /// Where it comes from, for logs.
    pub origin: String,
    /// Who the client is, for what it may share with others.
    pub who: Option<String>,
    /// Its descriptor: if a worker dies before it has taken the connection, another one is
    /// given it and the client notices nothing; if it dies later, the client is told why.
    pub descriptor: OwnedFd,
    /// The worker has said that it has it.
    pub taken: bool,
    /// The worker has said that its client understands last words.
    pub opened: bool,
}

impl Pool {
    /// No workers yet; their folders go to `rundir`.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn new(
        settings: Settings,
        tenants: Tenants,
        rundir: Rundir,
        board: Arc<Board>,
    ) -> Result<Self> {
        let pool = Self {
            settings,
            tenants,
            workers: Vec::new(),
            next: 1,
            backoffs: Backoffs::default(),
            memory_at: None,
            cleaner: Cleaner::start()?,
            board,
            rundir,
        };
        pool.tell_tenants();
        Ok(pool)
    }

    /// Tells the metrics page which tenants there are.
    fn tell_tenants(&self) {
        for (_, known) in self.tenants.all() {
            self.board.tenant_is(&known.tenant.name, known.ledger());
        }
    }

    /// All workers that have not been buried.
    #[must_use]
    pub fn workers(&self) -> &[Worker] {
        &self.workers
    }

    /// The tenants.
    #[must_use]
    pub fn tenants(&self) -> &Tenants {
        &self.tenants
    }

    /// The tenants, to let clients in.
    pub fn tenants_mut(&mut self) -> &mut Tenants {
        &mut self.tenants
    }

    /// Connections that workers serve.
    #[must_use]
    pub fn served(&self) -> usize {
        self.workers.iter().map(|w| w.connections.len()).sum()
    }

    /// Workers that have said READY and take connections.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.workers
            .iter()
            .filter(|w| w.state == State::Ready)
            .count()
    }

    /// Why the last worker that was tried did not start; `None` when it did.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.backoffs.0.values().find_map(Backoff::reason)
    }

    /// Why no worker is to be had for a tenant; `None` while one is starting, or may be
    /// started.
    #[must_use]
    pub fn broken(&self, tenant: u64) -> Option<&str> {
        let plugins = self.plugins(tenant)?;
        let backoff = self.backoffs.0.get(&plugins)?;
        let starting = |w: &Worker| matches!(w.state, State::Starting(_)) && w.plugins == plugins;
        let hope = self.workers.iter().any(starting) || backoff.until(Instant::now()).is_none();
        backoff.reason().filter(|_| !hope)
    }

    /// When something is due even if nothing happens.
    #[must_use]
    pub fn next_deadline(&self, waiting: &VecDeque<Connection>, now: Instant) -> Option<Instant> {
        let workers = self.workers.iter().filter_map(|worker| match worker.state {
            State::Starting(at) | State::Ending(at) => Some(at),
            State::Ready | State::Draining | State::Retired => None,
        });
        let missing = self.missing(waiting);
        let retries = missing
            .iter()
            .filter_map(|(need, _)| self.backoffs.0.get(&need.plugins)?.until(now));
        workers.chain(retries).chain(self.memory_at).min()
    }

    /// Starts the workers that are missing.
    pub fn refill(&mut self, waiting: &VecDeque<Connection>) {
        let now = Instant::now();
        let mut missing = self.missing(waiting);
        // Those that somebody waits for first.
        missing.sort_by_key(|(need, _)| !need.waited_for);
        for (need, count) in missing {
            for _ in 0..count {
                let backoff = self.backoffs.of(&need.plugins);
                if backoff.until(now).is_some() {
                    break;
                }
                if self.starting() >= MAX_STARTING {
                    return;
                }
                if let Err(e) = self.start(&need.plugins) {
                    error!("{e:#}");
                    self.backoffs
                        .of(&need.plugins)
                        .failed(format!("{e:#}"), now);
                }
            }
        }
    }

    /// Starts the first worker.
    ///
    /// # Errors
    /// When its folder cannot be made or its program cannot be started.
    pub fn start_first(&mut self) -> Result<()> {
        match self.plugins(0) {
            Some(plugins) => self.start(&plugins),
            None => Ok(()),
        }
    }

    fn start(&mut self, plugins: &Plugins) -> Result<()> {
        let number = self.next;
        self.next += 1;
        let folder = self.rundir.worker(number)?;
        let process = Process::start(&self.settings.recipe, plugins, folder.clone())
            .inspect_err(|_| crate::rundir::remove(&folder))?;
        debug!("worker {number} started as process {}", process.id());
        self.board
            .worker_started(number, process.id(), process.counts().cloned());
        let (plugins, board) = (Arc::clone(plugins), Arc::clone(&self.board));
        self.workers
            .push(Worker::new(number, process, plugins, board));
        Ok(())
    }

    /// Gives a connection to a worker; gives it back when none is free.
    pub fn assign(&mut self, connection: Connection) -> Option<Connection> {
        let tenant = connection.tenant;
        let Some(known) = self.tenants.get(tenant) else {
            return Some(connection);
        };
        let used = match known.tenant.worker {
            Mode::Connection => Use::Connection(tenant),
            Mode::Tenant => Use::Tenant(tenant),
            Mode::Shared => Use::Shared,
        };
        let plugins = plugins_of(&known.tenant.plugins);
        loop {
            let own = |w: &Worker| {
                w.state == State::Ready
                    && w.used == used
                    && w.plugins == plugins
                    && !matches!(used, Use::Connection(_))
            };
            let free = |w: &Worker| w.is_free() && w.plugins == plugins;
            let position = self.workers.iter().position(own);
            let Some(i) = position.or_else(|| self.workers.iter().position(free)) else {
                return Some(connection);
            };
            let worker = &mut self.workers[i];
            match worker.give(&connection, &mut self.tenants) {
                Ok(()) => {
                    worker.connections.push(connection);
                    if worker.used != used {
                        worker.used = used;
                        if used.only().is_some()
                            && let Some(known) = self.tenants.get(tenant)
                        {
                            self.board.tenant_served(&known.tenant.name);
                        }
                        self.settle(tenant);
                    }
                    return None;
                }
                Err(e) => {
                    // Dead or stuck; its end is seen elsewhere.
                    debug!("worker {} takes no connection: {e}", worker.number);
                    worker.kill();
                }
            }
        }
    }

    /// After a tenant has got or lost a worker.
    fn settle(&mut self, tenant: u64) {
        let Some(known) = self.tenants.get(tenant) else {
            return;
        };
        if known.tenant.limits.memory.is_some() && self.memory_at.is_none() {
            self.memory_at = Some(Instant::now() + MEMORY_TICK);
        }
        let own = |w: &&Worker| w.used.only() == Some(tenant) && w.is_heard();
        let group = fair::nice_of(known.tenant.weight, self.workers.iter().filter(own).count());
        let count = u32::try_from(self.workers.iter().filter(own).count()).unwrap_or(u32::MAX);
        let bounds = Bounds {
            memory: memory::bound(&known.tenant.limits),
            weight: Some(known.tenant.weight / count.max(1)),
            processes: None,
        };
        for worker in self.workers.iter().filter(own) {
            fair::weigh(worker.process.id(), group, known.tenant.nice);
            worker.process.bound(&bounds);
        }
    }

    /// Takes what the worker at a position says.
    pub fn hear(&mut self, i: usize) {
        let Self {
            workers,
            backoffs,
            settings,
            tenants,
            ..
        } = self;
        let worker = &mut workers[i];
        loop {
            match worker.process.receive() {
                Ok(Some(message)) => {
                    worker.obey(message, backoffs, settings, tenants);
                }
                Ok(None) => {
                    // It is ending; how, is seen when it has.
                    if let State::Starting(_) = worker.state {
                        worker.failed_to_start(backoffs, "it ended while it started");
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

    /// Kills workers that take longer or more memory than they may.
    pub fn enforce(&mut self, now: Instant) {
        for worker in &mut self.workers {
            match worker.state {
                State::Starting(until) if until <= now => {
                    worker.failed_to_start(&mut self.backoffs, "it does not become ready");
                    worker.kill();
                }
                State::Ending(until) if until <= now => {
                    warn!("worker {} does not end: killing it", worker.number);
                    worker.kill();
                }
                _ => {}
            }
        }
        if self.memory_at.is_some_and(|at| at <= now) {
            self.memory_at = self.enforce_memory().then(|| now + MEMORY_TICK);
        }
    }

    /// After the policy has changed: tells workers, and ends those of tenants that are gone.
    pub fn renew_terms(&mut self) {
        self.tell_tenants();
        for worker in &mut self.workers {
            let gone = worker
                .used
                .only()
                .and_then(|tenant| self.tenants.get(tenant))
                .is_some_and(|known| known.is_gone());
            if gone {
                let verdict = "the policy does not name its tenant any more".to_owned();
                worker.verdict.get_or_insert(verdict);
                worker.kill();
                continue;
            }
            for told in worker.told.clone() {
                if let Err(e) = worker.tell(told.tenant, &mut self.tenants) {
                    debug!("worker {} cannot be told: {e}", worker.number);
                    worker.kill();
                }
            }
        }
        let all: Vec<u64> = self.tenants.all().map(|(number, _)| number).collect();
        all.into_iter().for_each(|tenant| self.settle(tenant));
    }

    /// Ends idle workers, to have new ones in their place.
    pub fn renew_idle(&mut self) {
        let idle = |w: &&mut Worker| w.state == State::Ready && w.connections.is_empty();
        for worker in self.workers.iter_mut().filter(idle) {
            worker.tell_to_end();
            worker.end();
        }
    }

    /// Tells all workers to have their clients go elsewhere. Those without any end.
    pub fn leave(&mut self) {
        for worker in &mut self.workers {
            let told = match worker.state {
                State::Ready if worker.connections.is_empty() => {
                    worker.tell_to_end();
                    worker.end();
                    continue;
                }
                State::Ready => worker.process.send(&ToWorker::Leave, None),
                _ => continue,
            };
            if let Err(e) = told {
                // Its clients learn of it when their connections end.
                debug!("worker {} does not listen: {e}", worker.number);
            }
        }
    }

    /// Tells all workers to finish what they have and to end.
    pub fn drain(&mut self) {
        for worker in &mut self.workers {
            match worker.state {
                State::Starting(_) => worker.kill(),
                State::Ready | State::Retired => {
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

    /// The plugins of a tenant's workers.
    fn plugins(&self, tenant: u64) -> Option<Plugins> {
        Some(plugins_of(&self.tenants.get(tenant)?.tenant.plugins))
    }
}
