//! What the connections of a worker share, and their way from first to last.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use rustix::event::{EventfdFlags, eventfd};
use rustix::net::{Shutdown, shutdown};

use super::clock::Clock;
use super::compatible::connection::Connection as Compatible;
use super::connection::{Connection, Settings};
use super::crew::Crew;
use super::lot::Lot;
use super::pace::Pace;
use super::served::Served;
use super::tenant::Tenant;
use super::turns::{Turn, Turns};
use super::watch::Watch;
use crate::handoff::{ToAgent, send_to_agent};
use crate::ledger::Ledger;
use crate::terms::Terms;
use crate::{debug, error, warn};

/// What the connections of a worker share.
#[derive(Debug)]
pub struct Service {
    /// To the agent.
    pub channel: OwnedFd,
    /// The same for all connections.
    pub settings: Settings,
    /// Threads.
    pub crew: Arc<Crew>,
    /// Looks after those that have threads.
    pub watch: Arc<Watch<Connection>>,
    /// Which operations are usually brief.
    pub pace: Pace,
    /// The same for clients of the C implementation; from the first one on.
    compatible: OnceLock<Arc<Watch<Compatible>>>,
    /// Those that have none.
    pub lot: Lot<Connection>,
    /// Those that have not ended.
    connections: Mutex<HashMap<u64, Place>>,
    /// Told each time one has ended.
    pub ended: OwnedFd,
    /// Sees to it that requests are answered in time.
    pub clock: Arc<Clock>,
    /// Whose turn it is, where tenants share the worker.
    turns: Turns,
    /// The tenants whose connections are served.
    tenants: Mutex<HashMap<u64, Arc<Tenant>>>,
    began: Instant,
    /// Clients are to go elsewhere.
    leaving: AtomicBool,
}

/// A connection that has not ended, and whose it is.
#[derive(Debug)]
struct Place {
    tenant: u64,
    open: Open,
}

/// How far a connection is.
#[derive(Debug)]
enum Open {
    /// A second handle, to hang up before HELLO.
    Opening(OwnedFd),
    /// It, after HELLO.
    Served(Arc<Connection>),
    /// It, of a client of the C implementation.
    Compatible(Arc<Compatible>),
}

