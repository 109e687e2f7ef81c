//! What `crates/core/src/sync.rs` gives, from the model checker.

pub(crate) use loom::sync::atomic::{AtomicPtr, Ordering};
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
pub(crate) use std::sync::PoisonError;

/// Few, for each is an object of the model.
pub(crate) const CHUNKS: usize = 2;

macro_rules! constant {
    ($(#[$attribute:meta])* $visibility:vis fn $($rest:tt)*) => {
        $(#[$attribute])* $visibility fn $($rest)*
    };
}
pub(crate) use constant;

macro_rules! nulls {
    ($count:expr) => {
        std::array::from_fn::<_, { $count }, _>(|_| AtomicPtr::new(std::ptr::null_mut()))
    };
}
pub(crate) use nulls;
