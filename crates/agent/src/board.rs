//! What the agent knows of itself, for those who ask from other threads: the metrics
//! page, health checks, `vaccel top`.
//!
//! The loop writes, at events that are rare beside requests; workers count for
//! themselves, see [`counts`](crate::counts).

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{EventfdFlags, eventfd};

use crate::counts::shared::Shared;
use crate::counts::totals::Totals;
use crate::ledger::Ledger;

/// Where the agent is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No worker has become ready yet.
    Starting,
    /// Clients may come.
    Serving,
    /// It finishes what runs, and ends.
    Draining,
}

impl Phase {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Draining => "draining",
        }
    }
}

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// By itself, its work done.
    Finished,
    /// With an error code.
    Failed,
    /// By a signal.
    Killed,
}

impl End {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Finished, Self::Failed, Self::Killed];

    /// The word for it on the metrics page.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Killed => "killed",
        }
    }
}

/// A worker that lives.
#[derive(Debug, Clone)]
pub struct LiveWorker {
    /// Its process.
    pub process: u32,
    /// What it does, in one word.
    pub state: &'static str,
    /// When it started.
    pub since: Instant,
    /// What it counts.
    pub counts: Option<Arc<Shared>>,
    /// What it serves.
    pub connections: BTreeMap<u64, LiveConnection>,
}

/// A connection that is served.
#[derive(Debug, Clone)]
pub struct LiveConnection {
    /// Where it comes from.
    pub origin: String,
    /// Whom it is counted for.
    pub tenant: Option<String>,
    /// When it was handed to its worker.
    pub since: Instant,
}

/// What is known of a tenant, for as long as the agent runs.
#[derive(Debug, Clone)]
pub struct LiveTenant {
    /// Where its workers and the agent count what was refused.
    pub ledger: Arc<Ledger>,
    /// Workers of its own that crashed or were killed.
    pub crashes: u64,
    /// Workers that it was given in place of those.
    pub restarts: u64,
    /// Those that it was not given yet.
    missing: u64,
}

/// All that is known at one moment.
#[derive(Debug, Clone)]
pub struct Facts {
    /// When the agent started.
    pub started: (Instant, SystemTime),
    /// Where the agent is in its life.
    pub phase: Phase,
    /// Why no worker can be had, when none can.
    pub broken: Option<String>,
    /// Where it listens.
    pub listeners: Vec<String>,
    /// Workers that live, by their numbers.
    pub workers: BTreeMap<u64, LiveWorker>,
    /// Tenants by name, those too that the policy does not name any more.
    pub tenants: BTreeMap<String, LiveTenant>,
    /// Connections that no worker has yet.
    pub waiting: usize,
    /// What workers counted that have ended.
    pub gone: Totals,
    /// Connections that have been accepted.
    pub accepted: u64,
    /// Workers that have been started.
    pub workers_started: u64,
    /// Those among them that took the place of one that failed or was killed.
    pub workers_restarted: u64,
    /// Workers that have ended, by how.
    pub workers_ended: BTreeMap<End, u64>,
    /// Failures that no new worker has made up for yet.
    missing: u64,
}

/// What the agent knows of itself.
#[derive(Debug)]
pub struct Board {
    inner: Mutex<Inner>,
    /// Told when the loop has turned.
    turned: Condvar,
    /// Wakes the loop.
    wake: OwnedFd,
}

#[derive(Debug)]
struct Inner {
    facts: Facts,
    /// Turns of the loop.
    turns: u64,
}

impl Board {
    /// An agent that starts.
    ///
    /// # Errors
    /// When the system gives no descriptor.
    pub fn new() -> std::io::Result<Arc<Self>> {
        let facts = Facts {
            started: (Instant::now(), SystemTime::now()),
            phase: Phase::Starting,
            broken: None,
            listeners: Vec::new(),
            workers: BTreeMap::new(),
            tenants: BTreeMap::new(),
            waiting: 0,
            gone: Totals::default(),
            accepted: 0,
            workers_started: 0,
            workers_restarted: 0,
            workers_ended: BTreeMap::new(),
            missing: 0,
        };
        Ok(Arc::new(Self {
            inner: Mutex::new(Inner { facts, turns: 0 }),
            turned: Condvar::new(),
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        }))
    }

    /// Everything, as it is now.
    #[must_use]
    pub fn facts(&self) -> Facts {
        self.lock().facts.clone()
    }

