//! One thread that looks after the operations of all connections of a worker.
//!
//! Every [`TICK`] it looks what runs. Where the same operation runs as at the last
//! look, others must not wait for it. While nothing runs for a while it sleeps, and the
//! next operation wakes it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

/// How often the watcher looks while operations run.
pub const TICK: Duration = Duration::from_micros(200);
/// After so many looks at which nothing ran, it sleeps until something does.
const QUIET: u32 = 50;

/// What is looked after.
pub trait Watched: Send + Sync + 'static {
    /// Number of the operation that runs; 0 for none. Each has another number.
    fn running(&self) -> u64;

    /// The operation of this number takes long.
    fn takes_long(self: Arc<Self>, number: u64);
}

/// Looks after operations.
#[derive(Debug)]
pub struct Watch<T> {
    hot: Mutex<HashMap<u64, Hot<T>>>,
    /// The watcher sleeps, and wants to be woken when something runs.
    asleep: AtomicBool,
    thread: OnceLock<Thread>,
}

#[derive(Debug)]
struct Hot<T> {
    watched: Arc<T>,
    /// What ran at the last look.
    before: u64,
}

impl<T: Watched> Watch<T> {
    /// Starts the watcher, which never ends.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start() -> std::io::Result<Arc<Self>> {
        let watch = Arc::new(Self {
            hot: Mutex::default(),
            asleep: AtomicBool::new(false),
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

    /// To be called after [`running`](Watched::running) has changed from 0.
    pub fn rouse(&self) {
        // Either what runs is seen before the watcher sleeps, or that it sleeps is
        // seen here.
        if self.asleep.load(Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    fn work(&self) {
        let mut quiet = 0;
        loop {
            let runs = self.look();
            quiet = if runs { 0 } else { quiet + 1 };
            if quiet < QUIET {
                std::thread::park_timeout(TICK);
                continue;
            }
            self.asleep.store(true, Ordering::SeqCst);
            if !self.runs() {
                std::thread::park();
            }
            self.asleep.store(false, Ordering::SeqCst);
            quiet = 0;
        }
    }

    fn runs(&self) -> bool {
        let hot = self.lock();
        hot.values().any(|hot| hot.watched.running() != 0)
    }

    /// True when something runs.
    fn look(&self) -> bool {
        let mut runs = false;
        let mut long = Vec::new();
        for Hot { watched, before } in self.lock().values_mut() {
            let now = watched.running();
            runs |= now != 0;
            if now != 0 && now == *before {
                long.push((Arc::clone(watched), now));
            }
            *before = now;
        }
        for (watched, number) in long {
            watched.takes_long(number);
        }
        runs
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
            let ran = self.running.swap(0, Ordering::SeqCst);
            assert_eq!(ran, number);
            self.long.lock().unwrap().send(number).unwrap();
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
        for round in 1..4 {
            let end = Instant::now() + PATIENCE;
            while !watch.asleep.load(Ordering::SeqCst) {
                assert!(Instant::now() < end, "the watcher does not sleep");
                std::thread::yield_now();
            }
            works[round % 3]
                .running
                .store(round as u64, Ordering::SeqCst);
            watch.rouse();
            assert_eq!(told.recv_timeout(PATIENCE), Ok(round as u64));
        }
        watch.remove(0);
        assert_eq!(Arc::strong_count(&works[0]), 1);
    }
}
