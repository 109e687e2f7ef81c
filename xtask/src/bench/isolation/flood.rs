//! What a tenant that floods the agent costs another.

use super::{WORKERS, ms};
use crate::bench::figure::Figure;
use crate::bench::sample::{median, percentile};
use anyhow::{Context, Result};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use vaccel_tests::hostile::{Governed, Honest};

/// Most that it may cost, as a factor.
const LIMIT: f64 = 2.0;
/// Connections of the one that floods, and operations in flight on each.
const FLOOD: (usize, usize) = (4, 8);
/// Turns of being alone and beside the flood, and operations of a turn.
const TURNS: usize = 7;
const CALLS: usize = 100;
/// How long an operation computes on a quiet processor: microseconds.
const WORK: u32 = 2000;

pub(super) fn run(prefix: &Path) -> Result<Vec<Figure>> {
    WORKERS.iter().map(|worker| cost(prefix, worker)).collect()
}

fn cost(prefix: &Path, worker: &str) -> Result<Figure> {
    let governed = Governed::start(prefix, worker, "", &[])?;
    let quiet = governed.connect("b", true)?;
    times(&quiet)?;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let mut factors = Vec::new();
    for _ in 0..TURNS {
        let mut before = times(&quiet)?;
        let mut during = flooded(&governed, || times(&quiet))?;
        factors.push(median(&mut during) / median(&mut before));
        alone.extend(before);
        beside.extend(during);
    }
    let factor = median(&mut factors);
    let name = format!(
        "op of {} ms beside a flood of 32, worker = \"{worker}\"",
        WORK / 1000
    );
    let (floor, value) = (median(&mut alone), median(&mut beside));
    Ok(Figure::plain(&name, value, "ms")
        .with_floor(floor)
        .with_p99(percentile(&mut beside, 99))
        .wanted(format!("<= {LIMIT} x floor"), factor <= LIMIT)
        .with_note(format!(
            "the floor is the same without the flood; median of {TURNS} turns {factor:.2} x, worst {:.2} x",
            factors.last().copied().unwrap_or(f64::NAN)
        )))
}

/// Does something while tenant `a` keeps 32 operations running.
fn flooded<T>(governed: &Governed, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let stop = AtomicBool::new(false);
    let clients = (0..FLOOD.0)
        .map(|_| governed.connect("a", true))
        .collect::<Result<Vec<_>>>()?;
    std::thread::scope(|scope| {
        let flood = |client| {
            while !stop.load(Ordering::Relaxed) {
                compute(client)?;
            }
            anyhow::Ok(())
        };
        let threads: Vec<_> = clients
            .iter()
            .flat_map(|client| (0..FLOOD.1).map(move |_| client))
            .map(|client| scope.spawn(move || flood(client)))
            .collect();
        let done = work();
        stop.store(true, Ordering::Relaxed);
        for thread in threads {
            let flooded = thread.join().ok().context("the one that floods panicked")?;
            flooded.context("the one that floods")?;
        }
        done
    })
}

/// Milliseconds of operations, one after the other.
fn times(client: &Honest) -> Result<Vec<f64>> {
    (0..CALLS)
        .map(|_| {
            let begin = Instant::now();
            compute(client)?;
            Ok(ms(begin.elapsed()))
        })
        .collect()
}

fn compute(client: &Honest) -> Result<()> {
    client
        .exec("compute", &WORK.to_le_bytes(), 8, None)
        .map(drop)
}
