//! One worker, and what it serves.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Backoffs, Connection, Plugins, Settings};
use crate::board::{Board, LiveConnection};
use crate::cache::desk::Desk;
use crate::handoff::{ToAgent, ToWorker, Wanted};
use crate::process::Process;
use crate::tenants::Tenants;
use crate::{debug, error, info, warn};

/// How long a worker may take from its start to READY.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a worker may take from its last word to its end.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// One worker, and what it serves.
pub struct Worker {
    pub(super) number: u64,
    pub(super) process: Process,
    pub(super) plugins: Plugins,
    pub(super) state: State,
    pub(super) used: Use,
    pub(super) connections: Vec<Connection>,
    /// The tenants that it has been told of.
    pub(super) told: Vec<Told>,
    /// Why the agent has ended it, where it has.
    pub(super) verdict: Option<String>,
    /// Where it is told what the worker does.
    board: Arc<Board>,
}

/// What a worker knows of a tenant.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    pub(super) tenant: u64,
    pub(super) row: usize,
    pub(super) version: u64,
}

/// Whom a worker serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Nobody yet.
    Nobody,
    /// One connection of a tenant.
    Connection(u64),
    /// All connections of a tenant.
    Tenant(u64),
    /// All tenants that share.
    Shared,
}

impl Use {
    /// The only tenant that it serves.
    pub(super) fn only(self) -> Option<u64> {
        match self {
            Self::Connection(tenant) | Self::Tenant(tenant) => Some(tenant),
            Self::Nobody | Self::Shared => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// Not ready yet; ends at this time if it does not become so.
    Starting(Instant),
    /// Ready for connections.
    Ready,
    /// Takes no connection; killed at this time.
    Ending(Instant),
    /// Serves what it has, then ends.
    Draining,
    /// Takes no further connection: an operation does not end in it. Ends with what it has.
    Retired,
}

impl Worker {
    pub(super) fn new(number: u64, process: Process, plugins: Plugins, board: Arc<Board>) -> Self {
        Self {
            number,
            process,
            plugins,
            state: State::Starting(Instant::now() + START_TIMEOUT),
            used: Use::Nobody,
            connections: Vec::new(),
            told: Vec::new(),
            verdict: None,
            board,
        }
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Its number, for logs.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// False when it has said its last word: its channel then stays ready for ever.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        !matches!(self.state, State::Ending(_))
    }

    /// It could be given a first connection.
    pub(super) fn is_free(&self) -> bool {
        self.state == State::Ready && self.used == Use::Nobody
    }

    /// Gives it a connection of a tenant.
    pub(super) fn give(
        &mut self,
        connection: &Connection,
        tenants: &mut Tenants,
    ) -> Result<(), String> {
        self.tell(connection.tenant, tenants)?;
        let message = ToWorker::Connection {
            number: connection.number,
            tenant: connection.tenant,
            origin: connection.origin.clone(),
        };
        let descriptor = connection.descriptor.as_fd();
        let sent = self.process.send(&message, Some(descriptor));
        sent.map_err(|e| e.to_string())
    }

    /// Tells it what a tenant may, if it does not know.
    pub(super) fn tell(&mut self, tenant: u64, tenants: &mut Tenants) -> Result<(), String> {
        let version = tenants.version();
        let position = self.told.iter().position(|told| told.tenant == tenant);
        if position.is_some_and(|i| self.told[i].version == version) {
            return Ok(());
        }
        let i = match position {
            Some(i) => i,
            None => {
                let row = tenants
                    .take_row(tenant)
                    .ok_or("too many workers serve its tenant")?;
                self.told.push(Told {
                    tenant,
                    row,
                    version: 0,
                });
                self.told.len() - 1
            }
        };
        let known = tenants.get(tenant).ok_or("its tenant is unknown")?;
        let message = ToWorker::Tenant {
            tenant,
            row: u32::try_from(self.told[i].row).unwrap_or(u32::MAX),
            terms: known.terms().to_owned(),
        };
        let sent = self.process.send(&message, Some(known.descriptor()));
        sent.map_err(|e| e.to_string())?;
        self.told[i].version = version;
        Ok(())
    }

    pub(super) fn obey(
        &mut self,
        message: ToAgent,
        backoffs: &mut Backoffs,
        settings: &Settings,
        tenants: &mut Tenants,
    ) {
        let cache = settings.cache.as_ref();
        match message {
            ToAgent::Ready { about } => {
                debug!("worker {} is ready: {about}", self.number);
                if let State::Starting(_) = self.state {
                    self.state = State::Ready;
                    self.board.worker_is(self.number, "ready");
                    backoffs.of(&self.plugins).succeeded();
                }
            }
            ToAgent::Failed { reason } => {
                self.failed_to_start(backoffs, &reason);
                self.end();
            }
            ToAgent::Taken { number } => {
                let taken = self.connections.iter_mut().find(|c| c.number == number);
                if let Some(connection) = taken {
                    connection.taken = true;
                    let live = LiveConnection {
                        origin: connection.origin.clone(),
                        tenant: connection.who.clone(),
                        since: Instant::now(),
                    };
                    self.board.connection_begun(self.number, number, live);
                    info!(
                        connection = number,
                        tenant = connection.who.as_deref(),
                        "from {}, served by worker {} (process {})",
                        connection.origin,
                        self.number,
                        self.process.id()
                    );
                }
            }
            ToAgent::Opened { number } => {
                let opened = self.connections.iter_mut().find(|c| c.number == number);
                opened.into_iter().for_each(|c| c.opened = true);
            }
            ToAgent::Ended { number, reason } => self.ended(number, &reason, cache, tenants),
            ToAgent::Content { number, wanted } => self.ask(cache, number, wanted),
            ToAgent::Span { number, span } => {
                let served = self.connections.iter().find(|c| c.number == number);
                if let (Some(connection), Some(traces)) = (served, &settings.traces) {
                    traces.take(number, connection.who.clone(), span);
                }
            }
            ToAgent::Stuck { number, reason } => {
                warn!(
                    connection = number,
                    "worker {} is given up: {reason}", self.number
                );
                self.verdict.get_or_insert(reason);
                if self.state == State::Ready {
                    self.state = State::Retired;
                }
            }
        }
    }

    fn ended(&mut self, number: u64, reason: &str, cache: Option<&Desk>, tenants: &mut Tenants) {
        let Some(i) = self.connections.iter().position(|c| c.number == number) else {
            return;
        };
        let connection = self.connections.swap_remove(i);
        self.board.connection_ended(self.number, number);
        info!(connection = number, "ended: {reason}");
        if let Some(cache) = cache {
            cache.forget(number);
        }
        tenants.left(connection.tenant);
        if !connection.opened
            && let Some(told) = self.told.iter_mut().find(|t| t.tenant == connection.tenant)
        {
            // It may be that what was told did not arrive.
            told.version = 0;
        }
        let stays = self.used == Use::Shared && self.state != State::Retired;
        if self.connections.is_empty() && !stays && self.is_heard() {
            // Nothing of one tenant is left for another.
            if self.state != State::Draining {
                self.tell_to_end();
            }
            self.end();
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

    pub(super) fn tell_to_end(&mut self) {
        if let Err(e) = self.process.send(&ToWorker::Drain, None) {
            debug!("worker {} cannot be told to end: {e}", self.number);
            self.process.kill();
        }
    }

    /// It is about to end by itself.
    pub(super) fn end(&mut self) {
        if self.is_heard() {
            self.board.worker_is(self.number, "ending");
            self.state = State::Ending(Instant::now() + END_TIMEOUT);
        }
    }

    pub(super) fn kill(&mut self) {
        self.process.kill();
        self.state = State::Ending(Instant::now() + END_TIMEOUT);
    }

    pub(super) fn failed_to_start(&self, backoffs: &mut Backoffs, reason: &str) {
        error!("worker {} did not start: {reason}", self.number);
        backoffs
            .of(&self.plugins)
            .failed(reason.to_owned(), Instant::now());
    }
}

/// A set of plugins that a worker loads.
pub(super) fn plugins_of(names: &[String]) -> Plugins {
    Arc::from(names)
}
