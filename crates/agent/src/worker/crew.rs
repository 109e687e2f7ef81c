//! The threads of a worker.
//!
//! A connection has one while it is busy, and none while it is quiet. Threads that have
//! nothing to do are kept for a while: a quiet connection that wakes then costs a
//! wake-up and no new thread.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What code called by operations expects to find; only what is touched takes memory.
pub const STACK: usize = 8 << 20;
/// How long a thread waits for something to do before it ends.
const IDLE: Duration = Duration::from_secs(10);
/// Threads that wait; further ones end at once.
const MAX_IDLE: usize = 16;

/// What a thread is given to do.
type Job = Box<dyn FnOnce() + Send>;

/// Threads that take jobs.
#[derive(Default)]
pub struct Crew {
    inner: Mutex<Inner>,
    /// Told when there is a job for one that waits.
    job: Condvar,
}

#[derive(Default)]
struct Inner {
    jobs: VecDeque<Job>,
    /// All threads.
    total: usize,
    /// Those that wait for a job.
    idle: usize,
}

impl std::fmt::Debug for Crew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let inner = self.lock();
        f.debug_struct("Crew")
            .field("total", &inner.total)
            .field("idle", &inner.idle)
            .finish_non_exhaustive()
    }
}

impl Crew {
    /// Has a thread do a job: one that waits, or a new one. When the system gives no
    /// further thread, the next one that is done takes it.
    ///
    /// # Errors
    /// When there is no thread at all; then the job has been dropped.
    pub fn run(self: &Arc<Self>, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let mut inner = self.lock();
        inner.jobs.push_back(Box::new(job));
        if inner.idle >= inner.jobs.len() {
            drop(inner);
            self.job.notify_one();
            return Ok(());
        }
        inner.total += 1;
        drop(inner);
        let crew = Arc::clone(self);
        let spawned = std::thread::Builder::new()
            .name("worker".into())
            .stack_size(STACK)
            .spawn(move || crew.work());
        let Err(error) = spawned else {
            return Ok(());
        };
        let mut inner = self.lock();
        inner.total -= 1;
        if inner.total > 0 {
            // Those who wait may have been fewer than the jobs, and may be so no longer.
            self.job.notify_one();
            return Ok(());
        }
        let job = inner.jobs.pop_back();
        drop(inner);
        drop(job);
        Err(error)
    }

    /// Threads there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().total
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What each thread does.
    fn work(&self) {
        let mut inner = self.lock();
        let mut until = Instant::now() + IDLE;
        loop {
            if let Some(job) = inner.jobs.pop_front() {
                drop(inner);
                // It is a stint at a connection, which deals with panics; a thread
                // that ended here would be counted for ever.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
                inner = self.lock();
                until = Instant::now() + IDLE;
                continue;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || inner.idle >= MAX_IDLE {
                inner.total -= 1;
                let last = inner.total == 0;
                drop(inner);
                if last {
                    give_back();
                }
                return;
            }
            inner.idle += 1;
            let waited = self.job.wait_timeout(inner, left);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
            inner.idle -= 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Counts and a queue, changed in one step each.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns to the system what the allocator keeps of what many connections took at one
/// time: nothing is going on.
fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it locks what it changes.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn until(what: &str, condition: impl Fn() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !condition() {
            assert!(Instant::now() < end, "waited in vain: {what}");
            std::thread::yield_now();
        }
    }

    fn all_wait(crew: &Crew) -> bool {
        let inner = crew.lock();
        inner.idle == inner.total
    }

    #[test]
    fn a_thread_that_waits_takes_the_next_job() {
        let crew = Arc::new(Crew::default());
        for _ in 0..20 {
            let (done, wait) = channel();
            crew.run(move || done.send(()).unwrap()).unwrap();
            wait.recv_timeout(PATIENCE).unwrap();
            until("the thread waits", || all_wait(&crew));
        }
        assert_eq!(crew.len(), 1);
    }

    #[test]
    fn jobs_that_wait_for_each_other_have_threads_of_their_own() {
        let crew = Arc::new(Crew::default());
        let barrier = Arc::new(std::sync::Barrier::new(MAX_IDLE * 2));
        let (done, wait) = channel();
        for _ in 0..MAX_IDLE * 2 {
            let (barrier, done) = (Arc::clone(&barrier), done.clone());
            crew.run(move || {
                barrier.wait();
                done.send(()).unwrap();
            })
            .unwrap();
        }
        for _ in 0..MAX_IDLE * 2 {
            wait.recv_timeout(PATIENCE).unwrap();
        }
        until("threads beyond those that are kept end", || {
            crew.len() <= MAX_IDLE
        });
    }

    #[test]
    fn a_job_that_panics_costs_no_thread() {
        let crew = Arc::new(Crew::default());
        crew.run(|| std::panic::resume_unwind(Box::new(())))
            .unwrap();
        let (done, wait) = channel();
        crew.run(move || done.send(()).unwrap()).unwrap();
        wait.recv_timeout(PATIENCE).unwrap();
        until("all wait", || all_wait(&crew));
    }
}
