//! Whose turn it is, in a worker that several tenants share.
//!
//! A tenant that has the worker to itself runs as many operations at a time as it likes. While
//! others are connected it runs no more than there are processors, so that one who comes
//! shares a processor with one other operation at most. While others have something to
//! do, each runs as many as is its part of the processors by weight, and one at least. Further
//! ones wait, in the order in which they came, without holding up those of others: a
//! tenant that floods the worker has its own requests wait for each other.
//!
//! So an operation runs beside as many others as there are processors, and has half of one at
//! least: one tenant that floods doubles the time of another's operations at most.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So long after its last operation, a tenant still counts as having something to do.
const RECENT: Duration = Duration::from_millis(100);
/// The first of those who wait looks again after this: the others may have nothing to do any more.
const AGAIN: Duration = Duration::from_millis(20);

/// Gives tenants their turns.
#[derive(Debug)]
pub struct Turns {
    shares: Mutex<Shares>,
}

/// What each tenant has and wants. Time is the caller's, so that it can be any.
#[derive(Debug)]
struct Shares {
    tenants: HashMap<u64, Share>,
    /// Operations that run at the same time at full speed.
    slots: u32,
}

#[derive(Debug, Default)]
struct Share {
    weight: u32,
    /// Its connections to this worker.
    connections: u32,
    running: u32,
    /// When it last began or ended an operation.
    last: Option<Instant>,
    /// Those who wait, the first to come first. Only that one is told when there may be a turn, and only it
    /// looks by itself: a tenant that floods has many who wait, and would keep the processors busy with
    /// waking them for every operation of anybody's.
    queue: VecDeque<Arc<Condvar>>,
}

/// Held while an operation runs.
#[derive(Debug)]
pub struct Turn<'t> {
    turns: &'t Turns,
    tenant: u64,
}

impl Default for Turns {
    fn default() -> Self {
        let slots = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self::new(u32::try_from(slots).unwrap_or(u32::MAX))
    }
}

impl Turns {
    /// For so many operations at the same time.
    #[must_use]
    pub fn new(slots: u32) -> Self {
        Self {
            shares: Mutex::new(Shares::new(slots)),
        }
    }

    /// A tenant has a connection more.
    pub fn enter(&self, tenant: u64) {
        self.lock().share(tenant).connections += 1;
    }

    /// A tenant has a connection less.
    pub fn leave(&self, tenant: u64) {
        let mut shares = self.lock();
        let share = shares.share(tenant);
        share.connections = share.connections.saturating_sub(1);
        shares.forget(tenant);
    }

