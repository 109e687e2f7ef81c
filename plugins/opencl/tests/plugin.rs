//! The built library on a real device: PoCL's processor in continuous integration.
#![allow(clippy::unwrap_used)]

use std::ffi::{CString, c_int, c_void};
use std::sync::LazyLock;
use vaccel_plugin::abi::arg::{
    ARG_FLOAT32, ARG_FLOAT32_ARRAY, ARG_UINT64_ARRAY, ArgType, vaccel_arg,
};
use vaccel_plugin::abi::op::{
    ExecWithResourceFn, FpgaArraycopyFn, FpgaMmultFn, FpgaParallelFn, FpgaVectoraddFn, MinmaxFn,
    SgemmFn,
};
use vaccel_plugin::testing::{Loaded, TestResource, TestSession};
use vaccel_plugin::{Op, ResourceType, code};

static PLUGIN: LazyLock<Loaded> = LazyLock::new(|| Loaded::built("vaccel_opencl"));

/// True when there is a device; else says loudly that nothing is tested.
fn ready() -> bool {
    let about = PLUGIN.describe();
    if about["ready"] == true {
        return true;
    }
    assert!(
        about["remedy"]
            .as_str()
            .unwrap()
            .contains("apt-get install")
    );
    eprintln!("SKIPPED: {}: {}", about["missing"], about["remedy"]);
    assert!(
        std::env::var_os("VACCEL_TEST_ALL").is_none(),
        "VACCEL_TEST_ALL wants no test skipped"
    );
    false
}

/// Whole numbers, so that sums are exact in any order.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count)
        .map(|i| ((i * 7 + seed * 13 + i / 11) % 17) as f32 - 8.0)
        .collect()
}

#[test]
fn the_plugin_offers_what_it_says_and_names_its_devices() {
    assert_eq!(PLUGIN.name(), "opencl");
    for op in [Op::Sgemm, Op::FpgaMmult, Op::Minmax, Op::ExecWithResource] {
        assert!(PLUGIN.offers(op));
    }
    if ready() {
        let about = PLUGIN.describe();
        assert!(!about["devices"].as_array().unwrap().is_empty());
        assert!(about["runtime"].as_str().unwrap().contains("OpenCL"));
    }
}

#[test]
fn products_equal_their_definition_for_all_sizes_strides_and_factors() {
    if !ready() {
        return;
    }
    let sgemm: SgemmFn = PLUGIN.op(Op::Sgemm);
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

#[test]
fn vector_operations_give_what_they_say() {
    if !ready() {
        return;
    }
    let s = TestSession::new(2);
    let (copy, add): (FpgaArraycopyFn, FpgaVectoraddFn) =
        (PLUGIN.op(Op::FpgaArraycopy), PLUGIN.op(Op::FpgaVectoradd));
    let parallel: FpgaParallelFn = PLUGIN.op(Op::FpgaParallel);
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

#[test]
fn square_matrices_are_multiplied_and_others_refused() {
    if !ready() {
        return;
    }
    let mmult: FpgaMmultFn = PLUGIN.op(Op::FpgaMmult);
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

#[test]
fn minmax_finds_the_extremes_and_clips() {
    if !ready() {
        return;
    }
    let minmax: MinmaxFn = PLUGIN.op(Op::Minmax);
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

fn arg<T>(values: &mut [T], type_: ArgType) -> vaccel_arg {
    vaccel_arg {
        buf: values.as_mut_ptr().cast::<c_void>(),
        size: size_of_val(values),
        type_,
        custom_type_id: 0,
        owned: false,
    }
}

/// Calls a kernel `name` of `source` with the arguments of `saxpy`.
fn saxpy(id: i64, source: &str, name: &str, items: &mut [u64], y: &mut [f32]) -> c_int {
    let exec: ExecWithResourceFn = PLUGIN.op(Op::ExecWithResource);
    let (s, name) = (TestSession::new(id), CString::new(name).unwrap());
    let program = TestResource::from_memory(id, ResourceType::Library, "k.cl", source.as_bytes());
    let (mut factor, mut x) = ([2.5_f32], numbers(y.len(), 8));
    let mut read = [
        arg(items, ARG_UINT64_ARRAY),
        arg(&mut factor, ARG_FLOAT32),
        arg(&mut x, ARG_FLOAT32_ARRAY),
    ];
    let mut write = [arg(y, ARG_FLOAT32_ARRAY)];
    // SAFETY: live session, resource and arguments.
    unsafe {
        exec(
            s.as_ptr(),
            program.as_ptr(),
            name.as_ptr(),
            read.as_mut_ptr(),
            read.len(),
            write.as_mut_ptr(),
            write.len(),
        )
    }
}

const SAXPY: &str = "__kernel void saxpy(const float f, __global const float *x, __global float *y)
    { y[get_global_id(0)] += f * x[get_global_id(0)]; }
    __kernel void other(__global float *x) { x[0] = 1; }
    __kernel void wide(__global const float *f, const float x, __global float *y) { y[0] = x; }
    __kernel void by_value(const float f, __global const float *x, const float y) { }";

#[test]
fn a_kernel_of_the_caller_runs_on_its_arguments() {
    if !ready() {
        return;
    }
    for round in 0..3 {
        let mut y = numbers(100, 9);
        let wanted: Vec<f32> = y
            .iter()
            .zip(numbers(100, 8))
            .enumerate()
            .map(|(i, (y, x))| if i < 96 { y + 2.5 * x } else { *y })
            .collect();
        // Groups of eight, the last four elements left out.
        assert_eq!(
            saxpy(10 + round, SAXPY, "saxpy", &mut [96, 1, 8, 1], &mut y),
            0
        );
        assert_eq!(y, wanted);
    }
}

#[test]
fn wrong_programs_kernels_and_arguments_are_refused() {
    if !ready() {
        return;
    }
    let mut y = numbers(8, 9);
    let mut call =
        |source: &str, name: &str, items: &mut [u64]| saxpy(20, source, name, items, &mut y);
    assert_eq!(
        call("__kernel void saxpy(", "saxpy", &mut [8]),
        code::EINVAL
    );
    assert_eq!(call("\u{0}not a binary", "saxpy", &mut [8]), code::EINVAL);
    assert_eq!(call("", "saxpy", &mut [8]), code::EINVAL);
    assert_eq!(call(SAXPY, "missing", &mut [8]), code::EINVAL);
    assert_eq!(call(SAXPY, "other", &mut [8]), code::EINVAL);
    // An array of eight floats is no float.
    assert_eq!(call(SAXPY, "wide", &mut [8]), code::EINVAL);
    assert_eq!(call(SAXPY, "by_value", &mut [8]), code::EINVAL);
    assert_eq!(call(SAXPY, "saxpy", &mut [0]), code::EINVAL);
    assert_eq!(call(SAXPY, "saxpy", &mut [8, 1, 3, 1]), code::EINVAL);
    // And the right one still works.
    assert_eq!(call(SAXPY, "saxpy", &mut [8]), 0);
}

#[test]
fn threads_share_the_device() {
    if !ready() {
        return;
    }
    std::thread::scope(|scope| {
        for t in 0..8_i64 {
            scope.spawn(move || {
                for _ in 0..20 {
                    let mut y = vec![t as f32; 64];
                    assert_eq!(saxpy(100 + t, SAXPY, "saxpy", &mut [64], &mut y), 0);
                    let x = numbers(64, 8);
                    assert!(y.iter().zip(x).all(|(y, x)| *y == t as f32 + 2.5 * x));
                }
            });
        }
    });
}
