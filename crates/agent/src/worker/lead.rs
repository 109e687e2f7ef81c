//! Who reads a connection.
//!
//! One thread holds the reading. It reads a request and runs it itself: no hand-over,
//! no wake-up. When an operation takes long, [`watch`](super::watch) takes the reading
//! away and gives it to another thread, so that further requests are not held up. The
//! thread that lost it sees so when its operation ends, and waits to be given it again.
//!
//! When nothing has come for a while the holder parks: no thread reads, until
//! [`lot`](super::lot) calls.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a thread waits for something to do before it leaves.
const IDLE: Duration = Duration::from_secs(10);

/// Who reads the connection, and who waits to.
#[derive(Debug)]
pub struct Lead {
    /// Number of the operation that the holder of the reading runs; 0 while it reads
    /// and when nobody holds it.
    running: AtomicU64,
    /// The number given last; only the holder of the reading counts.
    last: AtomicU64,
    threads: Mutex<Threads>,
    /// Told when the reading is free, and when a thread leaves.
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
    /// Nobody is to read until the connection is called.
    parked: bool,
    /// Nothing more is to be read.
    closing: bool,
}

impl Lead {
    /// With one thread, the caller's, and never more than `max_threads`.
    #[must_use]
    pub fn new(max_threads: usize) -> Self {
        Self {
            running: AtomicU64::new(0),
            last: AtomicU64::new(0),
            threads: Mutex::new(Threads {
                reading: false,
                idle: 0,
                total: 1,
                parked: false,
                closing: false,
            }),
            changed: Condvar::new(),
            max_threads,
        }
    }

    /// Waits until the caller holds the reading. False when it has left instead: the
    /// connection closes or is parked, or there has been nothing to do for long.
    pub fn take(&self) -> bool {
        let mut threads = self.lock();
        let until = Instant::now() + IDLE;
        while threads.reading && !threads.closing && !threads.parked {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            threads.idle += 1;
            let waited = self.changed.wait_timeout(threads, left);
            threads = waited.unwrap_or_else(PoisonError::into_inner).0;
            threads.idle -= 1;
        }
        if threads.reading || threads.closing || threads.parked {
            threads.total -= 1;
            self.changed.notify_all();
            return false;
        }
        threads.reading = true;
        true
    }

    /// The holder of the reading begins an operation; the number is for [`end`](Self::end).
    /// It is odd for one that is expected to be brief.
    #[must_use]
    pub fn begin(&self, brief: bool) -> u64 {
        let number = (self.last.load(Ordering::Relaxed) & !1) + 2 + u64::from(brief);
        self.last.store(number, Ordering::Relaxed);
        // Before the watcher is asked whether it sleeps.
        self.running.store(number, Ordering::SeqCst);
        number
    }

    /// The operation has ended. True when the caller still holds the reading.
    #[must_use]
    pub fn end(&self, number: u64) -> bool {
        self.running
            .compare_exchange(number, 0, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// The operation that runs; 0 for none.
    #[must_use]
    pub fn running(&self) -> u64 {
        self.running.load(Ordering::SeqCst)
    }

    /// The operation that has begun last.
    #[must_use]
    pub fn begun(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// The caller, who holds the reading, wants to leave it to nobody. False when that
    /// cannot be: operations run in other threads, or the connection closes. When true
    /// the caller has left.
    pub fn park(&self) -> bool {
        let mut threads = self.lock();
        if threads.total != threads.idle + 1 || threads.closing {
            return false;
        }
        threads.reading = false;
        threads.parked = true;
        threads.total -= 1;
        self.changed.notify_all();
        true
    }

    /// After [`park`](Self::park): the connection has a thread again.
    pub fn unpark(&self) {
        let mut threads = self.lock();
        threads.parked = false;
        threads.total += 1;
    }

    /// Nothing more is to be read. The caller has left with this; false when another
    /// has closed before.
    pub fn close(&self) -> bool {
        let mut threads = self.lock();
        threads.total -= 1;
        let first = !std::mem::replace(&mut threads.closing, true);
        threads.reading = false;
        drop(threads);
        self.changed.notify_all();
        first
    }

    /// After [`close`](Self::close): waits until all threads have left, at most until
    /// a time. True when they have.
    pub fn wait_for_end(&self, until: Option<Instant>) -> bool {
        let mut threads = self.lock();
        while threads.total > 0 {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            threads = match left {
                Some(Duration::ZERO) => return false,
                Some(left) => {
                    let waited = self.changed.wait_timeout(threads, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let waited = self.changed.wait(threads);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
        true
    }

    /// Takes the reading from the thread that runs an operation, and gives it to another.
    /// `spawn` starts a thread, and returns false when it cannot.
    pub fn hand_over(&self, number: u64, spawn: impl FnOnce() -> bool) {
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

    fn lock(&self) -> MutexGuard<'_, Threads> {
        // Counts and flags, changed in one step each.
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Option<Instant> {
        Some(Instant::now() + Duration::from_secs(10))
    }

    #[test]
    fn a_short_operation_keeps_the_reading() {
        let lead = Lead::new(4);
        assert!(lead.take());
        let number = lead.begin(false);
        assert_eq!(lead.running(), number);
        assert!(lead.end(number));
    }

    #[test]
    fn a_long_operation_loses_the_reading_to_another_thread() {
        let lead = Lead::new(4);
        assert!(lead.take());
        let number = lead.begin(false);
        let mut spawned = false;
        lead.hand_over(number, || {
            spawned = true;
            true
        });
        assert!(spawned && !lead.end(number));
        // The other thread takes the reading, and while the operation runs nobody parks.
        assert!(lead.take());
        assert!(!lead.park());
        assert!(lead.close());
        assert!(!lead.take(), "this one leaves with the connection");
        assert!(lead.wait_for_end(soon()));
    }

    #[test]
    fn no_more_threads_are_started_than_allowed() {
        let lead = Lead::new(1);
        assert!(lead.take());
        let number = lead.begin(false);
        lead.hand_over(number, || panic!("a thread is started"));
        assert!(!lead.end(number));
        assert!(lead.take(), "the reading is free for who is done first");
    }

    #[test]
    fn a_parked_connection_sends_its_threads_away_and_has_one_again_when_called() {
        let lead = Lead::new(4);
        assert!(lead.take());
        lead.lock().total += 1;
        std::thread::scope(|scope| {
            let other = scope.spawn(|| lead.take());
            let end = Instant::now() + Duration::from_secs(10);
            while lead.lock().idle == 0 {
                assert!(Instant::now() < end, "the other does not wait");
                std::thread::yield_now();
            }
            assert!(lead.park());
            assert!(!other.join().unwrap_or(true), "it is sent away");
        });
        assert_eq!(lead.lock().total, 0);
        lead.unpark();
        assert!(lead.take());
        assert!(lead.close());
        assert!(lead.wait_for_end(soon()));
    }

    #[test]
    fn only_the_first_who_closes_cleans_up_and_waits_for_the_others() {
        let lead = Lead::new(4);
        assert!(lead.take());
        let number = lead.begin(false);
        lead.hand_over(number, || true);
        assert!(lead.take());
        assert!(lead.close());
        let now = Instant::now();
        assert!(!lead.wait_for_end(Some(now)), "one runs an operation");
        assert!(!lead.close());
        assert!(lead.wait_for_end(soon()));
    }
}
