//! One thread that looks after the operations of all connections of a worker.
//!
//! Where the same operation runs at two looks, others must not wait for it. How often it
//! looks depends on what runs: every [`TICK`] while something does that may take long;
//! more and more rarely, up to every [`RARE`], while all that runs has been brief before;
//! not at all when nothing runs, until the next operation wakes it. A look costs a brief
//! operation's time: many workers that look often leave their machine to nobody else.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

/// How often the watcher looks while operations run.
pub const TICK: Duration = Duration::from_micros(200);
/// How often it looks at first while operations run that are expected to be brief.
pub const SLOW: Duration = Duration::from_millis(4);
/// How often at last: each time it has seen none that took long, it waits twice as long.
pub const RARE: Duration = Duration::from_millis(64);
/// After so many quick looks at which nothing ran, or only what is brief, it looks
/// slowly, or sleeps.
const CALM: u32 = 5;

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

    /// Number of the operation that has begun last.
    fn begun(&self) -> u64;

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
    /// What had begun until then.
    begun: u64,
}

/// The most that runs, or has run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    Nothing,
    Brief,
    Work,
}

/// What a look has shown.
#[derive(Debug, Clone, Copy)]
struct Look {
    /// The most that runs, or has begun since the last look.
    seen: Seen,
    /// Something runs that may take long.
    runs: bool,
    /// Something took long; others need not wait for it any more.
    long: bool,
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
        self.lock().insert(
            number,
            Hot {
                watched,
                before: 0,
                begun: 0,
            },
        );
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
        let (mut calm, mut pause) = (0, SLOW);
        loop {
            let mut look = self.look();
            if look.seen == Seen::Brief && look.runs {
                // Whether it is, shows soon.
                std::thread::park_timeout(TICK);
                let again = self.look();
                look.seen = look.seen.max(again.seen);
                look.long |= again.long;
            }
            calm = match look.seen {
                Seen::Work => 0,
                Seen::Nothing if look.long => CALM,
                _ => calm + 1,
            };
            if calm < CALM {
                std::thread::park_timeout(TICK);
                continue;
            }
            if look.long || look.seen == Seen::Nothing {
                pause = SLOW;
            }
            let (state, longest) = match look.seen {
                Seen::Nothing => (state::ASLEEP, None),
                _ => (state::SLOW, Some(pause)),
            };
            // Either what begins now is seen here, or who begins it sees the state.
            self.state.store(state, Ordering::SeqCst);
            match (self.seen(), longest) {
                (Seen::Work, _) | (Seen::Brief, None) => {}
                (_, None) => std::thread::park(),
                (_, Some(pause)) => std::thread::park_timeout(pause),
            }
            self.state.store(state::QUICK, Ordering::SeqCst);
            pause = (2 * pause).min(RARE);
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
    fn look(&self) -> Look {
        let mut look = Look {
            seen: Seen::Nothing,
            runs: false,
            long: false,
        };
        let mut long = Vec::new();
        for hot in self.lock().values_mut() {
            let now = hot.watched.running();
            let begun = hot.watched.begun();
            if hot.begun != begun {
                look.seen = look.seen.max(Seen::of(begun));
            }
            hot.begun = begun;
            if now != 0 && now == hot.before {
                hot.before = 0;
                long.push((Arc::clone(&hot.watched), now));
                continue;
            }
            hot.before = now;
            look.seen = look.seen.max(Seen::of(now));
            look.runs |= now != 0;
        }
        look.long = !long.is_empty();
        for (watched, number) in long {
            watched.takes_long(number);
        }
        look
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
        looks: AtomicU64,
        long: Mutex<Sender<u64>>,
    }

    impl Work {
        fn new(long: &Sender<u64>) -> Arc<Self> {
            Arc::new(Self {
                running: AtomicU64::new(0),
                looks: AtomicU64::new(0),
                long: Mutex::new(long.clone()),
            })
        }
    }

    impl Watched for Work {
        fn running(&self) -> u64 {
            self.looks.fetch_add(1, Ordering::Relaxed);
            self.running.load(Ordering::SeqCst)
        }

        fn begun(&self) -> u64 {
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
                let work = Work::new(&long);
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

    #[test]
    fn while_brief_operations_follow_each_other_it_looks_more_and_more_rarely() {
        let watch = Watch::start().unwrap();
        let (long, told) = channel();
        let work = Work::new(&long);
        watch.add(1, Arc::clone(&work));
        let end = Instant::now() + Duration::from_millis(600);
        let mut number = 1;
        while Instant::now() < end {
            number += 2;
            work.running.store(number, Ordering::SeqCst);
            watch.rouse(true);
        }
        // Every 4 ms they would be 150 looks, each of which asks thrice.
        let looks = work.looks.load(Ordering::Relaxed);
        assert!(looks < 300, "{looks} in 600 ms");
        // One that turns out to take long is found all the same.
        let found = std::iter::from_fn(|| told.recv_timeout(PATIENCE).ok());
        assert!(found.take(1000).any(|long| long == number));
    }
}
