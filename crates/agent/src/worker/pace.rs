//! How long operations usually take.
//!
//! Looking after an operation costs wake-ups: more than the operation itself where that
//! is brief. So operations that have been brief before are looked after less often; and those
//! that have taken long need not be looked at first: others do not wait for them at all.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// What is brief.
const BRIEF: Duration = Duration::from_micros(100);
/// What takes so long that a further thread costs nothing beside it.
const LONG: Duration = Duration::from_millis(4);
/// So often in a row it must have been so.
const SURE: u8 = 16;
/// Codes of operations that are counted; all that there are, with room for more.
const CODES: usize = 512;

/// What is expected of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// It has usually been done before anybody could have looked.
    Brief,
    /// Nothing is known, or it varies.
    Anything,
    /// It has always taken long lately.
    Long,
}

/// How long operations have taken, by code.
#[derive(Debug)]
pub struct Pace {
    counts: [Counts; CODES],
}

/// Each grows by one with each run of its kind and is halved by one that is not: now and then
/// the system takes the processor away from a brief one.
#[derive(Debug, Default)]
struct Counts {
    brief: AtomicU8,
    long: AtomicU8,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            counts: std::array::from_fn(|_| Counts::default()),
        }
    }
}

impl Pace {
    /// How long an operation is expected to take.
    #[must_use]
    pub fn expected(&self, operation: u16) -> Expected {
        let sure = |count: &AtomicU8| count.load(Ordering::Relaxed) >= SURE;
        match self.counts.get(usize::from(operation)) {
            Some(counts) if sure(&counts.brief) => Expected::Brief,
            Some(counts) if sure(&counts.long) => Expected::Long,
            _ => Expected::Anything,
        }
    }

    /// An operation took so long. Counts of threads that meet here may get lost.
    pub fn note(&self, operation: u16, took: Duration) {
        if let Some(counts) = self.counts.get(usize::from(operation)) {
            count(&counts.brief, took <= BRIEF);
            count(&counts.long, took >= LONG);
        }
    }
}

fn count(count: &AtomicU8, so: bool) {
    let before = count.load(Ordering::Relaxed);
    let after = match so {
        true => before.saturating_add(1),
        false => before / 2,
    };
    // All threads read it: it is written only when it changes.
    if after != before {
        count.store(after, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Neither brief nor long.
    const BETWEEN: Duration = Duration::from_millis(1);

    #[test]
    fn what_was_brief_many_times_is_expected_to_be_and_a_few_others_end_that() {
        let pace = Pace::default();
        for _ in 0..SURE {
            assert_eq!(pace.expected(7), Expected::Anything);
            pace.note(7, BRIEF);
        }
        assert_eq!(pace.expected(7), Expected::Brief);
        assert_eq!(pace.expected(8), Expected::Anything);
        for _ in 0..1000 {
            pace.note(7, BRIEF);
        }
        pace.note(7, BETWEEN);
        assert_eq!(pace.expected(7), Expected::Brief, "once is nothing");
        for _ in 0..4 {
            pace.note(7, BETWEEN);
        }
        assert_eq!(pace.expected(7), Expected::Anything);
    }

    #[test]
    fn what_took_long_many_times_is_expected_to_until_it_does_not() {
        let pace = Pace::default();
        for _ in 0..SURE {
            assert_eq!(pace.expected(7), Expected::Anything);
            pace.note(7, LONG);
        }
        assert_eq!(pace.expected(7), Expected::Long);
        pace.note(7, BETWEEN);
        assert_eq!(pace.expected(7), Expected::Anything);
    }

    #[test]
    fn nothing_is_expected_of_operations_that_nobody_knows() {
        let pace = Pace::default();
        for _ in 0..100 {
            pace.note(u16::MAX, BRIEF);
        }
        assert_eq!(pace.expected(u16::MAX), Expected::Anything);
    }
}
