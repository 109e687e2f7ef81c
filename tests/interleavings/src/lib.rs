//! The registry of the core, compiled with the locks and atomics of a model checker:
//! every order of events of a few threads is tried, the weak ones of the memory model
//! among them. The files are those of `crates/core`, not copies.

#![cfg(test)]
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

#[path = "../../../crates/core/src/error.rs"]
mod error;
#[path = "../../../crates/core/src/ordered.rs"]
mod ordered;
#[path = "../../../crates/core/src/registrations.rs"]
mod registrations;
#[path = "../../../crates/core/src/slab.rs"]
mod slab;
mod sync;

use error::Result;

fn lock<T>(mutex: &sync::Mutex<T>) -> sync::MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

mod register;
mod table;
