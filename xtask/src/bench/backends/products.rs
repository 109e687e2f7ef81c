//! Products of matrices through vaccel, beside the most that the processor can do.

use crate::bench::floor::peak;
use crate::bench::sample::median;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use vaccel::{Session, Sgemm};

/// Sides of the square matrices.
pub(super) const SIZES: [usize; 6] = [64, 128, 256, 512, 1024, 2048];
const ROUNDS: usize = 9;
/// Time for the threads of a library to fall asleep.
const REST: Duration = Duration::from_millis(100);
/// Multiply-adds of a round: a tenth of a second, of which the system may need some milliseconds to give
/// each thread that was asleep a processor of its own.
const WORK: usize = 1 << 34;

/// GFLOP/s of each size.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub(super) struct Rates {
    /// What multiplies.
    pub(super) engine: String,
    pub(super) threads: usize,
    /// In the order of [`SIZES`]: of the product, and of bare multiply-adds between its rounds.
    pub(super) rates: Vec<(f64, f64)>,
}

/// Measures all sizes; rounds of products and of bare multiply-adds take turns.
pub(super) fn measure(engine: &str) -> Result<Rates> {
    let threads = std::thread::available_parallelism()?.get();
    let session = Session::new()?;
    let mut rates = Vec::new();
    for size in SIZES {
        let a: Vec<f32> = (0..size * size).map(|i| (i % 13) as f32 - 6.0).collect();
        let b: Vec<f32> = (0..size * size).map(|i| (i % 7) as f32 - 3.0).collect();
        let mut c = vec![0.0_f32; size * size];
        let sizes = Sgemm::new(size, size, size);
        let calls = WORK / (size * size * size) + 1;
        let (mut reached, mut possible) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            // Threads of a library may look for more work for a while.
            std::thread::sleep(REST);
            possible.push(peak::gflops(threads));
            session.sgemm(&sizes, &a, &b, &mut c)?;
            let begin = Instant::now();
            for _ in 0..calls {
                session.sgemm(&sizes, &a, &b, &mut c)?;
            }
            let seconds = begin.elapsed().as_secs_f64() / calls as f64;
            reached.push(2.0 * (size as f64).powi(3) / seconds / 1e9);
        }
        rates.push((median(&mut reached), median(&mut possible)));
    }
    Ok(Rates {
        engine: engine.to_owned(),
        threads,
        rates,
    })
}
