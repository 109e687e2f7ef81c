//! Checks of operations on numbers, for every plugin that offers them: what comes out is
//! compared with what the operation is defined to give.
//!
//! They panic where it is not that.

use std::ffi::c_int;

use super::{Loaded, TestSession};
use crate::code;
use crate::op::Op;
use vaccel_abi::op::{
    FpgaArraycopyFn, FpgaMmultFn, FpgaParallelFn, FpgaVectoraddFn, MinmaxFn, SgemmFn,
};

/// Whole numbers, so that sums are exact in any order; others for every seed.
#[must_use]
pub fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count)
        .map(|i| ((i * 7 + seed * 13 + i / 11) % 17) as f32 - 8.0)
        .collect()
}

/// [`Op::Sgemm`] over sizes, strides and factors. What is not read is NaN, and what lies between
/// rows has to stay.
pub fn check_sgemm(plugin: &Loaded) {
    let sgemm: SgemmFn = plugin.op(Op::Sgemm);
    let s = TestSession::new(1);
    let sizes = [
        (1, 1, 1),
        (3, 5, 7),
        (64, 64, 64),
        (65, 63, 17),
        (1, 130, 33),
        (129, 1, 64),
        (4, 4, 0),
    ];
    for (m, n, k) in sizes {
        for (pad, alpha, beta) in [
            (0, 1.0, 0.0),
            (3, 0.5, 2.0),
            (1, -1.0, 1.0),
            (2, 0.0, 0.5),
            (5, 2.0, 0.0),
        ] {
            let (lda, ldb, ldc) = ((k + pad).max(1), n + pad, n + pad);
            let (mut a, mut b) = (numbers(m * lda, 1), numbers((k * ldb).max(1), 2));
            let mut c = numbers(m * ldc, 3);
            if beta == 0.0 {
                c.fill(f32::NAN);
            }
            if alpha == 0.0 {
                a.fill(f32::NAN);
            }
            let old = c.clone();
            let what = format!("{m} {n} {k}, {pad}, {alpha}, {beta}");
            // SAFETY: live matrices of these sizes.
            let code = unsafe {
                sgemm(
                    s.as_ptr(),
                    m as i64,
                    n as i64,
                    k as i64,
                    alpha,
                    a.as_mut_ptr(),
                    lda as i64,
                    b.as_mut_ptr(),
                    ldb as i64,
                    beta,
                    c.as_mut_ptr(),
                    ldc as i64,
                )
            };
            assert_eq!(code, 0, "{what}");
            for at in 0..(m - 1) * ldc + n {
                let (i, j) = (at / ldc, at % ldc);
                if j >= n {
                    assert_eq!(c[at].to_bits(), old[at].to_bits(), "{what}: between rows");
                    continue;
                }
                let product: f32 = (0..k).map(|l| a[i * lda + l] * b[l * ldb + j]).sum();
                let mut wanted = if alpha == 0.0 { 0.0 } else { alpha * product };
                if beta != 0.0 {
                    wanted += beta * old[at];
                }
                assert!((c[at] - wanted).abs() < 1e-3, "{what}: {} {wanted}", c[at]);
            }
        }
    }
}

