//! One thread that looks after the operations of all connections of a worker.
//!
//! Every [`TICK`] it looks what runs; every [`SLOW`] while only operations run that are
//! expected to be brief. Where the same operation runs as at the last look, others must
//! not wait for it. While nothing runs for a while it sleeps, and the next operation
//! wakes it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

/// How often the watcher looks while operations run.
pub const TICK: Duration = Duration::from_micros(200);
/// How often it looks while operations run that are expected to be brief.
pub const SLOW: Duration = Duration::from_millis(4);
/// After so many quick looks at which nothing ran, or only what is brief, it looks
/// slowly.
const CALM: u32 = 50;
/// After so many slow looks at which nothing ran, it sleeps until something does.
const QUIET: u32 = 8;

/// What the watcher does.
mod state {
    pub(super) const QUICK: u8 = 0;
    pub(super) const SLOW: u8 = 1;
    pub(super) const ASLEEP: u8 = 2;
}

/// What is looked after.
pub trait Watched: Send + Sync + 'static {
    /// Number of the operation that runs; 0 for none. Each has another number, odd for
    /// those that are expected to be brief.
    fn running(&self) -> u64;

    /// The operation of this number takes long.
    fn takes_long(self: Arc<Self>, number: u64);
}

/// Looks after operations.
#[derive(Debug)]
pub struct Watch<T> {
    hot: Mutex<HashMap<u64, Hot<T>>>,
    /// One of [`state`].
    state: AtomicU8,
    thread: OnceLock<Thread>,
}

#[derive(Debug)]
struct Hot<T> {
    watched: Arc<T>,
    /// What ran at the last look.
    before: u64,
}

/// The most that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    Nothing,
    Brief,
    Work,
}

impl Seen {
    fn of(running: u64) -> Self {
        match (running, running % 2) {
            (0, _) => Self::Nothing,
            (_, 1) => Self::Brief,
            _ => Self::Work,
        }
    }
}

impl<T: Watched> Watch<T> {
    /// Starts the watcher, which never ends.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start() -> std::io::Result<Arc<Self>> {
        let watch = Arc::new(Self {
            hot: Mutex::default(),
            state: AtomicU8::new(state::QUICK),
            thread: OnceLock::new(),
        });
        let own = Arc::clone(&watch);
        let thread = std::thread::Builder::new()
            .name("watcher".into())
            .spawn(move || own.work())?;
        // Nobody has another.
        let _ = watch.thread.set(thread.thread().clone());
        Ok(watch)
    }

    /// Looks after one from now on.
    pub fn add(&self, number: u64, watched: Arc<T>) {
        self.lock().insert(number, Hot { watched, before: 0 });
    }

    /// Looks after it no longer.
    pub fn remove(&self, number: u64) {
        let gone = self.lock().remove(&number);
        // Not while others wait for the lock.
        drop(gone);
    }

    /// To be called after [`running`](Watched::running) has changed from 0, to an odd
    /// number when `brief`.
    pub fn rouse(&self, brief: bool) {
        // Either what runs is seen before the watcher waits, or that it waits is
        // seen here.
        let enough = if brief { state::SLOW } else { state::QUICK };
        if self.state.load(Ordering::SeqCst) > enough
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    fn work(&self) {
        let (mut calm, mut quiet) = (0, 0);
        loop {
            let seen = self.look();
            calm = if seen == Seen::Work { 0 } else { calm + 1 };
            quiet = if seen == Seen::Nothing { quiet + 1 } else { 0 };
            if calm < CALM {
                std::thread::park_timeout(TICK);
                continue;
            }
            let asleep = quiet >= CALM + QUIET;
            let state = if asleep { state::ASLEEP } else { state::SLOW };
            self.state.store(state, Ordering::SeqCst);
            match self.seen() {
                Seen::Work => {}
                _ if !asleep => std::thread::park_timeout(SLOW),
                Seen::Nothing => std::thread::park(),
                Seen::Brief => {}
            }
            self.state.store(state::QUICK, Ordering::SeqCst);
            if asleep {
                quiet = 0;
            }
            if self.seen() == Seen::Work {
                calm = 0;
            }
        }
    }

    /// What runs now.
    fn seen(&self) -> Seen {
        let running = |hot: &Hot<T>| Seen::of(hot.watched.running());
        self.lock()
            .values()
            .map(running)
            .max()
            .unwrap_or(Seen::Nothing)
    }

    /// Looks what runs, and takes steps where it is what ran at the last look.
    fn look(&self) -> Seen {
        let mut seen = Seen::Nothing;
        let mut long = Vec::new();
        for Hot { watched, before } in self.lock().values_mut() {
            let now = watched.running();
            seen = seen.max(Seen::of(now));
            if now != 0 && now == *before {
                long.push((Arc::clone(watched), now));
            }
            *before = now;
        }
        for (watched, number) in long {
            watched.takes_long(number);
        }
        seen
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Hot<T>>> {
        // No operation on the map can be left half done.
        self.hot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;
    use std::sync::mpsc::{Sender, channel};
    use std::time::Instant;

    const PATIENCE: Duration = Duration::from_secs(10);

    struct Work {
        running: AtomicU64,
        long: Mutex<Sender<u64>>,
    }

    impl Watched for Work {
        fn running(&self) -> u64 {
            self.running.load(Ordering::SeqCst)
        }

        fn takes_long(self: Arc<Self>, number: u64) {
            if self
                .running
                .compare_exchange(number, 0, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
            {
                self.long.lock().unwrap().send(number).unwrap();
            }
        }
    }

    #[test]
    fn the_watcher_sleeps_when_nothing_runs_and_tells_of_each_long_operation() {
        let watch = Watch::start().unwrap();
        let (long, told) = channel();
        let works: Vec<_> = (0..3)
            .map(|number| {
                let work = Arc::new(Work {
                    running: AtomicU64::new(0),
                    long: Mutex::new(long.clone()),
                });
                watch.add(number, Arc::clone(&work));
                work
            })
            .collect();
        // Brief ones are looked after too, if they turn out not to be.
        for round in 2..8 {
            let end = Instant::now() + PATIENCE;
            while watch.state.load(Ordering::SeqCst) != state::ASLEEP {
                assert!(Instant::now() < end, "the watcher does not sleep");
                std::thread::yield_now();
            }
            let brief = round % 2 == 1;
            works[round % 3]
                .running
                .store(round as u64, Ordering::SeqCst);
            watch.rouse(brief);
            assert_eq!(told.recv_timeout(PATIENCE), Ok(round as u64));
        }
        // Nor does the slow pace hold up one that is not brief.
        let end = Instant::now() + PATIENCE;
        while watch.state.load(Ordering::SeqCst) != state::SLOW {
            works[0].running.store(1, Ordering::SeqCst);
            watch.rouse(true);
            works[0].running.store(0, Ordering::SeqCst);
            assert!(Instant::now() < end, "the watcher does not slow down");
            std::thread::yield_now();
        }
        works[1].running.store(20, Ordering::SeqCst);
        watch.rouse(false);
        let told: Vec<u64> = std::iter::from_fn(|| told.recv_timeout(PATIENCE).ok())
            .take_while(|&number| number != 20)
            .collect();
        assert!(told.iter().all(|&number| number == 1), "{told:?}");
        watch.remove(0);
        assert_eq!(Arc::strong_count(&works[0]), 1);
    }
}
