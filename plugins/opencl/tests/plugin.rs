//! The built library on a real device: PoCL's processor in continuous integration.
#![allow(clippy::unwrap_used)]

use std::ffi::{CString, c_int, c_void};
use std::sync::LazyLock;
use vaccel_plugin::abi::arg::{
    ARG_FLOAT32, ARG_FLOAT32_ARRAY, ARG_UINT64_ARRAY, ArgType, vaccel_arg,
};
use vaccel_plugin::abi::op::ExecWithResourceFn;
use vaccel_plugin::testing::compute::{self, numbers};
use vaccel_plugin::testing::{Loaded, Missing, TestResource, TestSession};
use vaccel_plugin::{Op, ResourceType, code};

static PLUGIN: LazyLock<Loaded> = LazyLock::new(|| Loaded::built("vaccel_opencl"));

/// True when there is a device.
fn ready() -> bool {
    PLUGIN.is_ready(Missing::FailsWhereAllIsTested)
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
    if ready() {
        compute::check_sgemm(&PLUGIN);
    }
}

#[test]
fn vector_operations_give_what_they_say() {
    if ready() {
        compute::check_vectors(&PLUGIN);
    }
}

#[test]
fn square_matrices_are_multiplied_and_others_refused() {
    if ready() {
        compute::check_mmult(&PLUGIN);
    }
}

#[test]
fn minmax_finds_the_extremes_and_clips() {
    if ready() {
        compute::check_minmax(&PLUGIN);
    }
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