/// [`Op::FpgaArraycopy`], [`Op::FpgaVectoradd`] and [`Op::FpgaParallel`], to 65 537 elements.
pub fn check_vectors(plugin: &Loaded) {
    let s = TestSession::new(2);
    let (copy, add): (FpgaArraycopyFn, FpgaVectoraddFn) =
        (plugin.op(Op::FpgaArraycopy), plugin.op(Op::FpgaVectoradd));
    let parallel: FpgaParallelFn = plugin.op(Op::FpgaParallel);
    for n in [1_usize, 7, 1000, 65_537] {
        let (mut a, mut b) = (numbers(n, 4), numbers(n, 5));
        let (mut x, mut y) = (vec![0.0_f32; n], vec![0.0_f32; n]);
        let mut from: Vec<c_int> = (0..n as c_int).map(|i| i * 31 - 5).collect();
        let mut to = vec![0; n];
        // SAFETY: live arrays of `n` each.
        unsafe {
            assert_eq!(copy(s.as_ptr(), from.as_mut_ptr(), to.as_mut_ptr(), n), 0);
            let (a, b) = (a.as_mut_ptr(), b.as_mut_ptr());
            assert_eq!(add(s.as_ptr(), a, b, x.as_mut_ptr(), n, n), 0);
        }
        assert_eq!(from, to);
        let wanted: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
        assert_eq!(x, wanted);
        x.fill(0.0);
        // SAFETY: live arrays of `n` each.
        let code = unsafe {
            let (a, b) = (a.as_mut_ptr(), b.as_mut_ptr());
            parallel(s.as_ptr(), a, b, x.as_mut_ptr(), y.as_mut_ptr(), n)
        };
        assert_eq!(code, 0);
        assert_eq!(x, wanted);
        let wanted: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a * b).collect();
        assert_eq!(y, wanted);
    }
}

/// [`Op::FpgaMmult`] to 100 x 100; ten elements are no matrix.
pub fn check_mmult(plugin: &Loaded) {
    let mmult: FpgaMmultFn = plugin.op(Op::FpgaMmult);
    let s = TestSession::new(3);
    let product = |n: usize, elements: usize| {
        let (mut a, mut b, mut c) = (
            numbers(elements, 6),
            numbers(elements, 7),
            vec![0.0; elements],
        );
        // SAFETY: live arrays of that many.
        let code = unsafe {
            mmult(
                s.as_ptr(),
                a.as_mut_ptr(),
                b.as_mut_ptr(),
                c.as_mut_ptr(),
                elements,
            )
        };
        let right = (0..elements.min(n * n)).all(|at| {
            let sum: f32 = (0..n).map(|l| a[at / n * n + l] * b[l * n + at % n]).sum();
            c[at] == sum
        });
        (code, right)
    };
    for n in [1, 2, 16, 50, 100] {
        assert_eq!(product(n, n * n), (0, true), "{n}");
    }
    assert_eq!(product(3, 10).0, code::EINVAL);
}

/// [`Op::Minmax`] with negative numbers, many of them, and thresholds the wrong way round.
pub fn check_minmax(plugin: &Loaded) {
    let minmax: MinmaxFn = plugin.op(Op::Minmax);
    let s = TestSession::new(4);
    let call = |input: &[f64], low, high| {
        let mut clipped = vec![0.0; input.len()];
        let (mut min, mut max) = (0.0, 0.0);
        // SAFETY: live arrays of that many.
        let code = unsafe {
            minmax(
                s.as_ptr(),
                input.as_ptr(),
                input.len() as c_int,
                low,
                high,
                clipped.as_mut_ptr(),
                &raw mut min,
                &raw mut max,
            )
        };
        (code, min, max, clipped)
    };
    let (code, min, max, clipped) = call(&[3.0, -7.5, 12.0, 0.5], -5, 5);
    assert_eq!((code, min, max), (0, -7.5, 12.0));
    assert_eq!(clipped, [3.0, -5.0, 5.0, 0.5]);
    let many: Vec<f64> = (0..100_000)
        .map(|i| f64::from((i * 7919) % 100_003))
        .collect();
    let (code, min, max, clipped) = call(&many, 10, 90_000);
    let least = many.iter().copied().fold(f64::INFINITY, f64::min);
    let most = many.iter().copied().fold(0.0, f64::max);
    assert_eq!((code, min, max), (0, least, most));
    assert!(
        clipped
            .iter()
            .zip(&many)
            .all(|(c, x)| *c == x.clamp(10.0, 90_000.0))
    );
    assert_eq!(call(&[1.0], 5, -5).0, code::EINVAL);
}
