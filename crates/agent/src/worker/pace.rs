//! Which operations are usually brief.
//!
//! Looking after an operation costs wake-ups: more than the operation itself where that
//! is brief. So operations that have been brief before are looked after less often.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// What is brief.
const BRIEF: Duration = Duration::from_micros(100);
/// So often in a row it must have been so.
const SURE: u8 = 16;
/// Codes of operations that are counted; all that there are, with room for more.
const CODES: usize = 512;

/// How brief operations have been, by code.
#[derive(Debug)]
pub struct Pace {
    /// Grows by one with each brief run and is halved by one that is not: now and then
    /// the system takes the processor away from a brief one.
    counts: [AtomicU8; CODES],
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            counts: [const { AtomicU8::new(0) }; CODES],
        }
    }
}

impl Pace {
    /// True when an operation is expected to be brief.
    #[must_use]
    pub fn is_brief(&self, operation: u16) -> bool {
        self.count(operation)
            .is_some_and(|count| count.load(Ordering::Relaxed) >= SURE)
    }

    /// An operation took so long. Counts of threads that meet here may get lost.
    pub fn note(&self, operation: u16, took: Duration) {
        let Some(count) = self.count(operation) else {
            return;
        };
        let before = count.load(Ordering::Relaxed);
        let after = match took <= BRIEF {
            true => before.saturating_add(1),
            false => before / 2,
        };
        // All threads read it: it is written only when it changes.
        if after != before {
            count.store(after, Ordering::Relaxed);
        }
    }

    fn count(&self, operation: u16) -> Option<&AtomicU8> {
        self.counts.get(usize::from(operation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_millis(1);

    #[test]
    fn what_was_brief_many_times_is_expected_to_be_and_a_few_long_runs_end_that() {
        let pace = Pace::default();
        for _ in 0..SURE {
            assert!(!pace.is_brief(7));
            pace.note(7, BRIEF);
        }
        assert!(pace.is_brief(7) && !pace.is_brief(8));
        for _ in 0..1000 {
            pace.note(7, BRIEF);
        }
        pace.note(7, LONG);
        assert!(pace.is_brief(7), "once is nothing");
        for _ in 0..4 {
            pace.note(7, LONG);
        }
        assert!(!pace.is_brief(7));
    }

    #[test]
    fn operations_that_nobody_knows_are_never_brief() {
        let pace = Pace::default();
        for _ in 0..100 {
            pace.note(u16::MAX, BRIEF);
        }
        assert!(!pace.is_brief(u16::MAX));
    }
}
