//! Sums of what several workers counted, those that have ended among them.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::names::{op_name, unpack};
use super::{BUCKETS, CODES, Counts, OPS, OpCounts, PLUGINS, REFUSALS, Refusal, Times, bound};

/// Names of plugins that are told apart, whatever workers write.
const MAX_PLUGINS: usize = 64;
/// What further plugins are counted under.
const OTHERS: &str = "others";

/// How long parts of requests took, all together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    /// How many took at most the time of [`bound`], and more than that of the one before.
    pub places: [u64; BUCKETS],
    /// All together, in nanoseconds.
    pub sum: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            places: [0; BUCKETS],
            sum: 0,
        }
    }
}

impl Histogram {
    fn add(&mut self, times: &Times, requests: u64) {
        let mut over = 0_u64;
        for (to, from) in self.places.iter_mut().zip(&times.over).skip(1) {
            let count = from.load(Relaxed);
            *to = to.wrapping_add(count);
            over = over.wrapping_add(count);
        }
        // A request that is being counted may be in the one and not yet in the other.
        self.places[0] = self.places[0].wrapping_add(requests.saturating_sub(over));
        self.sum = self.sum.wrapping_add(times.sum.load(Relaxed));
    }

    fn merge(&mut self, other: &Self) {
        for (to, from) in self.places.iter_mut().zip(other.places) {
            *to = to.wrapping_add(from);
        }
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.places.iter().fold(0, |all, n| all.wrapping_add(*n))
    }

    /// The bound, in nanoseconds, that this share (of 0 to 1) of all stays below; 0
    /// when there are none, and the last bound for what has none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = (self.count() as f64 * share).ceil();
        let mut seen = 0.0;
        for (place, count) in self.places.iter().enumerate() {
            seen += *count as f64;
            if seen >= wanted && seen > 0.0 {
                return bound(place).or_else(|| bound(BUCKETS - 2)).unwrap_or(0);
            }
        }
        0
    }
}

/// What was counted of an operation of a plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpTotals {
    /// Requests that have been answered.
    pub requests: u64,
    /// Those among them that failed.
    pub failed: u64,
    /// Bytes of requests.
    pub bytes_in: u64,
    /// Bytes of replies.
    pub bytes_out: u64,
    /// From the end of a request's arrival to its beginning.
    pub queue: Histogram,
    /// From its header to its last byte.
    pub transfer_in: Histogram,
    /// In the library and the plugin.
    pub compute: Histogram,
    /// Until its reply had been sent.
    pub transfer_out: Histogram,
}

impl OpTotals {
    fn add(&mut self, op: &OpCounts) {
        let requests = op.requests.load(Relaxed);
        self.requests = self.requests.wrapping_add(requests);
        self.failed = self.failed.wrapping_add(op.failed.load(Relaxed));
        self.bytes_in = self.bytes_in.wrapping_add(op.bytes_in.load(Relaxed));
        self.bytes_out = self.bytes_out.wrapping_add(op.bytes_out.load(Relaxed));
        self.queue.add(&op.queue, requests);
        self.transfer_in.add(&op.transfer_in, requests);
        self.compute.add(&op.compute, requests);
        self.transfer_out.add(&op.transfer_out, requests);
    }

    /// Adds those of another.
    pub fn merge(&mut self, other: &Self) {
        self.requests = self.requests.wrapping_add(other.requests);
        self.failed = self.failed.wrapping_add(other.failed);
        self.bytes_in = self.bytes_in.wrapping_add(other.bytes_in);
        self.bytes_out = self.bytes_out.wrapping_add(other.bytes_out);
        self.queue.merge(&other.queue);
        self.transfer_in.merge(&other.transfer_in);
        self.compute.merge(&other.compute);
        self.transfer_out.merge(&other.transfer_out);
    }

    /// The four parts of a request with their names.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, &Histogram); 4] {
        [
            ("transfer_in", &self.transfer_in),
            ("queue", &self.queue),
            ("compute", &self.compute),
            ("transfer_out", &self.transfer_out),
        ]
    }
}

/// Sums of everything that only grows.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// By names of plugin and operation.
    pub ops: BTreeMap<(String, &'static str), OpTotals>,
    /// Errors by their codes; 0 for codes without a place of their own.
    pub errors: BTreeMap<usize, u64>,
    refusals: [u64; REFUSALS],
    /// Requests that were cancelled.
    pub cancelled: u64,
    /// Content that was looked for in the cache and was there, and that was not.
    pub cache: (u64, u64),
}

/// What there is at the moment, in one process or in several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Level {
    /// Open sessions.
    pub sessions: u64,
    /// Resources.
    pub resources: u64,
    /// Parked connections.
    pub parked: u64,
    /// Bytes of resources and kept tensors.
    pub resource_bytes: u64,
}

impl Level {
    /// Of one process.
    #[must_use]
    pub fn of(counts: &Counts) -> Self {
        // A worker that has written nonsense is not to make the sum nonsense.
        let sane = |value: &AtomicU64| value.load(Relaxed).min(1 << 50);
        Self {
            sessions: sane(&counts.sessions),
            resources: sane(&counts.resources),
            parked: sane(&counts.parked),
            resource_bytes: sane(&counts.resource_bytes),
        }
    }

    /// Of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            sessions: self.sessions.saturating_add(other.sessions),
            resources: self.resources.saturating_add(other.resources),
            parked: self.parked.saturating_add(other.parked),
            resource_bytes: self.resource_bytes.saturating_add(other.resource_bytes),
        }
    }
}

