//! What operations took, by operation and by session, while profiling is on.

use crate::histogram::{Call, Histogram};
use crate::ptr::Ptr;
use crate::{Result, fail, get, log_info, session};
use std::sync::atomic::{AtomicPtr, Ordering};
use vaccel_abi::op::OpType;
use vaccel_abi::prof::vaccel_prof_stats;
use vaccel_abi::session::vaccel_session;
use vaccel_abi::table::{self, OPS};

/// A histogram for each operation, made when the operation is first called.
///
/// It stays for good: a thread may be writing to it when its session ends. Slots of
/// sessions are used again, so there are never more than sessions open at once.
pub(crate) struct Stats([AtomicPtr<Histogram>; OPS.len()]);

/// Those of all sessions.
static ALL: Stats = Stats::new();

impl Default for Stats {
    fn default() -> Self {
        Self::new()
    }
}

impl Stats {
    const fn new() -> Self {
        Self([const { AtomicPtr::new(std::ptr::null_mut()) }; OPS.len()])
    }

    fn get(&self, index: usize) -> Option<&'static Histogram> {
        let p = self.0.get(index)?.load(Ordering::Acquire);
        // SAFETY: null, or leaked by `add`.
        unsafe { p.as_ref() }
    }

    fn add(&self, index: usize, call: &Call) {
        let Some(place) = self.0.get(index) else {
            return;
        };
        let histogram = self.get(index).unwrap_or_else(|| {
            let made = Box::into_raw(Box::new(Histogram::new()));
            let null = std::ptr::null_mut();
            match place.compare_exchange(null, made, Ordering::AcqRel, Ordering::Acquire) {
                // SAFETY: just made, and kept for good.
                Ok(_) => unsafe { &*made },
                Err(first) => {
                    // SAFETY: made above, and nobody else has seen it.
                    drop(unsafe { Box::from_raw(made) });
                    // SAFETY: another thread's, kept for good.
                    unsafe { &*first }
                }
            }
        });
        histogram.add(call);
    }

    /// Begins anew: the slot has another session.
    pub(crate) fn reset(&self) {
        (0..OPS.len())
            .filter_map(|i| self.get(i))
            .for_each(Histogram::reset);
    }

    /// Writes a line to the log for each operation that was called.
    fn report(&self, whose: &str) {
        for (index, spec) in OPS.iter().enumerate() {
            let Some(s) = self.get(index).map(Histogram::summary) else {
                continue;
            };
            if s.count > 0 {
                log_info!(
                    "[prof] {whose}{}: count: {} errors: {} p50: {} nsec p99: {} nsec max: {} nsec bytes_in: {} bytes_out: {}",
                    spec.name,
                    s.count,
                    s.errors,
                    s.p50,
                    s.p99,
                    s.largest,
                    s.bytes_in,
                    s.bytes_out
                );
            }
        }
    }
}

/// Adds one call of the operation at an index of the table.
pub(crate) fn add(sess: Ptr<vaccel_session>, index: usize, call: &Call) {
    ALL.add(index, call);
    if let Ok(slot) = session::slot(sess) {
        slot.stats.add(index, call);
    }
}

/// What calls of an operation took: those of one session, or of all there were.
///
/// # Errors
/// `EINVAL` for an operation that does not exist or a session that is not open.
pub fn of(sess: Option<Ptr<vaccel_session>>, op: OpType) -> Result<vaccel_prof_stats> {
    let Some(index) = table::position(op) else {
        fail!(EINVAL, "there is no operation {op}");
    };
    let stats = match sess {
        Some(sess) => &session::slot(sess)?.stats,
        None => &ALL,
    };
    let s = stats.get(index).map(Histogram::summary).unwrap_or_default();
    Ok(vaccel_prof_stats {
        count: s.count,
        errors: s.errors,
        total: s.total,
        p50: s.p50,
        p99: s.p99,
        max: s.largest,
        bytes_in: s.bytes_in,
        bytes_out: s.bytes_out,
    })
}

/// Prints what the operations of a session took; it ends.
pub(crate) fn report_session(sess: Ptr<vaccel_session>, stats: &Stats) {
    if crate::prof::enabled() {
        stats.report(&format!("session {}: ", get!(sess.id)));
    }
}

/// Prints what all operations took, and begins anew.
pub(crate) fn report() {
    if crate::prof::enabled() {
        ALL.report("");
        ALL.reset();
    }
}

/// The total of an operation: entries and nanoseconds.
pub(crate) fn total(index: usize) -> (u64, u64) {
    let s = ALL.get(index).map(Histogram::summary).unwrap_or_default();
    (s.count, s.total)
}
