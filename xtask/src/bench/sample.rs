//! Taking samples: medians of rounds, processors to run on, the library to measure.

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::path::Path;
use std::time::Instant;

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

/// Microseconds of each of `calls` calls, sorted.
pub(crate) fn each_microseconds(
    calls: usize,
    mut call: impl FnMut() -> Result<()>,
) -> Result<Vec<f64>> {
    for _ in 0..calls / 10 {
        call()?;
    }
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        let begin = Instant::now();
        call()?;
        times.push(begin.elapsed().as_nanos() as f64 / 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// A quantile of sorted values.
pub(crate) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = ((sorted.len() as f64 * q) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(f64::NAN)
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
    let mut set = CpuSet::new();
    for &cpu in processors {
        set.set(cpu);
    }
    sched_setaffinity(None, &set).context("cannot choose processors")
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