impl Totals {
    /// Adds what a process counted.
    pub fn add(&mut self, counts: &Counts) {
        for place in 0..PLUGINS {
            let name = match place {
                0 => String::new(),
                _ => unpack(std::array::from_fn(|i| {
                    counts.names[place][i].load(Relaxed)
                })),
            };
            for op in 0..OPS {
                let from = &counts.ops[place][op];
                if from.requests.load(Relaxed) == 0 {
                    continue;
                }
                self.entry(name.clone(), op_name(op)).add(from);
            }
        }
        for code in 0..CODES {
            let count = counts.errors[code].load(Relaxed);
            if count > 0 {
                let to = self.errors.entry(code).or_default();
                *to = to.wrapping_add(count);
            }
        }
        for (to, from) in self.refusals.iter_mut().zip(&counts.refusals) {
            *to = to.wrapping_add(from.load(Relaxed));
        }
        self.cancelled = self.cancelled.wrapping_add(counts.cancelled.load(Relaxed));
        self.cache.0 = self.cache.0.wrapping_add(counts.cache_hits.load(Relaxed));
        self.cache.1 = self.cache.1.wrapping_add(counts.cache_misses.load(Relaxed));
    }

    /// Adds sums of others.
    pub fn merge(&mut self, other: &Self) {
        for ((plugin, op), from) in &other.ops {
            self.entry(plugin.clone(), op).merge(from);
        }
        for (code, count) in &other.errors {
            let to = self.errors.entry(*code).or_default();
            *to = to.wrapping_add(*count);
        }
        for (to, from) in self.refusals.iter_mut().zip(other.refusals) {
            *to = to.wrapping_add(from);
        }
        self.cancelled = self.cancelled.wrapping_add(other.cancelled);
        self.cache.0 = self.cache.0.wrapping_add(other.cache.0);
        self.cache.1 = self.cache.1.wrapping_add(other.cache.1);
    }

    /// What was counted of an operation of a plugin.
    #[must_use]
    pub fn op(&self, plugin: &str, op: &'static str) -> Option<&OpTotals> {
        self.ops.get(&(plugin.to_owned(), op))
    }

    /// How often something was refused.
    #[must_use]
    pub fn refused(&self, what: Refusal) -> u64 {
        self.refusals[what as usize]
    }

    /// All operations together.
    #[must_use]
    pub fn all(&self) -> OpTotals {
        let mut all = OpTotals::default();
        self.ops.values().for_each(|op| all.merge(op));
        all
    }

    fn entry(&mut self, plugin: String, op: &'static str) -> &mut OpTotals {
        let known = |name: &str| self.ops.keys().any(|(plugin, _)| plugin == name);
        let plugin = if known(&plugin) {
            plugin
        } else {
            let mut names: Vec<&String> = self.ops.keys().map(|(plugin, _)| plugin).collect();
            names.dedup();
            match names.len() < MAX_PLUGINS {
                true => plugin,
                false => OTHERS.to_owned(),
            }
        };
        self.ops.entry((plugin, op)).or_default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Request;
    use super::super::shared::Shared;
    use super::*;
    use std::time::Duration;

    fn counts(request: &Request) -> Shared {
        let shared = Shared::create().unwrap();
        shared.counts().note(request);
        shared
    }

    #[test]
    fn every_request_is_in_every_histogram_once() {
        let mut totals = Totals::default();
        for micros in [0, 1, 5, 1_000_000_000] {
            let request = Request {
                compute: Duration::from_micros(micros),
                error: 22,
                ..Request::default()
            };
            totals.add(counts(&request).counts());
        }
        let op = totals.op("", "noop").unwrap();
        for (_, histogram) in op.parts() {
            assert_eq!(histogram.count(), 4);
        }
        assert_eq!(op.compute.places[BUCKETS - 1], 1);
        assert_eq!(op.compute.sum, 1_000_000_006_000);
        assert_eq!((op.failed, totals.errors[&22]), (4, 4));
        assert_eq!(op.compute.quantile(0.5), 1000);
        assert_eq!(op.compute.quantile(0.75), 8000);
        assert_eq!(op.compute.quantile(1.0), bound(BUCKETS - 2).unwrap());
        assert_eq!(Histogram::default().quantile(0.5), 0);
    }

    #[test]
    fn a_worker_that_writes_nonsense_spoils_figures_and_nothing_else() {
        let mut totals = Totals::default();
        for i in 0..200 {
            let shared = Shared::create().unwrap();
            let counts = shared.counts();
            let plugin = counts.plugin(&format!("invented{i}"));
            counts.note(&Request {
                plugin,
                ..Request::default()
            });
            counts.sessions.store(u64::MAX, Relaxed);
            counts.ops[plugin][0].requests.store(u64::MAX, Relaxed);
            counts.ops[plugin][0].queue.over[3].store(u64::MAX, Relaxed);
            totals.add(counts);
            assert!(Level::of(counts).and(Level::of(counts)).sessions < 1 << 52);
        }
        let mut plugins: Vec<_> = totals.ops.keys().map(|(plugin, _)| plugin).collect();
        plugins.dedup();
        assert!(plugins.len() <= MAX_PLUGINS + 1, "{}", plugins.len());
        let mut twice = totals.clone();
        twice.merge(&totals);
        let _ = twice.all().queue.quantile(0.99);
    }
}
