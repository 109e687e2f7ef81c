//! SGEMM through the plugin's C interface, beside the most that the processor's
//! multiply-adds can do, measured in the same run on as many threads.
//!
//! `cargo bench -p vaccel-plugin-blas [-- --json FILE]`; `VACCEL_BLAS` chooses the
//! library. Exit code 1 when a product of 1024 or more is below 90 % of the peak.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::time::Instant;
use vaccel_plugin::Op;
use vaccel_plugin::abi::op::SgemmFn;
use vaccel_plugin::testing::{Loaded, TestSession};

/// Share of the peak that large products must reach.
const WANTED: f64 = 0.9;
const LARGE: usize = 1024;

fn main() {
    let threads: usize = match std::env::var("VACCEL_BLAS_THREADS") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => std::thread::available_parallelism().unwrap().get(),
    };
    let plugin = Loaded::built("vaccel_blas");
    let engine = plugin.describe()["runtime"].as_str().unwrap().to_owned();
    let session = TestSession::new(1);
    let sgemm: SgemmFn = plugin.op(Op::Sgemm);
    let (mut lines, mut missed) = (Vec::new(), 0);
    for size in [64_usize, 128, 256, 512, 1024, 2048] {
        let mut a: Vec<f32> = (0..size * size).map(|i| (i % 13) as f32 - 6.0).collect();
        let mut b: Vec<f32> = (0..size * size).map(|i| (i % 7) as f32 - 3.0).collect();
        let mut c = vec![0.0_f32; size * size];
        let n = size as i64;
        let mut product = || {
            let (a, b, c) = (a.as_mut_ptr(), b.as_mut_ptr(), c.as_mut_ptr());
            // SAFETY: live matrices of `size` x `size`.
            let code = unsafe { sgemm(session.as_ptr(), n, n, n, 1.0, a, n, b, n, 0.0, c, n) };
            assert_eq!(code, 0);
        };
        // What the machine can do changes with its temperature and its other guests:
        // both are measured in turns, and the best of each counts.
        let (mut best, mut peak) = (f64::INFINITY, 0.0_f64);
        let calls = (1 << 28) / (size * size * size).max(1 << 15) + 1;
        for _ in 0..7 {
            peak = peak.max(measured_peak(threads));
            product();
            let begin = Instant::now();
            for _ in 0..calls {
                product();
            }
            best = best.min(begin.elapsed().as_secs_f64() / calls as f64);
        }
        let rate = 2.0 * (size as f64).powi(3) / best / 1e9;
        let share = rate / peak;
        let ok = size < LARGE || share >= WANTED;
        missed += usize::from(!ok);
        println!(
            "sgemm {size:>4}, {engine}, {threads} threads: {rate:>7.1} GFLOP/s of {peak:.1}, {:>5.1} %{}",
            share * 100.0,
            if ok { "" } else { "  MISSED" }
        );
        lines.push(serde_json::json!({
            "name": format!("sgemm {size}, {engine}, {threads} threads"),
            "value": rate,
            "unit": "GFLOP/s",
            "floor": peak,
            "ratio": share,
            "target": (size >= LARGE).then(|| format!(">= {WANTED} x floor")),
            "ok": ok,
        }));
    }
    let mut arguments = std::env::args().skip_while(|a| a != "--json");
    if arguments.next().is_some() {
        let file = arguments.next().expect("--json needs the name of a file");
        std::fs::write(file, serde_json::to_string_pretty(&lines).unwrap()).unwrap();
    }
    std::process::exit(i32::from(missed > 0));
}

/// GFLOP/s of independent multiply-adds in registers on this many threads.
fn measured_peak(threads: usize) -> f64 {
    const ROUNDS: u64 = 3_000_000;
    let begin = Instant::now();
    let flops: u64 = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| multiply_adds(black_box(ROUNDS))))
            .collect();
        running.into_iter().map(|t| t.join().unwrap()).sum()
    });
    flops as f64 / begin.elapsed().as_secs_f64() / 1e9
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