impl Service {
    /// Without connections yet.
    ///
    /// # Errors
    /// When the system gives no descriptor or no thread.
    pub fn new(channel: OwnedFd, settings: Settings) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            channel,
            settings,
            crew: Arc::default(),
            watch: Watch::start().context("cannot start a thread")?,
            pace: Pace::default(),
            compatible: OnceLock::new(),
            lot: Lot::new().context("cannot make an epoll")?,
            connections: Mutex::default(),
            ended: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
                .context("cannot make an eventfd")?,
            clock: Arc::default(),
            turns: Turns::default(),
            tenants: Mutex::default(),
            began: Instant::now(),
            leaving: AtomicBool::new(false),
        }))
    }

    /// Serves a connection that the agent has handed over; `None` for its descriptor
    /// when the system did not have room for one.
    pub fn begin(
        self: &Arc<Self>,
        number: u64,
        tenant: u64,
        origin: String,
        descriptor: Option<OwnedFd>,
    ) {
        let tenant = self.tenants().get(&tenant).cloned();
        let begun = descriptor
            .ok_or_else(|| std::io::Error::from_raw_os_error(libc::EMFILE))
            .and_then(|descriptor| {
                let unknown = || std::io::Error::other("nothing is known of its tenant");
                let tenant = tenant.ok_or_else(unknown)?;
                self.open(number, tenant, origin, descriptor)
            });
        if let Err(e) = begun {
            error!(connection = number, "cannot be served: {e}");
            self.end(number, format!("it cannot be served: {e}"));
        }
    }

    fn open(
        self: &Arc<Self>,
        number: u64,
        tenant: Arc<Tenant>,
        origin: String,
        descriptor: OwnedFd,
    ) -> std::io::Result<()> {
        let second = descriptor.try_clone()?;
        let place = Place {
            tenant: tenant.number(),
            open: Open::Opening(second),
        };
        self.lock().insert(number, place);
        self.turns.enter(tenant.number());
        let service = Arc::clone(self);
        let job = move || {
            debug!(connection = number, "from {origin}");
            match Served::open(descriptor, number, &tenant, &service) {
                Ok(Served::Native(connection)) => {
                    service.opened(number, Open::Served(Arc::clone(&connection)));
                    // Without an agent nobody would speak to the client either.
                    let _ = send_to_agent(&service.channel, &ToAgent::Opened { number });
                    service.watch.add(number, Arc::clone(&connection));
                    // After it is in the list: either this sees the flag, or `leave` sees it.
                    if service.leaving.load(Ordering::SeqCst) {
                        connection.say_goodbye();
                    }
                    stint(&connection);
                }
                Ok(Served::Compatible(connection)) => {
                    service.opened(number, Open::Compatible(Arc::clone(&connection)));
                    connection.serve();
                }
                Err(reason) => service.end(number, reason),
            }
        };
        self.crew.run(job)
    }

    /// Takes note of what a tenant may.
    ///
    /// # Errors
    /// When the agent sent something that is none of this.
    pub fn know(&self, number: u64, row: u32, terms: &str, ledger: Option<OwnedFd>) -> Result<()> {
        let terms = Terms::from_text(terms).map_err(anyhow::Error::msg)?;
        let mut tenants = self.tenants();
        if let Some(known) = tenants.get(&number) {
            known.set_terms(terms);
            return Ok(());
        }
        // No room for its descriptor, or its memory: that is no reason to end those who are here.
        // The agent tells of the tenant again with its next connection.
        let none = || std::io::Error::from_raw_os_error(libc::EMFILE);
        let ledger = match ledger.ok_or_else(none).and_then(|fd| Ledger::open(&fd)) {
            Ok(ledger) => ledger,
            Err(e) => {
                error!("the ledger of a tenant cannot be used: {e}");
                return Ok(());
            }
        };
        let row = usize::try_from(row).unwrap_or(usize::MAX);
        let tenant = Tenant::new(number, row, ledger, terms);
        tenants.insert(number, Arc::new(tenant));
        Ok(())
    }

    /// Waits for a tenant's turn, where others share the worker; `None` when the time of a
    /// request is over before.
    pub(super) fn turn(&self, tenant: &Tenant, until: Instant) -> Option<Option<Turn<'_>>> {
        let terms = tenant.terms();
        let (shared, weight) = (terms.shared, terms.weight);
        drop(terms);
        match shared {
            true => self.turns.take(tenant.number(), weight, until).map(Some),
            false => Some(None),
        }
    }

    /// An operation does not end, and its time has been over for long. Ends the process,
    /// unless other tenants are served by it: then it tells the agent that it is no good.
    pub(super) fn stuck(&self, connection: u64, tenant: &Tenant, reason: &str) {
        let reason = reason.to_owned();
        // Without an agent nobody wants to know.
        let _ = send_to_agent(
            &self.channel,
            &ToAgent::Stuck {
                number: connection,
                reason,
            },
        );
        if !tenant.terms().shared {
            super::give_up(connection);
        }
    }

    /// A time as a number.
    pub(super) fn nanos(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.began).as_nanos();
        u64::try_from(since).unwrap_or(u64::MAX)
    }

    fn tenants(&self) -> MutexGuard<'_, HashMap<u64, Arc<Tenant>>> {
        // No operation on the map can be left half done.
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives threads to parked connections to which something has come.
    ///
    /// # Errors
    /// When they cannot be asked for.
    pub fn call(&self) -> Result<()> {
        for connection in self.lot.called().context("cannot wait for events")? {
            connection.unpark();
            let own = Arc::clone(&connection);
            if !self.staff(connection.number, move || stint(&own)) {
                // Nobody reads it any more, and nobody will.
                connection.note("the system gives no thread".to_owned());
                if let Some(reason) = connection.abandon() {
                    self.end(connection.number, reason);
                }
            }
        }
        Ok(())
    }

    /// Gives a connection, which has counted it already, a thread for a stint. False when there
    /// is none.
    pub(super) fn staff(&self, connection: u64, stint: impl FnOnce() + Send + 'static) -> bool {
        match self.crew.run(stint) {
            Ok(()) => true,
            Err(e) => {
                warn!(connection = connection, "cannot start a thread: {e}");
                false
            }
        }
    }

    /// Tells all clients to go elsewhere with what comes next. (Those of the C
    /// implementation cannot be told.)
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::SeqCst);
        for place in self.lock().values() {
            if let Open::Served(connection) = &place.open {
                connection.say_goodbye();
            }
        }
    }

    /// Lets all connections finish what runs.
    pub fn drain(&self) {
        for place in self.lock().values() {
            match &place.open {
                Open::Served(connection) => connection.drain(),
                Open::Compatible(connection) => connection.drain(),
                // Fails when the client has gone, and then it is over anyway.
                Open::Opening(descriptor) => drop(shutdown(descriptor, Shutdown::Both)),
            }
        }
    }

    /// What looks after connections of clients of the C implementation.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn compatible_watch(&self) -> std::io::Result<&Arc<Watch<Compatible>>> {
        if let Some(watch) = self.compatible.get() {
            return Ok(watch);
        }
        let _one = self.lock();
        if self.compatible.get().is_none() {
            let _ = self.compatible.set(Watch::start()?);
        }
        self.compatible
            .get()
            .ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }

    /// A connection of [`open`](Self::open) has come further.
    fn opened(&self, number: u64, open: Open) {
        if let Some(place) = self.lock().get_mut(&number) {
            place.open = open;
        }
    }

    /// A connection has ended.
    pub(super) fn end(&self, number: u64, reason: String) {
        let gone = self.lock().remove(&number);
        if let Some(place) = gone {
            self.turns.leave(place.tenant);
        }
        // Without an agent nobody wants to know.
        let _ = send_to_agent(&self.channel, &ToAgent::Ended { number, reason });
        if rustix::io::write(&self.ended, &1u64.to_ne_bytes()).is_err() {
            error!(connection = number, "cannot tell that it has ended");
            // An operation has closed what is not its own. Nobody would ever be heard again, and
            // nobody would end this process.
            // SAFETY: ends the process; the agent removes what it leaves.
            unsafe { libc::_exit(super::STUCK) }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Place>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread's time with a connection.
pub(super) fn stint(connection: &Arc<Connection>) {
    if let Some(reason) = connection.work() {
        connection.service.end(connection.number, reason);
    }
}
