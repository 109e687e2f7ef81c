//! The workers of an agent: started ahead, given to tenants, replaced when they end.
//!
//! A worker starts with the plugins of a set and nothing else. With its first connection it
//! becomes that connection's, its tenant's, or one that tenants share, and never anybody
//! else's. `worker`: one of them.

mod cleaner;
mod worker;

use std::collections::{HashMap, HashSet, VecDeque};
use std::os::fd::OwnedFd;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use self::cleaner::Cleaner;
use self::worker::{State, Use, plugins_of};
use crate::backoff::Backoff;
use crate::board::{Board, End};
use crate::cache::desk::Desk;
use crate::fair;
use crate::handoff::ToWorker;
use crate::ledger::Quota;
use crate::policy::Worker as Mode;
use crate::process::{Process, Recipe, describe, reap_strangers};
use crate::rundir::Rundir;
use crate::tenants::Tenants;
use crate::{debug, error, warn};

pub use self::worker::Worker;

/// Workers that start at the same time: more would only slow each other down.
const MAX_STARTING: usize = 4;
/// How often the memory of workers is looked at, where a tenant has a limit.
const MEMORY_TICK: Duration = Duration::from_millis(100);
/// What a worker has before it serves anybody is not held against its tenant.
const MEMORY_OF_ITS_OWN: u64 = 64 << 20;

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
}

