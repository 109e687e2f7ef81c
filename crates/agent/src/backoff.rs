//! How long to wait before another worker is tried, after some did not even start.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);

/// Counts failures in a row.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
    until: Option<Instant>,
    reason: String,
}

impl Backoff {
    /// A worker ended before it was ready.
    pub fn failed(&mut self, reason: String, now: Instant) {
        let delay = FIRST
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now + delay);
        self.reason = reason;
    }

    /// A worker is ready: what was wrong is over.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Until when none is started; `None` when one may be started now.
    #[must_use]
    pub fn until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|&until| now < until)
    }

    /// Why the last one failed, while the last one that was tried failed.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        (self.failures > 0).then_some(&*self.reason)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_half_a_minute_and_success_ends_it() {
        let now = Instant::now();
        let mut backoff = Backoff::default();
        assert_eq!(backoff.until(now), None);
        let mut delays = Vec::new();
        for _ in 0..12 {
            backoff.failed("broken".into(), now);
            delays.push(backoff.until(now).unwrap() - now);
        }
        assert_eq!(delays[0], FIRST);
        assert_eq!(delays[1], 2 * FIRST);
        assert_eq!(delays[11], LONGEST);
        assert_eq!(backoff.reason(), Some("broken"));
        assert_eq!(backoff.until(now + LONGEST), None);
        backoff.succeeded();
        assert_eq!((backoff.until(now), backoff.reason()), (None, None));
    }
}
