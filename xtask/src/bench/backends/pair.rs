//! One model through vaccel and through the bare runtime, in turns.

use super::direct::{self, Direct};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};
use vaccel::{Model, Resource, ResourceType, Session, Tensor};

/// A turn lasts at least so long: shorter ones say more about the clock than about the call.
const TURN: Duration = Duration::from_millis(20);
/// Results of different runtimes differ by rounding; so much of the largest one is still the same.
const TOLERANCE: f32 = 1e-3;

/// What to compare.
pub(super) struct Pair<'a> {
    pub(super) model: &'a Path,
    pub(super) shape: &'a [usize],
    /// Name and version of the backend's runtime.
    pub(super) name: &'a str,
    /// The runtime that is called directly.
    pub(super) direct: &'a str,
    pub(super) direct_model: &'a Path,
    /// Its name, version and file.
    pub(super) direct_runtime: &'a str,
    /// That it is the same one: then results must be the same as well.
    pub(super) same: bool,
    pub(super) seconds: f64,
    pub(super) direct_first: bool,
}

/// Milliseconds of a run: means of turns.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub(super) struct Times {
    pub(super) runtime: String,
    pub(super) threads: usize,
    pub(super) through: Vec<f64>,
    pub(super) direct: Vec<f64>,
}

/// The application's side: a loaded model and a tensor, through the library's C interface.
struct Through {
    model: Model,
    input: Tensor,
    _session: Session,
}

impl Through {
    fn open(model: &Path, shape: &[usize], values: Vec<f32>, threads: usize) -> Result<Self> {
        let session = Session::new()?;
        let resource = Resource::open(model, ResourceType::Model)?;
        let model = Model::load(&session, &resource, &format!("threads={threads}"))?;
        Ok(Self {
            model,
            input: Tensor::new(shape, values)?,
            _session: session,
        })
    }

    fn run(&self) -> Result<Tensor> {
        let mut outputs = self.model.run(&[("", &self.input)])?;
        ensure!(
            outputs.len() == 1,
            "the model has {} outputs",
            outputs.len()
        );
        outputs.pop().context("the model has no output")
    }
}

/// Measures both, one after the other, until the time is over.
pub(super) fn measure(pair: &Pair<'_>) -> Result<Times> {
    let threads = std::thread::available_parallelism()?.get();
    let values = values(pair.shape.iter().product());
    // The output's shape is known of the first run; which of the two gets the better places in memory,
    // the order of loading decides.
    let early = Through::open(pair.model, pair.shape, values.clone(), threads)?;
    let output = early.run()?;
    let plan = direct::Plan {
        model: pair.direct_model,
        runtime: pair.direct_runtime,
        threads,
        shape: pair.shape,
        input: &values,
        output: output.shape(),
    };
    let (through, mut direct) = if pair.direct_first {
        drop(early);
        let direct = direct::open(pair.direct, &plan)?;
        let late = Through::open(pair.model, pair.shape, values.clone(), threads)?;
        (late, direct)
    } else {
        let direct = direct::open(pair.direct, &plan)?;
        (early, direct)
    };
    compare(&through, &mut *direct, pair.same)?;

    let calls = {
        let slow = once(&mut || through.run().map(drop))?;
        let quick = once(&mut || through.run().map(drop))?.min(slow);
        (TURN.as_secs_f64() / quick.as_secs_f64().max(1e-7)).clamp(1.0, 100_000.0) as usize
    };
    let mut times = Times {
        runtime: pair.name.to_owned(),
        threads,
        through: Vec::new(),
        direct: Vec::new(),
    };
    let begun = Instant::now();
    for round in 0.. {
        if begun.elapsed().as_secs_f64() > pair.seconds && round >= 4 {
            break;
        }
        let mut one = || -> Result<()> {
            let time = turn(calls, &mut || through.run().map(drop))?;
            times.through.push(time);
            Ok(())
        };
        let mut other = || -> Result<()> {
            times.direct.push(turn(calls, &mut || direct.run())?);
            Ok(())
        };
        // Not always the same first: one leaves its traces for the next.
        if round % 2 == 0 {
            one()?;
            other()?;
        } else {
            other()?;
            one()?;
        }
    }
    Ok(times)
}

/// Milliseconds of a run, after one that brings the model back into the caches.
fn turn(calls: usize, run: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
    run()?;
    let begin = Instant::now();
    for _ in 0..calls {
        run()?;
    }
    Ok(begin.elapsed().as_secs_f64() * 1e3 / calls as f64)
}

fn once(run: &mut dyn FnMut() -> Result<()>) -> Result<Duration> {
    let begin = Instant::now();
    black_box(run()?);
    Ok(begin.elapsed())
}

/// That both compute the same: otherwise their times say nothing.
fn compare(through: &Through, direct: &mut dyn Direct, same: bool) -> Result<()> {
    let ours = through.run()?;
    let ours = ours.as_slice::<f32>()?;
    direct.run()?;
    let theirs = direct.output()?;
    ensure!(
        ours.len() == theirs.len(),
        "{} values through vaccel, {} directly",
        ours.len(),
        theirs.len()
    );
    let largest = theirs.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
    let apart = |(a, b): (&f32, &f32)| (a - b).abs();
    let difference = ours.iter().zip(&theirs).map(apart).fold(0.0, f32::max);
    ensure!(largest > 0.0, "all values of the direct run are 0");
    // The graph of the net may be another one beside another runtime.
    ensure!(
        !same || difference <= largest * TOLERANCE,
        "results differ by {difference}, of {largest}"
    );
    Ok(())
}

/// Numbers around 0, the same on every machine.
fn values(count: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_the_mean_of_its_calls_without_the_first() -> Result<()> {
        let mut calls = 0;
        let mut run = || {
            calls += 1;
            Ok(())
        };
        let time = turn(10, &mut run)?;
        assert!(time.is_finite() && time >= 0.0);
        assert_eq!(calls, 11);
        Ok(())
    }

    #[test]
    fn values_are_the_same_each_time_and_within_one() {
        let some = values(1000);
        assert_eq!(some, values(1000));
        assert!(some.iter().all(|v| (-1.0..=1.0).contains(v)));
        assert!(some.iter().any(|v| *v > 0.5) && some.iter().any(|v| *v < -0.5));
    }
}
