//! Who reads the connection.
//!
//! One thread holds the reading. It reads a request and runs it itself: no hand-over,
//! no wake-up. A watcher looks at it every [`TICK`]; when the same operation
//! is still running as at the last look, it takes the reading away and gives it
//! to another thread, so that further requests are not held up. The thread that
//! lost it sees so when its operation ends, and waits to be given it again.
//!
//! While nothing runs for a while the watcher sleeps; the next operation wakes it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// How often the watcher looks while operations run.
pub const TICK: Duration = Duration::from_micros(200);
/// After so many looks at which nothing ran, it sleeps until something does.
const QUIET: u32 = 50;
/// How long a thread waits for something to do before it ends.
const IDLE: Duration = Duration::from_secs(10);

/// Who reads the connection, and who waits to.
#[derive(Debug)]
pub struct Lead {
    /// Number of the operation that the holder of the reading runs; 0 while it reads
    /// and when nobody holds it.
    running: AtomicU64,
    /// The number given last; only the holder of the reading counts.
    last: AtomicU64,
    /// The watcher sleeps, and wants to be woken when something runs.
    asleep: AtomicBool,
    /// For the watcher, as `closing` below.
    closed: AtomicBool,
    watcher: OnceLock<Thread>,
    threads: Mutex<Threads>,
    /// Told when the reading is free, and when a thread ends.
    changed: Condvar,
    max_threads: usize,
}

#[derive(Debug)]
struct Threads {
    /// Somebody holds the reading.
    reading: bool,
    /// Waiting for it.
    idle: usize,
    /// All of them.
    total: usize,
    /// Nothing more is to be read.
    closing: bool,
}

/// What is to be done after a look.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// Look again after a tick.
    Again,
    /// Nothing has run for a while.
    Sleep,
    /// The operation of this number takes long.
    Long(u64),
}

impl Lead {
    /// With one thread, the caller's, and never more than `max_threads`.
    #[must_use]
    pub fn new(max_threads: usize) -> Self {
        Self {
            running: AtomicU64::new(0),
            last: AtomicU64::new(0),
            asleep: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            watcher: OnceLock::new(),
            threads: Mutex::new(Threads {
                reading: false,
                idle: 0,
                total: 1,
                closing: false,
            }),
            changed: Condvar::new(),
            max_threads,
        }
    }

    /// Waits until the caller holds the reading. False when it is to end instead:
    /// the connection closes, or there has been nothing to do for long.
    pub fn take(&self) -> bool {
        let mut threads = self.lock();
        let until = Instant::now() + IDLE;
        while threads.reading && !threads.closing {
            threads.idle += 1;
            let left = until.saturating_duration_since(Instant::now());
            threads = match self.changed.wait_timeout(threads, left) {
                Ok((threads, _)) => threads,
                Err(e) => e.into_inner().0,
            };
            threads.idle -= 1;
            if threads.reading && !threads.closing && Instant::now() >= until {
                break;
            }
        }
        if threads.reading || threads.closing {
            threads.total -= 1;
            self.changed.notify_all();
            return false;
        }
        threads.reading = true;
        true
    }

    /// The holder of the reading begins an operation; the number is for [`end`](Self::end).
    #[must_use]
    pub fn begin(&self) -> u64 {
        let number = self.last.load(Ordering::Relaxed) + 1;
        self.last.store(number, Ordering::Relaxed);
        // Either this is seen before the watcher sleeps, or that it sleeps is seen here.
        self.running.store(number, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) {
            self.wake_watcher();
        }
        number
    }

