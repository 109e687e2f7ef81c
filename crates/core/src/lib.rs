//! The runtime of vaccel: plugins, sessions, resources, arguments, operations.
//!
//! The structures that C programs own (`struct vaccel_session` and its kin)
//! come in as [`ptr::Ptr`]: a pointer that was checked not to be null and that
//! the caller vouches for. Everything the library must be able to trust lives
//! on its own side, in the [`slab::Slab`]s of sessions and resources; a structure
//! that a program forgets without releasing it is never looked at again.
//!
//! Lock order: resource, then session, then slab. No lock is held while a plugin
//! is called.

pub mod alloc;
pub mod arg;
pub mod arg_access;
pub mod arg_array;
pub mod arg_list;
pub mod blob;
pub mod buffer;
pub mod builtin;
pub mod choice;
pub mod completion;
pub mod config;
pub mod describe;
mod download;
pub mod env;
pub mod error;
pub mod exec;
mod find;
pub mod flags;
pub mod genop;
pub mod genop_bind;
pub mod genop_model;
mod histogram;
pub mod image;
pub mod kept;
pub mod last_error;
pub mod link;
mod load;
pub mod log;
pub mod model;
mod naming;
pub mod op;
pub mod ordered;
pub mod plugin;
mod pool;
pub mod prof;
pub mod progress;
pub mod ptr;
pub mod register;
mod registrations;
pub mod resource;
pub mod rundir;
pub mod runtime;
pub mod search;
pub mod session;
pub mod shared_buffer;
pub mod slab;
pub mod stats;
mod sync;
pub mod tensor;
pub mod text;
pub mod tf;
pub mod tflite;
pub mod torch;
mod tracefile;
pub mod url;
pub mod vector;
pub mod version;
pub mod view;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use error::{Error, Result};
pub(crate) use op::call_op;

/// Locks, also after a panic elsewhere: every critical section here leaves its
/// data usable at each step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
