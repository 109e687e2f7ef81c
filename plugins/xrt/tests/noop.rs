//! The built library on XRT's own device that computes nothing: opening, buffers, xclbins,
//! kernels and runs are real, results are what was there before.
#![allow(clippy::unwrap_used)]

mod support;

use std::ffi::{CString, c_int, c_void};
use std::sync::LazyLock;
use support::{Kernel, Parameter, xclbin};
use vaccel_plugin::abi::arg::{
    ARG_BUFFER, ARG_FLOAT32, ARG_FLOAT32_ARRAY, ARG_INT64, ARG_UINT32, ArgType, vaccel_arg,
};
use vaccel_plugin::abi::op::{
    ExecWithResourceFn, FpgaArraycopyFn, FpgaMmultFn, FpgaParallelFn, FpgaVectoraddFn,
};
use vaccel_plugin::testing::{Loaded, Missing, TestResource, TestSession};
use vaccel_plugin::{Op, ResourceType, code};

/// The plugin on that device, with kernels of the operations in the file of the settings.
static PLUGIN: LazyLock<Loaded> = LazyLock::new(|| {
    let file = std::env::temp_dir().join(format!("vaccel-xrt-{}.xclbin", std::process::id()));
    std::fs::write(&file, xclbin(1, &kernels())).unwrap();
    // SAFETY: nothing else of this process reads the environment meanwhile: every test
    // begins here.
    unsafe {
        std::env::set_var("XCL_EMULATION_MODE", "noop");
        std::env::set_var("VACCEL_XRT_XCLBIN", &file);
        std::env::set_var("VACCEL_XRT_MMULT", "mmult:{mmult_1}(a, b, c, n:u64, 7)");
        std::env::set_var("VACCEL_XRT_PARALLEL", "no_such_kernel(a, b, add, mult, n)");
    }
    Loaded::built("vaccel_xrt")
});

fn kernels() -> Vec<Kernel> {
    use Parameter::{Memory, Number};
    let word = || Number(4, "unsigned int");
    vec![
        Kernel {
            name: "vadd",
            parameters: vec![Memory, Memory, Memory, word()],
        },
        Kernel {
            name: "mmult",
            parameters: vec![Memory, Memory, Memory, Number(8, "unsigned long"), word()],
        },
        Kernel {
            name: "arraycopy",
            parameters: vec![Memory, Memory, word()],
        },
    ]
}

/// True when XRT is there.
fn ready() -> bool {
    PLUGIN.is_ready(Missing::FailsWhereAllIsTested)
}

#[test]
fn the_device_is_described_as_what_it_is() {
    if !ready() {
        return;
    }
    let about = PLUGIN.describe();
    let device = about["devices"][0]["name"].as_str().unwrap();
    assert!(device.contains("computes nothing"), "{device}");
    assert!(
        about["runtime"].as_str().unwrap().contains("XRT 2."),
        "{about}"
    );
}

#[test]
fn operations_run_their_kernels_and_bring_back_what_the_device_has() {
    if !ready() {
        return;
    }
    let s = TestSession::new(1);
    let (add, mmult): (FpgaVectoraddFn, FpgaMmultFn) =
        (PLUGIN.op(Op::FpgaVectoradd), PLUGIN.op(Op::FpgaMmult));
    let copy: FpgaArraycopyFn = PLUGIN.op(Op::FpgaArraycopy);
    for n in [1_usize, 9, 1000, 65_536 * 4] {
        let (mut a, mut b) = (vec![1.0_f32; n], vec![2.0_f32; n]);
        // Nothing is computed: what was there comes back from the device.
        let mut c: Vec<f32> = (0..n).map(|i| i as f32).collect();
        let (mut from, mut to) = (vec![5; n], vec![7; n]);
        // SAFETY: live arrays of `n` each.
        unsafe {
            let (a, b) = (a.as_mut_ptr(), b.as_mut_ptr());
            assert_eq!(add(s.as_ptr(), a, b, c.as_mut_ptr(), n, n), 0);
            assert_eq!(copy(s.as_ptr(), from.as_mut_ptr(), to.as_mut_ptr(), n), 0);
            let square = n.isqrt() * n.isqrt() == n;
            let code = mmult(s.as_ptr(), a, b, c.as_mut_ptr(), n);
            assert_eq!(code, if square { 0 } else { code::EINVAL }, "{n}");
        }
        assert!(c.iter().enumerate().all(|(i, &x)| x == i as f32), "{n}");
        assert!(to.iter().all(|&x| x == 7));
    }
}

