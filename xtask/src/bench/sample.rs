//! Taking samples: medians of rounds, processors to run on, the library to measure.

use anyhow::{Context, Result};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::path::Path;
use std::time::{Duration, Instant};

/// Median of some values.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Nanoseconds of one call: the median over rounds of `calls` calls each.
pub(crate) fn nanoseconds(rounds: usize, calls: usize, mut call: impl FnMut()) -> f64 {
    for _ in 0..calls {
        call();
    }
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let begin = Instant::now();
            for _ in 0..calls {
                call();
            }
            begin.elapsed().as_nanos() as f64 / calls as f64
        })
        .collect();
    median(&mut times)
}

/// Longest time that one round of samples may take, and its warming up.
const ROUND: (Duration, Duration) = (Duration::from_millis(1500), Duration::from_millis(300));

/// Microseconds of each of `calls` calls, sorted; fewer when they take long, at least one.
pub(crate) fn bounded(calls: usize, mut call: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    let begun = Instant::now();
    for _ in 0..(calls / 10).max(1) {
        call()?;
        if begun.elapsed() > ROUND.1 {
            break;
        }
    }
    let mut times = Vec::with_capacity(calls);
    let begun = Instant::now();
    for _ in 0..calls {
        let begin = Instant::now();
        call()?;
        let end = Instant::now();
        times.push((end - begin).as_nanos() as f64 / 1e3);
        if end - begun > ROUND.0 {
            break;
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// Median of the medians and median of the 99th percentiles of several rounds.
#[derive(Clone, Copy)]
pub(crate) struct Summary {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Summary {
    /// Of rounds of sorted times.
    pub(crate) fn of(rounds: &[Vec<f64>]) -> Self {
        let over = |q| {
            median(
                &mut rounds
                    .iter()
                    .map(|times| quantile(times, q))
                    .collect::<Vec<_>>(),
            )
        };
        Self {
            p50: over(0.5),
            p99: over(0.99),
        }
    }
}

/// A quantile of sorted values.
pub(crate) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = ((sorted.len() as f64 * q) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// A value that so many of 100 do not exceed.
pub(crate) fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() * percent).div_ceil(100).saturating_sub(1);
    values.get(at).copied().unwrap_or(f64::NAN)
}

/// Processors this process may use.
pub(crate) fn processors() -> Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|&cpu| set.is_set(cpu))
        .collect())
}

/// Binds this thread, and what it starts from now on, to some processors.
pub(crate) fn bind(processors: &[usize]) -> Result<()> {
    sched_setaffinity(None, &set_of(processors)).context("cannot choose processors")
}

/// Binds any thread, by its number.
pub(crate) fn bind_thread(thread: i32, processors: &[usize]) -> Result<()> {
    let thread = Pid::from_raw(thread).context("0 is no thread")?;
    sched_setaffinity(Some(thread), &set_of(processors)).context("cannot choose processors")
}

fn set_of(processors: &[usize]) -> CpuSet {
    let mut set = CpuSet::new();
    for &cpu in processors {
        set.set(cpu);
    }
    set
}

/// Opens the staged library with the plugins that are measured.
pub(crate) fn open_library(prefix: &Path) -> Result<()> {
    // SAFETY: called before this program has a second thread.
    unsafe {
        std::env::set_var("VACCEL_LIBRARY", prefix.join("lib/libvaccel.so.0"));
        std::env::set_var("VACCEL_BOOTSTRAP_ENABLED", "0");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_the_median_over_rounds() {
        let round = |value: f64| (0..100).map(|i| value + f64::from(i)).collect::<Vec<_>>();
        let summary = Summary::of(&[round(100.0), round(0.0), round(1000.0)]);
        assert_eq!((summary.p50, summary.p99), (150.0, 199.0));
    }

    #[test]
    fn of_a_hundred_values_the_ninety_ninth_is_taken() {
        let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert!((percentile(&mut values, 99) - 99.0).abs() < 1e-9);
        assert!((percentile(&mut values, 50) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn a_round_of_slow_calls_ends_in_time() -> Result<()> {
        let begun = Instant::now();
        let slow = || {
            std::thread::park_timeout(Duration::from_millis(100));
            Ok(())
        };
        let times = bounded(100_000, slow)?;
        assert!(times.len() > 1 && times.is_sorted());
        assert!(begun.elapsed() < Duration::from_secs(30));
        Ok(())
    }
}