    /// The operation has ended. True when the caller still holds the reading.
    #[must_use]
    pub fn end(&self, number: u64) -> bool {
        self.running
            .compare_exchange(number, 0, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// Nothing more is to be read; called by the holder of the reading.
    pub fn close(&self) {
        let mut threads = self.lock();
        threads.closing = true;
        threads.reading = false;
        drop(threads);
        self.closed.store(true, Ordering::SeqCst);
        self.changed.notify_all();
        self.wake_watcher();
    }

    /// Watches until the connection closes. `spawn` starts a thread, and returns
    /// false when it cannot.
    pub fn watch(&self, spawn: impl Fn() -> bool) {
        let _ = self.watcher.set(std::thread::current());
        let mut before = 0;
        let mut quiet = 0;
        while !self.closed.load(Ordering::SeqCst) {
            match self.look(&mut before, &mut quiet) {
                Look::Again => std::thread::park_timeout(TICK),
                Look::Long(number) => self.hand_over(number, &spawn),
                Look::Sleep => {
                    self.asleep.store(true, Ordering::SeqCst);
                    let nothing = self.running.load(Ordering::SeqCst) == 0;
                    if nothing && !self.closed.load(Ordering::SeqCst) {
                        std::thread::park();
                    }
                    self.asleep.store(false, Ordering::SeqCst);
                    quiet = 0;
                }
            }
        }
    }

    /// Waits until all threads have ended, at most until a time. True when they have.
    pub fn wait_for_end(&self, until: Instant) -> bool {
        let mut threads = self.lock();
        while threads.total > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            threads = match self.changed.wait_timeout(threads, left) {
                Ok((threads, _)) => threads,
                Err(e) => e.into_inner().0,
            };
        }
        true
    }

    fn look(&self, before: &mut u64, quiet: &mut u32) -> Look {
        let now = self.running.load(Ordering::SeqCst);
        if now == 0 {
            *quiet += 1;
            if *quiet >= QUIET {
                return Look::Sleep;
            }
        } else {
            *quiet = 0;
            if now == *before {
                return Look::Long(now);
            }
        }
        *before = now;
        Look::Again
    }

    /// Takes the reading from the thread that runs an operation, and gives it to another.
    fn hand_over(&self, number: u64, spawn: &impl Fn() -> bool) {
        if !self.end(number) {
            return;
        }
        let mut threads = self.lock();
        threads.reading = false;
        if threads.idle > 0 {
            drop(threads);
            self.changed.notify_one();
        } else if threads.total < self.max_threads && !threads.closing {
            threads.total += 1;
            drop(threads);
            if !spawn() {
                self.lock().total -= 1;
            }
        }
        // Else every thread is busy: what comes is not read before one of them is done.
    }

    fn wake_watcher(&self) {
        if let Some(watcher) = self.watcher.get() {
            watcher.unpark();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Threads> {
        // Counts and flags, changed in one step each.
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_short_operation_keeps_the_reading() {
        let lead = Lead::new(4);
        assert!(lead.take());
        let number = lead.begin();
        assert!(lead.end(number));
    }

    #[test]
    fn a_long_operation_loses_the_reading_to_another_thread() {
        let lead = Lead::new(4);
        assert!(lead.take());
        let (spawned, wait) = channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                lead.watch(|| spawned.send(()).is_ok());
            });
            let number = lead.begin();
            // The operation runs until another thread has been started.
            assert!(wait.recv_timeout(Duration::from_secs(10)).is_ok());
            assert!(!lead.end(number));
            // That thread takes the reading; this one then ends with the connection.
            assert!(lead.take());
            lead.close();
            assert!(!lead.take() && !lead.take());
            assert!(lead.wait_for_end(Instant::now() + Duration::from_secs(10)));
        });
    }

    #[test]
    fn the_watcher_sleeps_when_nothing_runs_and_wakes_for_the_next_operation() {
        let lead = Lead::new(2);
        assert!(lead.take());
        let (spawned, wait) = channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                lead.watch(|| spawned.send(()).is_ok());
            });
            let deadline = Instant::now() + Duration::from_secs(10);
            while !lead.asleep.load(Ordering::SeqCst) {
                assert!(Instant::now() < deadline, "the watcher does not sleep");
                std::thread::yield_now();
            }
            let number = lead.begin();
            assert!(wait.recv_timeout(Duration::from_secs(10)).is_ok());
            assert!(!lead.end(number));
            assert!(lead.take());
            lead.close();
        });
    }

    #[test]
    fn no_more_threads_are_started_than_allowed() {
        let lead = Lead::new(1);
        assert!(lead.take());
        let number = lead.begin();
        lead.hand_over(number, &|| panic!("a thread is started"));
        assert!(!lead.end(number));
        assert!(lead.take(), "the reading is free for who is done first");
    }
}