    /// Changes what is known.
    pub fn note(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.lock().facts);
    }

    /// The loop has turned; `broken` says why no worker can be had, when none can.
    pub fn turned(&self, waiting: usize, broken: Option<&str>) {
        let mut count = [0; 8];
        // Nothing to read is the usual case.
        let _ = rustix::io::read(&self.wake, &mut count);
        let mut inner = self.lock();
        inner.turns += 1;
        inner.facts.waiting = waiting;
        if inner.facts.broken.as_deref() != broken {
            inner.facts.broken = broken.map(str::to_owned);
        }
        drop(inner);
        self.turned.notify_all();
    }

    /// True when the loop turns within a time.
    #[must_use]
    pub fn is_alive(&self, within: Duration) -> bool {
        let until = Instant::now() + within;
        let mut inner = self.lock();
        let before = inner.turns;
        if rustix::io::write(&self.wake, &1u64.to_ne_bytes()).is_err() {
            return false;
        }
        while inner.turns == before {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.turned.wait_timeout(inner, left);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// A worker has been started.
    pub fn worker_started(&self, number: u64, process: u32, counts: Option<Arc<Shared>>) {
        let facts = &mut self.lock().facts;
        facts.workers_started += 1;
        if facts.missing > 0 {
            facts.missing -= 1;
            facts.workers_restarted += 1;
        }
        let worker = LiveWorker {
            process,
            state: "starting",
            since: Instant::now(),
            counts,
            connections: BTreeMap::new(),
        };
        facts.workers.insert(number, worker);
    }

    /// What a worker does has changed.
    pub fn worker_is(&self, number: u64, state: &'static str) {
        if let Some(worker) = self.lock().facts.workers.get_mut(&number) {
            worker.state = state;
        }
    }

    /// A worker has ended.
    pub fn worker_ended(&self, number: u64, end: End) {
        let facts = &mut self.lock().facts;
        *facts.workers_ended.entry(end).or_default() += 1;
        if end != End::Finished {
            facts.missing += 1;
        }
        if let Some(counts) = facts.workers.remove(&number).and_then(|w| w.counts) {
            facts.gone.add(counts.counts());
        }
    }

    /// There is a tenant.
    pub fn tenant_is(&self, name: &str, ledger: &Arc<Ledger>) {
        let facts = &mut self.lock().facts;
        facts
            .tenants
            .entry(name.to_owned())
            .or_insert_with(|| LiveTenant {
                ledger: Arc::clone(ledger),
                crashes: 0,
                restarts: 0,
                missing: 0,
            });
    }

    /// A worker that served only this tenant has crashed, or was killed.
    pub fn tenant_crashed(&self, name: &str) {
        if let Some(tenant) = self.lock().facts.tenants.get_mut(name) {
            tenant.crashes += 1;
            tenant.missing += 1;
        }
    }

    /// A tenant was given a worker.
    pub fn tenant_served(&self, name: &str) {
        if let Some(tenant) = self.lock().facts.tenants.get_mut(name)
            && tenant.missing > 0
        {
            tenant.missing -= 1;
            tenant.restarts += 1;
        }
    }

    /// A worker serves a connection.
    pub fn connection_begun(&self, worker: u64, number: u64, connection: LiveConnection) {
        if let Some(worker) = self.lock().facts.workers.get_mut(&worker) {
            worker.state = "serving";
            worker.connections.insert(number, connection);
        }
    }

    /// A connection has ended.
    pub fn connection_ended(&self, worker: u64, number: u64) {
        if let Some(worker) = self.lock().facts.workers.get_mut(&worker) {
            worker.connections.remove(&number);
            if worker.connections.is_empty() {
                worker.state = "ready";
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change leaves facts that may be read.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Board {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

impl Facts {
    /// Why clients should go elsewhere; `None` when they may come.
    #[must_use]
    pub fn not_ready(&self) -> Option<String> {
        match (self.phase, &self.broken) {
            (Phase::Starting, _) => Some("no worker has become ready yet".to_owned()),
            (Phase::Draining, _) => Some("the agent ends".to_owned()),
            (Phase::Serving, Some(reason)) => Some(format!("no worker can be started: {reason}")),
            (Phase::Serving, None) => None,
        }
    }

    /// Connections that workers serve.
    #[must_use]
    pub fn served(&self) -> usize {
        self.workers.values().map(|w| w.connections.len()).sum()
    }

    /// Everything that has been counted, by workers that live and by those that have ended.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = self.gone.clone();
        totals.add(crate::counts::mine());
        for counts in self.workers.values().filter_map(|w| w.counts.as_ref()) {
            totals.add(counts.counts());
        }
        totals
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::counts::Request;

    #[test]
    fn what_a_worker_counted_stays_when_it_has_ended() {
        let board = Board::new().unwrap();
        let counts = Arc::new(Shared::create().unwrap());
        board.worker_started(1, 10, Some(Arc::clone(&counts)));
        let plugin = counts.counts().plugin("noop");
        for _ in 0..3 {
            counts.counts().note(&Request {
                plugin,
                ..Request::default()
            });
        }
        let requests = |board: &Board| board.facts().totals().op("noop", "noop").unwrap().requests;
        assert_eq!(requests(&board), 3);
        board.worker_ended(1, End::Killed);
        assert_eq!(requests(&board), 3);
        board.worker_started(2, 11, None);
        let facts = board.facts();
        assert_eq!((facts.workers_started, facts.workers_restarted), (2, 1));
    }

    #[test]
    fn a_loop_that_does_not_turn_is_found_out() {
        let board = Board::new().unwrap();
        assert!(!board.is_alive(Duration::from_millis(20)));
        let turning = Arc::clone(&board);
        let thread = std::thread::spawn(move || {
            let mut fds = [rustix::event::PollFd::new(
                &*turning,
                rustix::event::PollFlags::IN,
            )];
            rustix::event::poll(&mut fds, None).unwrap();
            turning.turned(0, None);
        });
        assert!(board.is_alive(Duration::from_secs(10)));
        thread.join().unwrap();
    }

    #[test]
    fn an_agent_is_ready_while_it_serves_and_can_start_workers() {
        let board = Board::new().unwrap();
        assert!(board.facts().not_ready().is_some());
        board.note(|facts| facts.phase = Phase::Serving);
        assert_eq!(board.facts().not_ready(), None);
        board.turned(0, Some("no plugin"));
        assert!(board.facts().not_ready().unwrap().contains("no plugin"));
        board.turned(0, None);
        board.note(|facts| facts.phase = Phase::Draining);
        assert!(board.facts().not_ready().is_some());
    }
}
