//! The most that the processor's multiply-adds can do: what no product of matrices is faster than.

use crate::bench::sample::{bind, processors};
use std::hint::black_box;
use std::sync::Barrier;
use std::time::Instant;

const ROUNDS: u64 = 3_000_000;

/// GFLOP/s of independent multiply-adds in registers on this many threads, each on a processor of its
/// own: left to itself, the system may begin with all of them on one.
pub(crate) fn gflops(threads: usize) -> f64 {
    let begin = Barrier::new(threads);
    let processors = processors().unwrap_or_default();
    let work = |at: usize| {
        // Where that is not allowed it runs wherever it is put.
        let _ = processors.get(at).map(|one| bind(&[*one]));
        black_box(multiply_adds(black_box(ROUNDS / 10)));
        begin.wait();
        let begun = Instant::now();
        let flops = multiply_adds(black_box(ROUNDS));
        flops as f64 / begun.elapsed().as_secs_f64() / 1e9
    };
    std::thread::scope(|scope| {
        let work = &work;
        let running = (0..threads).map(|at| scope.spawn(move || work(at)));
        let running: Vec<_> = running.collect();
        // A thread that panicked has done nothing.
        running.into_iter().map(|t| t.join().unwrap_or(0.0)).sum()
    })
}

/// Does `rounds` rounds of multiply-adds; how many floating-point operations they were.
fn multiply_adds(rounds: u64) -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has it.
            return unsafe { x86::avx512(rounds) };
        }
        if std::arch::is_x86_feature_detected!("fma") {
            // SAFETY: the processor has it, and AVX with it.
            return unsafe { x86::fma(rounds) };
        }
    }
    // Elsewhere whatever the compiler makes of it: a floor that is too low is no proof,
    // and the figures say which machine they are of.
    let mut sums = [1.0_f32; 64];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = sum.mul_add(0.999_999, 1e-7);
        }
        black_box(&mut sums);
    }
    rounds * 128
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    /// Twelve chains: more than latency times width, fewer than the registers.
    const CHAINS: usize = 12;

    #[target_feature(enable = "avx512f")]
    pub(super) fn avx512(rounds: u64) -> u64 {
        let (x, y) = (
            _mm512_set1_ps(black_box(0.999)),
            _mm512_set1_ps(black_box(1e-3)),
        );
        let mut sums = [_mm512_set1_ps(1.0); CHAINS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, x, y);
            }
        }
        black_box(sums);
        rounds * CHAINS as u64 * 32
    }

    #[target_feature(enable = "avx,fma")]
    pub(super) fn fma(rounds: u64) -> u64 {
        let (x, y) = (
            _mm256_set1_ps(black_box(0.999)),
            _mm256_set1_ps(black_box(1e-3)),
        );
        let mut sums = [_mm256_set1_ps(1.0); CHAINS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, x, y);
            }
        }
        black_box(sums);
        rounds * CHAINS as u64 * 16
    }
}
