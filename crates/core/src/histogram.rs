//! A histogram of times: fixed size, written by any thread without a lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Each power of two is cut into so many buckets: a quantile is off by at most
/// half of one, 1 in 32.
const PARTS: u32 = 16;
const PART_BITS: u32 = PARTS.ilog2();
/// Times up to 2^41 ns, 36 minutes, are told apart.
const LARGEST_POWER: u32 = 41;
const BUCKETS: usize = ((LARGEST_POWER - PART_BITS + 1) * PARTS) as usize;

/// How many calls, how long they took, and what they moved.
pub(crate) struct Histogram {
    errors: AtomicU64,
    total: AtomicU64,
    largest: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) nanoseconds: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) failed: bool,
}

/// What a histogram says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Calls.
    pub(crate) count: u64,
    /// Calls that failed; their times count, too.
    pub(crate) errors: u64,
    /// Nanoseconds of all together.
    pub(crate) total: u64,
    /// Median, nanoseconds.
    pub(crate) p50: u64,
    /// 99 of 100 took at most so long, nanoseconds.
    pub(crate) p99: u64,
    /// The longest, nanoseconds.
    pub(crate) largest: u64,
    /// Bytes of arguments.
    pub(crate) bytes_in: u64,
    /// Bytes of room for results.
    pub(crate) bytes_out: u64,
}

impl Histogram {
    pub(crate) const fn new() -> Self {
        Self {
            errors: AtomicU64::new(0),
            total: AtomicU64::new(0),
            largest: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
        }
    }

    pub(crate) fn add(&self, call: &Call) {
        self.buckets[bucket(call.nanoseconds)].fetch_add(1, Relaxed);
        self.total.fetch_add(call.nanoseconds, Relaxed);
        self.largest.fetch_max(call.nanoseconds, Relaxed);
        self.bytes_in.fetch_add(call.bytes_in, Relaxed);
        self.bytes_out.fetch_add(call.bytes_out, Relaxed);
        self.errors.fetch_add(u64::from(call.failed), Relaxed);
    }

    /// What it says now. Calls that end meanwhile may be counted in part.
    pub(crate) fn summary(&self) -> Summary {
        let counts: Vec<u64> = self.buckets.iter().map(|b| b.load(Relaxed)).collect();
        let count: u64 = counts.iter().sum();
        let largest = self.largest.load(Relaxed);
        let quantile = |percent: u64| {
            let rank = (count * percent).div_ceil(100);
            let mut seen = 0;
            for (i, n) in counts.iter().enumerate() {
                seen += n;
                if seen >= rank.max(1) {
                    return middle(i).min(largest);
                }
            }
            0
        };
        Summary {
            count,
            errors: self.errors.load(Relaxed),
            total: self.total.load(Relaxed),
            p50: quantile(50),
            p99: quantile(99),
            largest,
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
        }
    }

    pub(crate) fn reset(&self) {
        for number in [
            &self.errors,
            &self.total,
            &self.largest,
            &self.bytes_in,
            &self.bytes_out,
        ]
        .into_iter()
        .chain(&self.buckets)
        {
            number.store(0, Relaxed);
        }
    }
}

/// Times below `PARTS` have a bucket each; above, the power of two and the next
/// bits choose it.
fn bucket(nanoseconds: u64) -> usize {
    let n = nanoseconds.min((1 << LARGEST_POWER) - 1);
    if n < u64::from(PARTS) {
        return n as usize;
    }
    let shift = n.ilog2() - PART_BITS;
    let part = (n >> shift) - u64::from(PARTS);
    ((shift + 1) * PARTS) as usize + part as usize
}

/// The time in the middle of a bucket.
fn middle(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let parts = u64::from(PARTS);
    if bucket < parts {
        return bucket;
    }
    let shift = bucket / parts - 1;
    let begin = (parts + bucket % parts) << shift;
    begin + (1 << shift) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(nanoseconds: u64) -> Call {
        Call {
            nanoseconds,
            bytes_in: 10,
            bytes_out: 3,
            failed: nanoseconds.is_multiple_of(2),
        }
    }

    #[test]
    fn a_time_is_off_by_at_most_1_in_32() {
        for power in 0..LARGEST_POWER {
            for n in [
                1u64 << power,
                (1 << power) + (1 << power) / 3,
                (2 << power) - 1,
            ] {
                let found = middle(bucket(n));
                let off = found.abs_diff(n);
                assert!(off * 32 <= n.max(1), "{n}: {found}");
            }
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn buckets_follow_each_other_without_gaps() {
        let mut last = 0;
        for n in 0..100_000 {
            let at = bucket(n);
            assert!(at == last || at == last + 1, "{n}");
            last = at;
        }
    }

    #[test]
    fn quantiles_count_and_bytes_are_those_of_the_calls() {
        let histogram = Histogram::new();
        assert_eq!(histogram.summary(), Summary::default());
        for n in 1..=1000 {
            histogram.add(&call(n * 1000));
        }
        let s = histogram.summary();
        assert_eq!((s.count, s.errors, s.largest), (1000, 1000, 1_000_000));
        assert_eq!(
            (s.bytes_in, s.bytes_out, s.total),
            (10_000, 3000, 500_500_000)
        );
        assert!(s.p50.abs_diff(500_000) < 20_000, "{}", s.p50);
        assert!(s.p99.abs_diff(990_000) < 35_000, "{}", s.p99);
        histogram.reset();
        assert_eq!(histogram.summary(), Summary::default());
    }

    #[test]
    fn threads_lose_nothing() {
        let histogram = Histogram::new();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..10_000).for_each(|n| histogram.add(&call(n))));
            }
        });
        assert_eq!(histogram.summary().count, 80_000);
    }
}