    /// Waits for the turn of a tenant; `None` when its time is over before.
    pub fn take(&self, tenant: u64, weight: u32, until: Instant) -> Option<Turn<'_>> {
        let mut shares = self.lock();
        let share = shares.share(tenant);
        (share.weight, share.last) = (weight, Some(Instant::now()));
        let mut own: Option<Arc<Condvar>> = None;
        loop {
            let now = Instant::now();
            if shares.is_first(tenant, own.as_ref()) && shares.may_begin(tenant, now) {
                shares.begin(tenant, own.as_ref(), now);
                return Some(Turn {
                    turns: self,
                    tenant,
                });
            }
            let left = until.saturating_duration_since(now);
            if left.is_zero() {
                shares.give_up(tenant, own.as_ref());
                return None;
            }
            let told = own.get_or_insert_with(|| shares.queue_up(tenant));
            let wait = match shares.is_first(tenant, Some(told)) {
                true => left.min(AGAIN),
                false => left,
            };
            let told = Arc::clone(told);
            let waited = told.wait_timeout(shares, wait);
            shares = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shares> {
        // Counts and queues, changed in one step each.
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shares {
    fn new(slots: u32) -> Self {
        Self {
            tenants: HashMap::new(),
            slots,
        }
    }

    /// What a tenant has; none is as good as nothing.
    fn share(&mut self, tenant: u64) -> &mut Share {
        self.tenants.entry(tenant).or_default()
    }

    /// Operations that a tenant may run at a time.
    fn entitled(&self, tenant: u64, now: Instant) -> u32 {
        let own = self.tenants.get(&tenant).map_or(1, |share| share.weight);
        let others = self.tenants.iter().filter(|(other, _)| **other != tenant);
        let mut others = others.map(|(_, share)| share).peekable();
        if others.peek().is_none() {
            return u32::MAX;
        }
        let others: u64 = others
            .filter(|share| share.is_active(now))
            .map(|share| u64::from(share.weight))
            .sum();
        let own = u64::from(own.max(1));
        // No more than the slots, of which there are 32 bits.
        let part = u64::from(self.slots) * own / (own + others);
        u32::try_from(part).unwrap_or(u32::MAX).max(1)
    }

    /// Whether a tenant may begin an operation now.
    fn may_begin(&self, tenant: u64, now: Instant) -> bool {
        let running = self.tenants.get(&tenant).map_or(0, |share| share.running);
        running < self.entitled(tenant, now)
    }

    /// Whether nobody of the tenant has waited for longer than this one, who may not wait yet.
    fn is_first(&self, tenant: u64, own: Option<&Arc<Condvar>>) -> bool {
        let first = self.tenants.get(&tenant);
        match (first.and_then(|share| share.queue.front()), own) {
            (None, _) => true,
            (Some(first), Some(own)) => Arc::ptr_eq(first, own),
            (Some(_), None) => false,
        }
    }

    /// The last of the tenant from now on; returns what it is told by.
    fn queue_up(&mut self, tenant: u64) -> Arc<Condvar> {
        let told = Arc::<Condvar>::default();
        self.share(tenant).queue.push_back(Arc::clone(&told));
        told
    }

    /// The first of the tenant, who may be one that waits, begins.
    fn begin(&mut self, tenant: u64, own: Option<&Arc<Condvar>>, now: Instant) {
        let share = self.share(tenant);
        share.running += 1;
        share.last = Some(now);
        if own.is_some() {
            share.queue.pop_front();
        }
        self.tell(tenant, now);
    }

    /// An operation of the tenant has ended.
    fn end(&mut self, tenant: u64, now: Instant) {
        let share = self.share(tenant);
        share.running = share.running.saturating_sub(1);
        share.last = Some(now);
        self.tell(tenant, now);
        self.forget(tenant);
    }

    /// One who may have waited does so no more.
    fn give_up(&mut self, tenant: u64, own: Option<&Arc<Condvar>>) {
        let Some(own) = own else {
            return;
        };
        let share = self.share(tenant);
        share.queue.retain(|other| !Arc::ptr_eq(other, own));
        // It may have been the one that was told.
        if let Some(first) = share.queue.front() {
            first.notify_one();
        }
    }

    /// Tells the first who waits when there is a turn for it.
    fn tell(&self, tenant: u64, now: Instant) {
        let first = self.tenants.get(&tenant);
        if let Some(first) = first.and_then(|share| share.queue.front())
            && self.may_begin(tenant, now)
        {
            first.notify_one();
        }
    }

    /// Forgets a tenant that has nothing here any more; the others may run more then.
    fn forget(&mut self, tenant: u64) {
        let gone = self.tenants.get(&tenant).is_some_and(|share| {
            share.connections == 0 && share.running == 0 && share.queue.is_empty()
        });
        if gone {
            self.tenants.remove(&tenant);
            let first = self
                .tenants
                .values()
                .filter_map(|share| share.queue.front());
            first.for_each(|first| first.notify_one());
        }
    }
}

impl Share {
    /// Whether it has something to do, or had a moment ago.
    fn is_active(&self, now: Instant) -> bool {
        let recently = |last| now.saturating_duration_since(last) < RECENT;
        self.running > 0 || !self.queue.is_empty() || self.last.is_some_and(recently)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.lock().end(self.tenant, Instant::now());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn one_tenant_alone_runs_as_much_as_it_likes() {
        let turns = Turns::new(2);
        turns.enter(1);
        let all: Vec<_> = (0..100)
            .map(|_| turns.take(1, 100, soon()).unwrap())
            .collect();
        assert_eq!(all.len(), 100);
    }

    #[test]
    fn beside_one_who_is_connected_a_tenant_runs_as_much_as_there_are_processors() {
        let turns = Turns::new(3);
        turns.enter(1);
        turns.enter(2);
        let now = Instant::now();
        let all: Vec<_> = std::iter::from_fn(|| turns.take(1, 100, now)).collect();
        assert_eq!(all.len(), 3);
        turns.leave(2);
        let more: Vec<_> = (0..10)
            .map(|_| turns.take(1, 100, soon()).unwrap())
            .collect();
        drop((all, more));
        turns.leave(1);
        assert!(turns.lock().tenants.is_empty());
    }

    #[test]
    fn a_second_tenant_has_its_turn_at_once_and_the_first_waits_for_its_own() {
        let turns = Turns::new(2);
        let first: Vec<_> = (0..10)
            .map(|_| turns.take(1, 100, soon()).unwrap())
            .collect();
        let second = turns.take(2, 100, Instant::now()).unwrap();
        assert!(
            turns.take(1, 100, Instant::now()).is_none(),
            "it has more than its part"
        );
        assert!(
            turns.take(2, 100, Instant::now()).is_none(),
            "so has this one now"
        );
        drop(first);
        let again = turns.take(1, 100, Instant::now()).unwrap();
        drop((second, again));
    }

    #[test]
    fn weights_divide_the_processors_among_those_who_had_something_to_do_lately() {
        let mut shares = Shares::new(8);
        let now = Instant::now();
        for (tenant, weight) in [(1, 300), (2, 100)] {
            shares.share(tenant).weight = weight;
            shares.begin(tenant, None, now);
        }
        let entitled = |shares: &Shares, now| (shares.entitled(1, now), shares.entitled(2, now));
        assert_eq!(entitled(&shares, now), (6, 2));
        // One that runs counts however long ago it began.
        shares.share(2).connections = 1;
        assert_eq!(entitled(&shares, now + RECENT * 9), (6, 2));
        shares.end(2, now);
        assert_eq!(entitled(&shares, now + RECENT / 2), (6, 2));
        assert_eq!(entitled(&shares, now + RECENT), (8, 2));
        // However light, each has one.
        shares.share(2).weight = 1;
        assert_eq!(shares.entitled(2, now + RECENT), 1);
    }

    #[test]
    fn who_waits_has_its_turn_in_the_order_in_which_it_came() {
        let turns = Turns::new(1);
        turns.enter(2);
        let held = turns.take(1, 100, soon()).unwrap();
        let order = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for i in 0..8 {
                let (turns, order) = (&turns, &order);
                scope.spawn(move || {
                    let turn = turns.take(1, 100, soon()).unwrap();
                    order.lock().unwrap().push(i);
                    drop(turn);
                });
                while turns.lock().tenants[&1].queue.len() <= i {
                    std::thread::yield_now();
                }
            }
            // One that comes last does not overtake them, nor does one whose time is over stay.
            assert!(turns.take(1, 100, Instant::now()).is_none());
            drop(held);
        });
        assert_eq!(order.into_inner().unwrap(), (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn who_waits_goes_on_when_one_of_its_own_has_ended_or_the_others_have_nothing_to_do() {
        let turns = Turns::new(1);
        let first = turns.take(1, 100, soon()).unwrap();
        let other = turns.take(2, 100, soon()).unwrap();
        turns.enter(2);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| turns.take(1, 100, soon()).is_some());
            while turns.lock().tenants[&1].queue.is_empty() {
                std::thread::yield_now();
            }
            drop(first);
            assert!(waits.join().unwrap());
            let held = turns.take(1, 100, soon()).unwrap();
            let waits = scope.spawn(|| turns.take(1, 100, soon()).is_some());
            while turns.lock().tenants[&1].queue.is_empty() {
                std::thread::yield_now();
            }
            drop(other);
            turns.leave(2);
            // Nobody else is connected any more: it need not wait for its own.
            assert!(waits.join().unwrap());
            drop(held);
        });
    }

    /// Microseconds that an operation computes, and a step of the simulation.
    const WORK: u32 = 2000;
    const STEP: u32 = 50;

    /// Processors that divide themselves evenly among what runs. Tenant 1 keeps 32 operations in flight,
    /// tenant 2 begins one so long after the last has ended. Returns the longest time of one of its 50
    /// operations, and the part of the processors that was used.
    fn simulate(processors: u32, pause: u32) -> (u32, f64) {
        let mut shares = Shares::new(processors);
        for tenant in [1, 2] {
            shares.share(tenant).weight = 100;
            shares.share(tenant).connections = 1;
        }
        let begin = Instant::now();
        let mut flood: Vec<f64> = Vec::new();
        let mut quiet: Option<f64> = None;
        let (mut clock, mut due, mut worst, mut done, mut used) = (0, 0, 0, 0, 0.0);
        while done < 50 {
            let now = begin + Duration::from_micros(clock.into());
            if quiet.is_none() && clock >= due && shares.may_begin(2, now) {
                shares.begin(2, None, now);
                quiet = Some(WORK.into());
            }
            while flood.len() < 32 && shares.may_begin(1, now) {
                shares.begin(1, None, now);
                flood.push(WORK.into());
            }
            clock += STEP;
            let running = flood.len() + usize::from(quiet.is_some());
            let part = (f64::from(processors) / running.max(1) as f64).min(1.0) * f64::from(STEP);
            used += part * running as f64;
            flood
                .iter_mut()
                .chain(&mut quiet)
                .for_each(|left| *left -= part);
            let before = flood.len();
            flood.retain(|left| *left > 1e-6);
            let now = begin + Duration::from_micros(clock.into());
            (flood.len()..before).for_each(|_| shares.end(1, now));
            if quiet.is_some_and(|left| left <= 1e-6) {
                quiet = None;
                shares.end(2, now);
                (worst, done) = (worst.max(clock - due), done + 1);
                due = clock + pause;
            }
        }
        (worst, used / (f64::from(processors) * f64::from(clock)))
    }

    #[test]
    fn a_flood_doubles_the_time_of_another_tenants_operations_at_most() {
        for processors in [1, 2, 3, 4, 8, 64] {
            for pause in [0, 100, 3000, 50_000, 150_000, 2_000_000] {
                let (worst, used) = simulate(processors, pause);
                assert!(
                    worst <= 2 * WORK + STEP,
                    "{processors} processors, pauses of {pause} us: {worst} us"
                );
                // Who calls now and then leaves the processors to the flood in between.
                let idle = pause < 2_000_000 || processors > 32;
                assert!(
                    idle || used > 0.9,
                    "{processors} processors, pauses of {pause} us: {used}"
                );
            }
        }
    }
}
