//! Waiting for one of several calls.

use super::{Completion, Phase};
use crate::{Result, err, fail, lock};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Set once.
#[derive(Default)]
pub(crate) struct Signal {
    pub(super) set: Mutex<bool>,
    pub(super) changed: Condvar,
}

/// `vaccel_completion_wait_any`: the place of one that is over.
///
/// # Errors
/// `EINVAL` for an empty list; `ETIMEDOUT`; those of [`Completion::poll`].
pub fn wait_any(list: &[Arc<Completion>], time: Option<Duration>) -> Result<usize> {
    if list.is_empty() {
        fail!(EINVAL, "there are no completions to wait for");
    }
    let until = time.and_then(|time| Instant::now().checked_add(time));
    let look = || {
        list.iter().for_each(|completion| completion.expire());
        list.iter().position(|completion| completion.is_over())
    };
    if let Some(index) = look() {
        return Ok(index);
    }
    for (index, completion) in list.iter().enumerate() {
        completion.check_process()?;
        if completion.poll().is_ok() {
            return Ok(index);
        }
    }
    let signal = Arc::new(Signal::default());
    for completion in list {
        completion.watch();
        let mut state = lock(&completion.state);
        if !matches!(state.phase, Phase::Over(..)) {
            state.waiters.push(Arc::clone(&signal));
        }
    }
    let found = loop {
        if let Some(index) = look() {
            break Ok(index);
        }
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            break Err(err!(ETIMEDOUT, "none of the calls is over yet").quiet());
        }
        // Now and then it looks at the time of those that wait for a thread.
        let nap = Duration::from_millis(50);
        let nap = left.map_or(nap, |left| left.min(nap));
        let set = lock(&signal.set);
        if !*set {
            let waited = signal.changed.wait_timeout(set, nap);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    };
    for completion in list {
        let mut state = lock(&completion.state);
        state.waiters.retain(|waiter| !Arc::ptr_eq(waiter, &signal));
    }
    found
}
