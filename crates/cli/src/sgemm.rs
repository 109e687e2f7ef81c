//! `vaccel sgemm`: a matrix product, checked.

use crate::connect;
use crate::options::{Options, Sgemm};
use anyhow::{Result, bail};
use std::time::Instant;

/// Largest relative error that summing in another order explains.
const TOLERANCE: f32 = 1e-4;

pub(crate) fn run(options: &Options, sgemm: &Sgemm) -> Result<()> {
    let session = connect::session_with(options, "blas")?;
    let (m, n, k) = (sgemm.m as usize, sgemm.n as usize, sgemm.k as usize);
    let mut seed = 1;
    let a = random(m * k, &mut seed);
    let b = random(k * n, &mut seed);
    let mut c = vec![0.0; m * n];
    let sizes = vaccel::Sgemm::new(m, n, k);
    let mut times = Vec::new();
    for _ in 0..sgemm.repeat {
        let begin = Instant::now();
        session.sgemm(&sizes, &a, &b, &mut c)?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    let error = check(&a, &b, &c, n, k);
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    let gflops = 2.0 * m as f64 * n as f64 * k as f64 / (median * 1e6);
    if sgemm.json {
        println!(
            "{}",
            serde_json::json!({"m": m, "n": n, "k": k, "ms": median, "gflops": gflops, "max_relative_error": error})
        );
    } else {
        println!("{m} x {k} by {k} x {n}: {median:.3} ms, {gflops:.1} GFLOP/s, error {error:.1e}");
    }
    if error > TOLERANCE {
        bail!(
            "the product is wrong: relative error {error:.2e}; the plugin may be one without arithmetic (noop)"
        );
    }
    Ok(())
}

/// Numbers between -1 and 1, the same in every run.
fn random(count: usize, seed: &mut u32) -> Vec<f32> {
    (0..count)
        .map(|_| {
            // Xorshift (Marsaglia 2003), the 32-bit generator.
            *seed ^= *seed << 13;
            *seed ^= *seed >> 17;
            *seed ^= *seed << 5;
            *seed as f32 / u32::MAX as f32 * 2.0 - 1.0
        })
        .collect()
}

/// Largest error of some elements against sums in double precision, relative to
/// the sum of absolute products.
fn check(a: &[f32], b: &[f32], c: &[f32], n: usize, k: usize) -> f32 {
    let step = (c.len() / 1000).max(1);
    (0..c.len())
        .step_by(step)
        .map(|at| {
            let (row, column) = (at / n, at % n);
            let (mut sum, mut scale) = (0.0_f64, f64::MIN_POSITIVE);
            for i in 0..k {
                let product = f64::from(a[row * k + i]) * f64::from(b[i * n + column]);
                sum += product;
                scale += product.abs();
            }
            ((f64::from(c[at]) - sum).abs() / scale) as f32
        })
        .fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_product_has_no_error_and_a_wrong_one_has() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]);
        assert!(check(&a, &b, &[19.0, 22.0, 43.0, 50.0], 2, 2) < 1e-6);
        assert!(check(&a, &b, &[19.0, 22.0, 43.0, 51.0], 2, 2) > 1e-3);
    }
}
