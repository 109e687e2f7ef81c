//! The time that is asked for is the time that is spent.
#![allow(clippy::unwrap_used)]

use std::ffi::CStr;
use std::ptr::null_mut;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use vaccel_plugin::abi::arg::{
    ARG_FLOAT32, ARG_INT32, ARG_INT64, ARG_STRING, ARG_UINT32, ARG_UINT64, ArgType, vaccel_arg,
};
use vaccel_plugin::abi::op::{ExecFn, ExecWithResourceFn, NoopFn};
use vaccel_plugin::testing::{Loaded, TestResource, TestSession};
use vaccel_plugin::{Op, ResourceType, code};

static PLUGIN: LazyLock<Loaded> = LazyLock::new(|| Loaded::built("vaccel_mbench"));

fn arg<T>(values: &mut [T], type_: ArgType) -> vaccel_arg {
    vaccel_arg {
        buf: values.as_mut_ptr().cast(),
        size: size_of_val(values),
        type_,
        custom_type_id: 0,
        owned: false,
    }
}

fn exec(library: &CStr, symbol: &CStr, read: &mut [vaccel_arg], write: &mut [vaccel_arg]) -> i32 {
    let f: ExecFn = PLUGIN.op(Op::Exec);
    let s = TestSession::new(1);
    // SAFETY: live session, strings and lists.
    unsafe {
        f(
            s.as_ptr(),
            library.as_ptr(),
            symbol.as_ptr(),
            read.as_mut_ptr(),
            read.len(),
            write.as_mut_ptr(),
            write.len(),
        )
    }
}

#[test]
fn a_call_takes_as_long_as_it_is_told_and_says_so() {
    let mut ns = [0_u64];
    let start = Instant::now();
    assert_eq!(
        exec(c"mbench", c"20", &mut [], &mut [arg(&mut ns, ARG_UINT64)]),
        0
    );
    let outside = start.elapsed();
    let inside = Duration::from_nanos(ns[0]);
    assert!(inside >= Duration::from_millis(20), "{inside:?}");
    assert!(outside >= inside, "{outside:?} {inside:?}");
}

#[test]
fn the_processor_is_busy_and_not_asleep() {
    let cpu = || {
        let mut t = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: a live place for the time.
        let code = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut t) };
        assert_eq!(code, 0);
        Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
    };
    let before = cpu();
    assert_eq!(exec(c"mbench", c"100", &mut [], &mut []), 0);
    // Others may use the processor meanwhile: part of the time is enough.
    assert!(cpu() - before >= Duration::from_millis(10));
}

#[test]
fn the_time_may_be_an_argument_of_any_integer_type_or_a_string() {
    let mut ns = [0_i64];
    let mut check = |read: vaccel_arg| {
        ns[0] = 0;
        let code = exec(c"mbench", c"", &mut [read], &mut [arg(&mut ns, ARG_INT64)]);
        assert!(code != 0 || ns[0] >= 2_000_000, "{}", ns[0]);
        code
    };
    assert_eq!(check(arg(&mut [2_i32], ARG_INT32)), 0);
    assert_eq!(check(arg(&mut [2_u32], ARG_UINT32)), 0);
    assert_eq!(check(arg(&mut [2_i64], ARG_INT64)), 0);
    assert_eq!(check(arg(&mut [2_u64], ARG_UINT64)), 0);
    assert_eq!(check(arg(&mut { *b"2\0" }, ARG_STRING)), 0);
    assert_eq!(check(arg(&mut [-2_i32], ARG_INT32)), code::EINVAL);
    assert_eq!(check(arg(&mut [60_001_u64], ARG_UINT64)), code::EINVAL);
    assert_eq!(check(arg(&mut [u64::MAX], ARG_UINT64)), code::EINVAL);
    assert_eq!(check(arg(&mut [2.0_f32], ARG_FLOAT32)), code::EINVAL);
    assert_eq!(check(arg(&mut [2_u8], ARG_INT32)), code::EINVAL);
    assert_eq!(check(arg(&mut { *b"2" }, ARG_STRING)), code::EINVAL);
}

#[test]
fn other_libraries_texts_and_results_are_refused_at_once() {
    let start = Instant::now();
    assert_eq!(exec(c"libm.so", c"20", &mut [], &mut []), code::EINVAL);
    for symbol in [
        c"",
        c"soon",
        c"-1",
        c"1.5",
        c"60001",
        c"99999999999999999999",
    ] {
        assert_eq!(exec(c"mbench", symbol, &mut [], &mut []), code::EINVAL);
    }
    let mut small = [0_u32];
    let mut write = [arg(&mut small, ARG_UINT32)];
    assert_eq!(exec(c"mbench", c"60000", &mut [], &mut write), code::EINVAL);
    let mut write = [arg(&mut small, ARG_UINT64)];
    assert_eq!(exec(c"mbench", c"60000", &mut [], &mut write), code::EINVAL);
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn noop_and_a_resource_work_too() {
    let s = TestSession::new(1);
    let r = TestResource::from_memory(1, ResourceType::Library, "x.so", b"x");
    let noop: NoopFn = PLUGIN.op(Op::Noop);
    let f: ExecWithResourceFn = PLUGIN.op(Op::ExecWithResource);
    // SAFETY: live session and resource.
    unsafe {
        assert_eq!(noop(s.as_ptr()), 0);
        let run = |symbol: &CStr| {
            f(
                s.as_ptr(),
                r.as_ptr(),
                symbol.as_ptr(),
                null_mut(),
                0,
                null_mut(),
                0,
            )
        };
        assert_eq!(run(c"1"), 0);
        assert_eq!(run(c"one"), code::EINVAL);
    }
}
