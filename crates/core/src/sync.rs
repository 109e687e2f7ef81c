//! The locks and atomics of the registry. `tests/interleavings` compiles the same files
//! with those of a model checker, which tries every order of events.

pub(crate) use std::sync::atomic::{AtomicPtr, Ordering};
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How many chunks a slab may have.
pub(crate) const CHUNKS: usize = 1 << 14;

/// Makes a function `const`; those of a model checker cannot be.
macro_rules! constant {
    ($(#[$attribute:meta])* $visibility:vis fn $($rest:tt)*) => {
        $(#[$attribute])* $visibility const fn $($rest)*
    };
}
pub(crate) use constant;

/// An array of null pointers.
macro_rules! nulls {
    ($count:expr) => {
        [const { AtomicPtr::new(std::ptr::null_mut()) }; $count]
    };
}
pub(crate) use nulls;