/// What is wanted of workers with the same plugins.
#[derive(Debug)]
struct Need {
    plugins: Plugins,
    /// Workers without a tenant.
    free: usize,
    /// Some of them for clients that wait.
    waited_for: bool,
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
        Ok(Self {
            settings,
            tenants,
            workers: Vec::new(),
            next: 1,
            backoffs: Backoffs::default(),
            memory_at: None,
            cleaner: Cleaner::start()?,
            board,
            rundir,
        })
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
        for worker in self.workers.iter().filter(own) {
            fair::weigh(worker.process.id(), group, known.tenant.nice);
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
                    worker.obey(message, backoffs, settings.cache.as_ref(), tenants);
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
            plugins,
            used,
            connections,
            told,
            verdict,
            ..
        } = worker;
        let now = Instant::now();
        let how = match verdict {
            Some(verdict) => format!("{} ({verdict})", describe(status)),
            None => describe(status),
        };
        let id = process.id();
        let end = match (status.success(), status.code()) {
            (true, _) => End::Finished,
            (false, Some(_)) => End::Failed,
            (false, None) => End::Killed,
        };
        self.board.worker_ended(number, end);
        if status.success() || !connections.is_empty() {
            debug!("worker {number} (process {id}) {how}");
        } else {
            warn!("worker {number} (process {id}) {how}");
        }
        let backoff = self.backoffs.of(&plugins);
        if !status.success() && used == Use::Nobody && backoff.reason().is_none() {
            // It died while it waited: another one could do the same, for ever.
            let reason = format!("worker {number} {how} before it served anybody");
            backoff.failed(reason, now);
        }
        if let (false, Some(tenant)) = (status.success(), used.only()) {
            self.tenants.crashed(tenant, now);
        }
        for told in told {
            self.tenants.free_row(told.tenant, told.row);
        }
        for connection in connections {
            if let Some(cache) = &self.settings.cache {
                cache.forget(connection.number);
            }
            if connection.taken {
                error!(
                    connection = connection.number,
                    "from {}: worker {number} (process {id}) {how} while it served it",
                    connection.origin,
                );
                crate::refuse::farewell(
                    &connection.descriptor,
                    &format!("the worker that served the connection was lost: {how}"),
                );
                self.tenants.left(connection.tenant);
            } else {
                debug!(
                    connection = connection.number,
                    "worker {number} had not taken it"
                );
                returned.push(connection);
            }
        }
        self.cleaner.dispose(process);
        if let Some(tenant) = used.only() {
            self.settle(tenant);
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

    /// Kills the largest worker of a tenant whose workers have more memory than it may. True
    /// when there is somebody to look at again.
    fn enforce_memory(&mut self) -> bool {
        let mut more = false;
        for (tenant, known) in self.tenants.all() {
            let Some(most) = known.tenant.limits.memory else {
                continue;
            };
            let own = |w: &&mut Worker| w.used.only() == Some(tenant) && w.is_heard();
            let sizes = self.workers.iter_mut().filter(own).map(|worker| {
                let size = fair::memory_of(worker.process.id()).unwrap_or(0);
                (size.saturating_sub(MEMORY_OF_ITS_OWN), worker)
            });
            let mut sizes: Vec<_> = sizes.collect();
            more |= !sizes.is_empty();
            let sum: u64 = sizes.iter().map(|(size, _)| size).sum();
            if sum <= most {
                continue;
            }
            if let Some((_, worker)) = sizes.iter_mut().max_by_key(|(size, _)| *size) {
                let verdict = format!(
                    "quota `memory` of tenant `{}`: its workers take {} MiB, and {} MiB is the most",
                    known.tenant.name,
                    sum >> 20,
                    most >> 20
                );
                warn!("killing worker {}: {verdict}", worker.number);
                known.ledger().refuse(Quota::Memory);
                worker.verdict.get_or_insert(verdict);
                worker.kill();
            }
        }
        more
    }

    /// After the policy has changed: tells workers, and ends those of tenants that are gone.
    pub fn renew_terms(&mut self) {
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

    /// How many workers should be started, of which plugins.
    fn missing(&self, waiting: &VecDeque<Connection>) -> Vec<(Need, usize)> {
        let mut missing = Vec::new();
        for need in self.needs(waiting) {
            let there = |w: &&Worker| {
                w.plugins == need.plugins && (w.is_free() || matches!(w.state, State::Starting(_)))
            };
            let there = self.workers.iter().filter(there).count();
            if need.free > there {
                let count = need.free - there;
                missing.push((need, count));
            }
        }
        missing
    }

    /// Workers without a tenant that there should be: for clients that wait, and to spare.
    fn needs(&self, waiting: &VecDeque<Connection>) -> Vec<Need> {
        let mut needs: Vec<Need> = Vec::new();
        // Without a policy, a shared worker has no other beside it.
        let spare = |mode: Mode, plugins: &Plugins| match mode {
            Mode::Shared if self.tenants.policy().file.is_none() => {
                usize::from(!self.has(Use::Shared, plugins))
            }
            _ => self.settings.idle,
        };
        for (_, known) in self.tenants.all().filter(|(_, known)| !known.is_gone()) {
            let plugins = plugins_of(&known.tenant.plugins);
            let free = spare(known.tenant.worker, &plugins);
            match needs.iter_mut().find(|need| need.plugins == plugins) {
                Some(need) => need.free = need.free.max(free),
                None => needs.push(Need {
                    plugins,
                    free,
                    waited_for: false,
                }),
            }
        }
        let mut counted = HashSet::new();
        for connection in waiting {
            let Some(known) = self.tenants.get(connection.tenant) else {
                continue;
            };
            let plugins = plugins_of(&known.tenant.plugins);
            // One worker will do for all of a tenant, or for all who share.
            let together = match known.tenant.worker {
                Mode::Connection => None,
                Mode::Tenant => Some(Some(connection.tenant)),
                Mode::Shared => Some(None),
            };
            let first = together.is_none_or(|whose| counted.insert((whose, Arc::clone(&plugins))));
            let need = needs.iter_mut().find(|need| need.plugins == plugins);
            if let (true, Some(need)) = (first, need) {
                let alone = known.tenant.worker == Mode::Shared && need.free > 0;
                // Who shares is served by the one that is there to be shared.
                if !(alone && self.tenants.policy().file.is_none()) {
                    need.free += 1;
                }
                need.waited_for = true;
            }
        }
        needs
    }

    fn has(&self, used: Use, plugins: &Plugins) -> bool {
        let live = |w: &Worker| w.state == State::Ready && w.used == used && w.plugins == *plugins;
        self.workers.iter().any(live)
    }

    fn starting(&self) -> usize {
        let starting = |w: &&Worker| matches!(w.state, State::Starting(_));
        self.workers.iter().filter(starting).count()
    }
}
