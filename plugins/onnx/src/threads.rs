//! Pools of threads, shared by all models that want the same number.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use rten::ThreadPool;
use vaccel_plugin::{Result, bail};

/// More threads than this are a mistake.
const MAX_THREADS: usize = 256;

/// As many threads as this process may use processors (affinity and cgroup counted).
pub(crate) fn available() -> usize {
    static AVAILABLE: OnceLock<usize> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        std::thread::available_parallelism()
            .map_or(1, NonZeroUsize::get)
            .min(MAX_THREADS)
    })
}

/// A pool of so many threads. It ends with the last model that uses it, except
/// that the pool of the default size stays.
///
/// # Errors
/// `EINVAL` for 0 and for more than 256.
pub(crate) fn pool(threads: usize) -> Result<Arc<ThreadPool>> {
    static POOLS: Mutex<Option<HashMap<usize, Weak<ThreadPool>>>> = Mutex::new(None);
    static DEFAULT: OnceLock<Arc<ThreadPool>> = OnceLock::new();
    if !(1..=MAX_THREADS).contains(&threads) {
        bail!(
            EINVAL,
            "option `threads`: {threads} is not 1 to {MAX_THREADS}"
        );
    }
    if threads == available() {
        let pool = DEFAULT.get_or_init(|| Arc::new(ThreadPool::with_num_threads(threads)));
        return Ok(Arc::clone(pool));
    }
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    let pools = pools.get_or_insert_with(HashMap::new);
    if let Some(pool) = pools.get(&threads).and_then(Weak::upgrade) {
        return Ok(pool);
    }
    pools.retain(|_, pool| pool.strong_count() > 0);
    let pool = Arc::new(ThreadPool::with_num_threads(threads));
    pools.insert(threads, Arc::downgrade(&pool));
    Ok(pool)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn models_that_want_the_same_number_of_threads_share_them() {
        let other = available() + 1;
        let (a, b) = (pool(other).unwrap(), pool(other).unwrap());
        assert!(Arc::ptr_eq(&a, &b));
        assert!(!Arc::ptr_eq(&a, &pool(available()).unwrap()));
        let weak = Arc::downgrade(&a);
        drop((a, b));
        assert!(weak.upgrade().is_none(), "an unused pool was kept");
        assert!(pool(0).is_err() && pool(MAX_THREADS + 1).is_err());
    }
}
