//! Whose turn it is, in a worker that several tenants share.
//!
//! As long as one tenant alone has something to do, it does as much at a time as it likes.
//! When several have, each may run as many operations at a time as is its part of the
//! processors by weight, and one at least; further ones wait, without holding up those of
//! others. So a tenant that floods the worker has its own requests wait for each other.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So long after its last operation, a tenant still counts as having something to do.
const RECENT: Duration = Duration::from_millis(100);
/// Who waits looks again after this: the others may have nothing to do any more.
const AGAIN: Duration = Duration::from_millis(20);

/// Gives tenants their turns.
#[derive(Debug)]
pub struct Turns {
    tenants: Mutex<HashMap<u64, Share>>,
    /// Operations that run at the same time at full speed.
    slots: u32,
}

#[derive(Debug)]
struct Share {
    weight: u32,
    running: u32,
    waiting: u32,
    last: Instant,
    /// Told when there may be a turn for one who waits. Each tenant has its own, and one is woken at a
    /// time: a tenant that floods has many who wait, and would keep the processors busy with waking them
    /// for every operation of anybody's.
    free: Arc<Condvar>,
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
            tenants: Mutex::default(),
            slots,
        }
    }

    /// Waits for the turn of a tenant; `None` when its time is over before.
    pub fn take(&self, tenant: u64, weight: u32, until: Instant) -> Option<Turn<'_>> {
        let mut tenants = self.lock();
        let now = Instant::now();
        let share = tenants.entry(tenant).or_insert(Share {
            weight,
            running: 0,
            waiting: 0,
            last: now,
            free: Arc::default(),
        });
        (share.weight, share.last) = (weight, now);
        let free = Arc::clone(&share.free);
        let mut waits = false;
        loop {
            let now = Instant::now();
            let most = self.entitled(&tenants, tenant, now);
            // It is there: it was just looked up, and goes only when it has nothing.
            let share = tenants.get_mut(&tenant)?;
            if share.running < most {
                share.running += 1;
                share.waiting -= u32::from(waits);
                if share.running < most && share.waiting > 0 {
                    free.notify_one();
                }
                return Some(Turn {
                    turns: self,
                    tenant,
                });
            }
            let left = until.saturating_duration_since(now);
            if left.is_zero() {
                share.waiting -= u32::from(waits);
                // It may have been the one that was told.
                free.notify_one();
                return None;
            }
            share.waiting += u32::from(!waits);
            waits = true;
            let waited = free.wait_timeout(tenants, left.min(AGAIN));
            tenants = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Operations that a tenant may run at a time.
    fn entitled(&self, tenants: &HashMap<u64, Share>, tenant: u64, now: Instant) -> u32 {
        let active = |share: &&Share| {
            share.running + share.waiting > 0 || now.duration_since(share.last) < RECENT
        };
        let own = tenants
            .get(&tenant)
            .map_or(1, |share| u64::from(share.weight));
        let others = tenants.iter().filter(|(number, _)| **number != tenant);
        let mut others = others.map(|(_, share)| share).filter(active).peekable();
        if others.peek().is_none() {
            return u32::MAX;
        }
        let all = own + others.map(|share| u64::from(share.weight)).sum::<u64>();
        // No more than the slots, of which there are 32 bits.
        let part = u32::try_from(u64::from(self.slots) * own / all).unwrap_or(u32::MAX);
        part.max(1)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Share>> {
        // Counts, changed in one step each.
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut tenants = self.turns.lock();
        if let Some(share) = tenants.get_mut(&self.tenant) {
            share.running -= 1;
            share.last = Instant::now();
            if share.waiting > 0 {
                share.free.notify_one();
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn one_tenant_alone_runs_as_much_as_it_likes() {
        let turns = Turns::new(2);
        let all: Vec<_> = (0..100)
            .map(|_| turns.take(1, 100, soon()).unwrap())
            .collect();
        assert_eq!(all.len(), 100);
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
    fn weights_divide_the_processors() {
        let turns = Turns::new(8);
        let now = Instant::now();
        let _one = turns.take(1, 300, now).unwrap();
        let _two = turns.take(2, 100, now).unwrap();
        let count = |tenant, weight| {
            let taken: Vec<_> = std::iter::from_fn(|| turns.take(tenant, weight, now)).collect();
            taken.len() + 1
        };
        assert_eq!((count(1, 300), count(2, 100)), (6, 2));
    }

    #[test]
    fn who_waits_goes_on_when_one_of_its_own_has_ended_or_the_others_have_nothing_to_do() {
        let turns = Turns::new(1);
        let first = turns.take(1, 100, soon()).unwrap();
        let other = turns.take(2, 100, soon()).unwrap();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| turns.take(1, 100, soon()).is_some());
            while turns.lock()[&1].waiting == 0 {
                std::thread::yield_now();
            }
            drop(first);
            assert!(waits.join().unwrap());
            let held = turns.take(1, 100, soon()).unwrap();
            let waits = scope.spawn(|| turns.take(1, 100, soon()).is_some());
            drop(other);
            // After a while, the other tenant does not count any more.
            assert!(waits.join().unwrap());
            drop(held);
        });
    }
}
