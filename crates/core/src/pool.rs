//! A few threads that make the calls of plugins that make one at a time.
//!
//! They are started when there is work for one more of them, up to a limit, and end when
//! there is none for a while, or with the library.

use crate::completion::{Completion, Job};
use crate::{Result, err, lock};
use std::cell::{Cell, UnsafeCell};
use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a thread waits for work before it ends.
const IDLE: Duration = Duration::from_secs(5);

/// How long the end of the library waits for threads that are making a call.
const END: Duration = Duration::from_secs(2);

struct Pool {
    queue: VecDeque<Arc<Completion>>,
    threads: usize,
    idle: usize,
    stop: bool,
    handles: Vec<JoinHandle<()>>,
}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    queue: VecDeque::new(),
    threads: 0,
    idle: 0,
    stop: false,
    handles: Vec::new(),
});
static WORK: Condvar = Condvar::new();
static GONE: Condvar = Condvar::new();

/// How often this process or its parents have forked, counted from 1.
static EPOCH: AtomicU64 = AtomicU64::new(1);

thread_local! {
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// The lock, while the process is forking.
struct Forking(UnsafeCell<Option<MutexGuard<'static, Pool>>>);
// SAFETY: used by the thread that forks, and by no two: it holds the lock.
unsafe impl Sync for Forking {}
static FORKING: Forking = Forking(UnsafeCell::new(None));

unsafe extern "C" fn before_fork() {
    let guard = lock(&POOL);
    // SAFETY: only who holds the lock touches the cell.
    unsafe { *FORKING.0.get() = Some(guard) };
}

unsafe extern "C" fn after_fork() {
    // SAFETY: as above; this thread took the lock in `before_fork`.
    drop(unsafe { (*FORKING.0.get()).take() });
}

unsafe extern "C" fn after_fork_in_child() {
    EPOCH.fetch_add(1, Ordering::Relaxed);
    // SAFETY: as above.
    let guard = unsafe { (*FORKING.0.get()).take() };
    if let Some(mut pool) = guard {
        // The parent's: their locks may be held by threads that do not exist here.
        let _parents = ManuallyDrop::new(std::mem::take(&mut pool.queue));
        let _threads = ManuallyDrop::new(std::mem::take(&mut pool.handles));
        pool.threads = 0;
        pool.idle = 0;
    }
}

/// A number that a child process has another of.
pub(crate) fn epoch() -> u64 {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: functions of a library that stays in memory.
        unsafe {
            libc::pthread_atfork(
                Some(before_fork),
                Some(after_fork),
                Some(after_fork_in_child),
            );
        }
    });
    EPOCH.load(Ordering::Relaxed)
}

/// The most threads there are.
fn most() -> usize {
    static MOST: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *MOST.get_or_init(|| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let named = std::env::var("VACCEL_ASYNC_THREADS").ok();
        let named = named.and_then(|text| text.trim().parse().ok());
        named.unwrap_or((2 * cores).max(4)).clamp(1, 256)
    })
}

/// Runs a job; a panic becomes an error.
pub(crate) fn catch(job: Job) -> Result {
    catch_unwind(AssertUnwindSafe(job)).unwrap_or_else(|panic| {
        // Dropping what was thrown may throw again.
        std::mem::forget(panic);
        Err(err!(EFAULT, "internal error, please report it"))
    })
}

/// Has a call made by one of the threads.
pub(crate) fn push(completion: Arc<Completion>) {
    let mut pool = lock(&POOL);
    if pool.idle > pool.queue.len() || pool.threads >= most() {
        pool.queue.push_back(completion);
        drop(pool);
        WORK.notify_one();
        return;
    }
    let (finished, running) = std::mem::take(&mut pool.handles)
        .into_iter()
        .partition::<Vec<_>, _>(JoinHandle::is_finished);
    pool.handles = running;
    pool.stop = false;
    let thread = std::thread::Builder::new().name("vaccel-async".into());
    match thread.spawn(work) {
        Ok(handle) => {
            pool.threads += 1;
            pool.handles.push(handle);
            pool.queue.push_back(completion);
        }
        // Another thread gets to it.
        Err(_) if pool.threads > 0 => pool.queue.push_back(completion),
        Err(e) => {
            drop(pool);
            completion.finish(Err(err!(ENOMEM, "no thread for the call: {e}")));
            return;
        }
    }
    drop(pool);
    for handle in finished {
        let _ = handle.join();
    }
}

fn work() {
    IS_WORKER.with(|cell| cell.set(true));
    let mut pool = lock(&POOL);
    loop {
        if let Some(completion) = pool.queue.pop_front() {
            drop(pool);
            completion.make();
            drop(completion);
            pool = lock(&POOL);
            continue;
        }
        if pool.stop {
            break;
        }
        pool.idle += 1;
        let waited = WORK.wait_timeout(pool, IDLE);
        let (back, time) = waited.unwrap_or_else(PoisonError::into_inner);
        pool = back;
        pool.idle -= 1;
        if time.timed_out() && pool.queue.is_empty() {
            break;
        }
    }
    pool.threads -= 1;
    drop(pool);
    GONE.notify_all();
}

/// The library ends: so do the threads. One that is making a call is left to itself
/// after a while.
pub(crate) fn stop() {
    let mut pool = lock(&POOL);
    if pool.threads == 0 && pool.handles.is_empty() {
        return;
    }
    pool.stop = true;
    WORK.notify_all();
    let own = usize::from(IS_WORKER.with(Cell::get));
    let until = Instant::now() + END;
    while pool.threads > own {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let waited = GONE.wait_timeout(pool, left);
        pool = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
    pool.stop = false;
    let all = pool.threads == 0;
    let handles = std::mem::take(&mut pool.handles);
    drop(pool);
    for handle in handles {
        if all || handle.is_finished() {
            let _ = handle.join();
        }
    }
}
