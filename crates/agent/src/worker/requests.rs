//! What runs for a connection, in either protocol: its threads, and the time they have.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::clock::Timed;
use super::flights::{About, Flights, Overdue};
use super::lead::Lead;
use super::service::Service;
use super::tenant::Tenant;
use crate::warn;

/// How long operations that have no time left may still run after the client has gone.
const LINGER: Duration = Duration::from_secs(2);
/// No time at which requests are looked at.
pub(super) const NEVER: u64 = u64::MAX;

/// The requests of a connection that run.
pub(super) struct Requests<'a> {
    /// The connection's number.
    pub(super) number: u64,
    pub(super) lead: &'a Lead,
    pub(super) flights: &'a Flights,
    /// When they are looked at next, in nanoseconds since the service began.
    pub(super) look_at: &'a AtomicU64,
    pub(super) tenant: &'a Tenant,
    pub(super) service: &'a Service,
}

impl Requests<'_> {
    /// One of them takes long: others of the connection are not held up by it. `own` is the
    /// connection, and `stint` a thread's time with it.
    pub(super) fn take_long<T: Timed + 'static>(
        &self,
        number: u64,
        own: &Arc<T>,
        stint: impl FnOnce(&Arc<T>) + Send + 'static,
    ) {
        self.watch_time(own);
        let connection = Arc::clone(own);
        self.lead.hand_over(number, || {
            self.service.staff(self.number, move || stint(&connection))
        });
    }

    /// After the client has gone: waits until none runs, and says so when one does not end
    /// in its time.
    pub(super) fn wait_for_end(&self) {
        let soon = Instant::now() + LINGER;
        let until = self.flights.latest_deadline();
        let until = until.map_or(soon, |at| at.max(soon));
        if self.lead.wait_for_end(Some(until)) {
            return;
        }
        warn!(
            connection = self.number,
            "{} operations do not end after the client has gone",
            self.flights.len()
        );
        self.service
            .stuck(self.number, self.tenant, "an operation does not end");
        self.lead.wait_for_end(None);
    }

    /// Has them looked at when the time of the first is over.
    fn watch_time<T: Timed + 'static>(&self, own: &Arc<T>) {
        let Some(next) = self.flights.next_deadline() else {
            return;
        };
        let at = self.service.nanos(next);
        // Somebody looks before that already.
        if self.look_at.fetch_min(at, Ordering::SeqCst) <= at {
            return;
        }
        let own = Arc::downgrade(own);
        let own: Weak<dyn Timed> = own;
        if let Err(e) = self.service.clock.set(next, own) {
            self.look_at.store(NEVER, Ordering::SeqCst);
            warn!(connection = self.number, "deadlines are not kept: {e}");
        }
    }

    /// Those whose time is over; [`look_again`](Self::look_again) comes after it.
    pub(super) fn look(&self, now: Instant) -> Overdue {
        self.look_at.store(NEVER, Ordering::SeqCst);
        let grace = Duration::from_millis(self.tenant.terms().grace_ms);
        self.flights.overdue(now, grace)
    }

    /// After [`look`](Self::look): gives up on the worker, as [`Service::stuck`] does, when one
    /// should have ended long ago; `what` names it. Returns when to look again.
    pub(super) fn look_again(
        &self,
        overdue: &Overdue,
        what: impl FnOnce(&About) -> String,
    ) -> Option<Instant> {
        if let Some(about) = overdue.stuck.first() {
            let text = format!("{} does not end, long after its deadline", what(about));
            self.service.stuck(self.number, self.tenant, &text);
        }
        if let Some(next) = overdue.next {
            self.look_at
                .store(self.service.nanos(next), Ordering::SeqCst);
        }
        overdue.next
    }
}
