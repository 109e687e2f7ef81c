//! Pools of threads, shared by all models that want the same number.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use rten::ThreadPool;
use vaccel_inference::available_threads;

/// A pool of so many threads. It ends with the last model that uses it, except
/// that the pool of the default size stays.
pub(crate) fn pool(threads: usize) -> Arc<ThreadPool> {
    static POOLS: Mutex<Option<HashMap<usize, Weak<ThreadPool>>>> = Mutex::new(None);
    static DEFAULT: OnceLock<Arc<ThreadPool>> = OnceLock::new();
    if threads == available_threads() {
        let pool = DEFAULT.get_or_init(|| Arc::new(ThreadPool::with_num_threads(threads)));
        return Arc::clone(pool);
    }
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    let pools = pools.get_or_insert_with(HashMap::new);
    if let Some(pool) = pools.get(&threads).and_then(Weak::upgrade) {
        return pool;
    }
    pools.retain(|_, pool| pool.strong_count() > 0);
    let pool = Arc::new(ThreadPool::with_num_threads(threads));
    pools.insert(threads, Arc::downgrade(&pool));
    pool
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_that_want_the_same_number_of_threads_share_them() {
        let other = available_threads() + 1;
        let (a, b) = (pool(other), pool(other));
        assert!(Arc::ptr_eq(&a, &b));
        assert!(!Arc::ptr_eq(&a, &pool(available_threads())));
        let weak = Arc::downgrade(&a);
        drop((a, b));
        assert!(weak.upgrade().is_none(), "an unused pool was kept");
    }
}