#[test]
fn a_kernel_that_the_file_does_not_have_is_named_and_others_run_on() {
    if !ready() {
        return;
    }
    let s = TestSession::new(2);
    let parallel: FpgaParallelFn = PLUGIN.op(Op::FpgaParallel);
    let add: FpgaVectoraddFn = PLUGIN.op(Op::FpgaVectoradd);
    let mut x = [[1.0_f32; 4]; 4];
    let [a, b, c, d] = &mut x;
    let (a, b) = (a.as_mut_ptr(), b.as_mut_ptr());
    // SAFETY: live arrays of four.
    unsafe {
        let code = parallel(s.as_ptr(), a, b, c.as_mut_ptr(), d.as_mut_ptr(), 4);
        assert_eq!(code, code::EINVAL);
        assert_eq!(add(s.as_ptr(), a, b, c.as_mut_ptr(), 4, 4), 0);
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

/// Runs a kernel of an xclbin of the caller's.
fn exec(program: &[u8], name: &str, read: &mut [vaccel_arg], write: &mut [vaccel_arg]) -> c_int {
    let exec: ExecWithResourceFn = PLUGIN.op(Op::ExecWithResource);
    let (s, name) = (TestSession::new(3), CString::new(name).unwrap());
    let program = TestResource::from_memory(3, ResourceType::Library, "k.xclbin", program);
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

/// An xclbin of the caller's: memory, a float, a long, a word, memory.
fn callers() -> Vec<u8> {
    use Parameter::{Memory, Number};
    let parameters = vec![
        Memory,
        Number(4, "float"),
        Number(8, "long"),
        Number(4, "unsigned int"),
        Memory,
    ];
    xclbin(
        2,
        &[Kernel {
            name: "own",
            parameters,
        }],
    )
}

#[test]
fn kernels_of_the_caller_take_numbers_and_memory_in_order() {
    if !ready() {
        return;
    }
    let program = callers();
    for round in 0..3 {
        let (mut x, mut factor, mut long, mut word) = ([1.0_f32; 33], [0.5_f32], [-1_i64], [9_u32]);
        let mut y = [round as f32; 77];
        let mut read = [
            arg(&mut x, ARG_FLOAT32_ARRAY),
            arg(&mut factor, ARG_FLOAT32),
            arg(&mut long, ARG_INT64),
            arg(&mut word, ARG_UINT32),
        ];
        let mut write = [arg(&mut y, ARG_FLOAT32_ARRAY)];
        assert_eq!(exec(&program, "own", &mut read, &mut write), 0);
        assert_eq!(y, [round as f32; 77]);
    }
}

#[test]
fn wrong_programs_kernels_and_arguments_are_refused_and_the_next_call_works() {
    if !ready() {
        return;
    }
    let program = callers();
    let (mut x, mut y) = ([1.0_f32; 8], [2.0_f32; 8]);
    let mut one = [arg(&mut x, ARG_BUFFER)];
    let mut out = [arg(&mut y, ARG_BUFFER)];
    let mut call = |program: &[u8], name: &str| exec(program, name, &mut one, &mut out);
    assert_eq!(call(b"", "own"), code::EINVAL);
    assert_eq!(call(b"xclbin2\0", "own"), code::EINVAL);
    assert_eq!(call(&program[..program.len() - 1], "own"), code::EINVAL);
    assert_eq!(call(&program, "missing"), code::EINVAL);
    // Memory, where the kernel wants a number.
    assert_eq!(call(&program, "own"), code::EINVAL);
    let nothing = &mut [arg::<u8>(&mut [], ARG_BUFFER)];
    assert_eq!(exec(&program, "own", nothing, &mut []), code::EINVAL);
    // A head in order, and then anything: XRT may say so, throw or crash, or see nothing
    // wrong. What counts is that this process lives, and that the next call works.
    for seed in 0..60_usize {
        let mut broken = program.clone();
        for i in 0..24 {
            let at = 432 + (seed * 7919 + i * 104_729) % (broken.len() - 432);
            broken[at] = broken[at].wrapping_add((seed + i * 31) as u8 | 1);
        }
        // Another UUID, or it would be taken for the one that is loaded.
        broken[416..432].fill(seed as u8 + 100);
        call(&broken, "own");
    }
    let add: FpgaVectoraddFn = PLUGIN.op(Op::FpgaVectoradd);
    let (s, mut c) = (TestSession::new(4), [3.0_f32; 8]);
    let (a, b) = (x.as_mut_ptr(), y.as_mut_ptr());
    // SAFETY: live arrays of eight.
    let code = unsafe { add(s.as_ptr(), a, b, c.as_mut_ptr(), 8, 8) };
    assert_eq!((code, c), (0, [3.0; 8]));
}

#[test]
fn threads_share_the_device() {
    if !ready() {
        return;
    }
    std::thread::scope(|scope| {
        for t in 0..4_i64 {
            scope.spawn(move || {
                let s = TestSession::new(100 + t);
                let copy: FpgaArraycopyFn = PLUGIN.op(Op::FpgaArraycopy);
                for _ in 0..20 {
                    let (mut from, mut to) = ([0; 50], [t as c_int; 50]);
                    // SAFETY: live arrays of 50.
                    let code = unsafe { copy(s.as_ptr(), from.as_mut_ptr(), to.as_mut_ptr(), 50) };
                    assert_eq!((code, to), (0, [t as c_int; 50]));
                }
            });
        }
    });
}
