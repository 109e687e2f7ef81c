//! The blas plugin: matrix products on the processor, with nothing to install.
//!
//! The products are those of the crate `gemm`, which picks the widest vector
//! instructions the processor has and uses all processors for large matrices.

use std::ffi::CStr;
use vaccel_plugin::abi::plugin::{PLUGIN_CPU, PLUGIN_SOFTWARE, PluginType};
use vaccel_plugin::{
    Description, Device, Dtype, Op, Plugin, Result, Session, Sgemm, TensorOut, TorchSgemm, bail,
};

/// Products with fewer multiplications than this run on one thread: starting
/// others would take longer.
const PARALLEL_FROM: usize = 128 * 128 * 128;

struct Blas;

impl Plugin for Blas {
    const NAME: &'static CStr = c"blas";
    const VERSION: &'static CStr = vaccel_plugin::version!();
    const TYPES: PluginType = PLUGIN_CPU | PLUGIN_SOFTWARE;
    const OPS: &'static [Op] = &[Op::Noop, Op::Sgemm, Op::TorchSgemm];

    fn new() -> Result<Self> {
        Ok(Self)
    }

    fn describe(&self) -> Description {
        Description {
            runtime: Some("gemm 0.19".into()),
            devices: vec![Device {
                id: "cpu".into(),
                name: format!(
                    "{} processors",
                    std::thread::available_parallelism().map_or(1, usize::from)
                ),
                memory: None,
            }],
            ..Description::ready("Matrix products in f32 on the processor")
        }
    }

    fn noop(&self, _: &Session<'_>) -> Result<()> {
        Ok(())
    }

    fn sgemm(&self, _: &Session<'_>, call: Sgemm<'_>) -> Result<()> {
        multiply(call);
        Ok(())
    }

    fn torch_sgemm(
        &self,
        _: &Session<'_>,
        call: &TorchSgemm<'_>,
        out: &mut TensorOut<'_>,
    ) -> Result<()> {
        let (m, n, k) = (call.m, call.n, call.k);
        let a = operand("A", &call.a, m, k)?;
        let b = operand("B", &call.b, k, n)?;
        let shape = [extent(m)?, extent(n)?];
        let c = out.reserve_slice::<f32>(&shape)?;
        let beta = match &call.c {
            Some(old) => {
                c.copy_from_slice(operand("C", old, m, n)?);
                1.0
            }
            None => 0.0,
        };
        multiply(Sgemm {
            m,
            n,
            k,
            alpha: 1.0,
            a,
            lda: k.max(1),
            b,
            ldb: n.max(1),
            beta,
            c,
            ldc: n.max(1),
        });
        Ok(())
    }
}

/// The elements of an f32 operand with `rows` x `columns` of them.
fn operand<'a>(
    name: &str,
    tensor: &'a vaccel_plugin::TensorView<'_>,
    rows: usize,
    columns: usize,
) -> Result<&'a [f32]> {
    tensor.expect(Dtype::F32)?;
    let elements = tensor.as_slice::<f32>()?;
    if Some(elements.len()) != rows.checked_mul(columns) {
        bail!(
            EINVAL,
            "{name} has {} elements, not {rows} x {columns}",
            elements.len()
        );
    }
    Ok(elements)
}

fn extent(length: usize) -> Result<i64> {
    match i64::try_from(length) {
        Ok(length) => Ok(length),
        Err(_) => bail!(EINVAL, "{length} is too large for a dimension"),
    }
}

/// C = alpha A B + beta C, row-major.
fn multiply(call: Sgemm<'_>) {
    let Sgemm {
        m,
        n,
        k,
        alpha,
        a,
        lda,
        b,
        ldb,
        beta,
        c,
        ldc,
    } = call;
    if m == 0 || n == 0 {
        return;
    }
    // Every matrix lies within its slice: the strides below stay inside it.
    let last = |rows: usize, columns: usize, stride: usize| (rows - 1) * stride + columns;
    assert!(c.len() >= last(m, n, ldc), "C ends early");
    if k > 0 {
        assert!(a.len() >= last(m, k, lda), "A ends early");
        assert!(b.len() >= last(k, n, ldb), "B ends early");
    }
    let large = m.saturating_mul(n).saturating_mul(k) >= PARALLEL_FROM;
    let parallelism = if large {
        gemm::Parallelism::Rayon(0)
    } else {
        gemm::Parallelism::None
    };
    // SAFETY: the assertions above put every element the product reads and writes
    // inside its slice, and `c` is borrowed exclusively. Slices are at most
    // isize::MAX bytes, so the strides fit.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            ldc as isize,
            beta != 0.0,
            a.as_ptr(),
            1,
            lda as isize,
            b.as_ptr(),
            1,
            ldb as isize,
            beta,
            alpha,
            false,
            false,
            false,
            parallelism,
        );
    }
}

vaccel_plugin::export_plugin!(Blas);

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, in double precision.
    fn reference(s: &Sgemm<'_>) -> Vec<f32> {
        let mut c = s.c.to_vec();
        for i in 0..s.m {
            for j in 0..s.n {
                let sum: f64 = (0..s.k)
                    .map(|l| f64::from(s.a[i * s.lda + l]) * f64::from(s.b[l * s.ldb + j]))
                    .sum();
                let old = if s.beta == 0.0 {
                    0.0
                } else {
                    s.beta * c[i * s.ldc + j]
                };
                c[i * s.ldc + j] = (f64::from(s.alpha) * sum) as f32 + old;
            }
        }
        c
    }

    #[test]
    fn products_equal_their_definition_for_all_strides_and_factors() {
        let mut seed = 1_u32;
        let mut number = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        for (m, n, k) in [
            (1, 1, 1),
            (3, 5, 7),
            (17, 1, 9),
            (1, 33, 4),
            (64, 48, 80),
            (130, 140, 150),
            (4, 4, 0),
        ] {
            for (pad, alpha, beta) in [(0, 1.0, 0.0), (3, 0.5, 2.0), (1, -1.0, 1.0)] {
                let (lda, ldb, ldc) = (k + pad, n + pad, n + pad);
                let mut fill = |count: usize| (0..count).map(|_| number()).collect::<Vec<f32>>();
                let (a, b, mut c) = (fill(m * lda), fill(k * ldb), fill(m * ldc));
                if beta == 0.0 {
                    // What is not read may be anything.
                    c.fill(f32::NAN);
                }
                let call = Sgemm {
                    m,
                    n,
                    k,
                    alpha,
                    a: &a,
                    lda,
                    b: &b,
                    ldb,
                    beta,
                    c: &mut c,
                    ldc,
                };
                let expected = reference(&call);
                multiply(Sgemm {
                    c: &mut *call.c,
                    ..call
                });
                for i in 0..m {
                    for j in 0..n {
                        let (got, want) = (c[i * ldc + j], expected[i * ldc + j]);
                        assert!(
                            (got - want).abs() <= 1e-4 * (k as f32).max(1.0),
                            "{m} {n} {k}: {got} {want}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn what_lies_between_the_rows_of_c_stays() {
        let mut c = [9.0; 6];
        multiply(Sgemm {
            m: 2,
            n: 2,
            k: 1,
            alpha: 1.0,
            a: &[1.0, 2.0],
            lda: 1,
            b: &[3.0, 4.0],
            ldb: 2,
            beta: 0.0,
            c: &mut c,
            ldc: 3,
        });
        assert_eq!(c, [3.0, 4.0, 9.0, 6.0, 8.0, 9.0]);
    }
}
