//! How long the ways through the library take: medians in nanoseconds.
//!
//! Run with `cargo run --release -p vaccel-ffi --example dispatch_bench`.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../tests/common/mod.rs"]
mod common;

use common::*;
use std::ffi::CStr;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;
use vaccel_abi::arg::{ARG_FLOAT32_ARRAY, ARG_STRING};
use vaccel_abi::op::OP_EXEC;
use vaccel_abi::resource::{RESOURCE_DATA, vaccel_resource};
use vaccel_abi::session::vaccel_session;

/// Median over 101 rounds of `calls` calls each.
fn median(name: &str, calls: u32, mut call: impl FnMut()) {
    let mut rounds: Vec<f64> = (0..101)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..calls {
                call();
            }
            start.elapsed().as_nanos() as f64 / f64::from(calls)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("{name:<40} {:>10.1} ns", rounds[rounds.len() / 2]);
}

fn main() {
    start(&[&plugin("bench", &["-DBARE"])]);
    println!("plugin calls through {}", library().display());
    let mut sess = session(0);
    let p: *mut vaccel_session = &raw mut *sess;
    median("noop", 100_000, || {
        black_box(vaccel_noop(black_box(p)));
    });

    let mut other = garbage::<vaccel_session>();
    let other: *mut vaccel_session = &raw mut *other;
    median("session create and release", 1000, || {
        expect(0, vaccel_session_init(other, 0));
        expect(0, vaccel_session_release(other));
    });

    // SAFETY: the library is up, so this is a C string.
    let rundir = unsafe { CStr::from_ptr(vaccel_rundir()) };
    let folder = Path::new(rundir.to_str().unwrap()).join("x");
    median("  of which mkdir and rmdir", 1000, || {
        std::fs::create_dir(&folder).unwrap();
        std::fs::remove_dir(&folder).unwrap();
    });

    let data = vec![1u8; 1 << 20];
    let mut res = garbage::<vaccel_resource>();
    let res: *mut vaccel_resource = &raw mut *res;
    let make = || {
        let name = std::ptr::null();
        expect(
            0,
            vaccel_resource_init_from_buf(
                res,
                data.as_ptr().cast(),
                data.len(),
                RESOURCE_DATA,
                name,
                true,
            ),
        );
    };
    median("resource of 1 MiB: make and release", 10_000, || {
        make();
        expect(0, vaccel_resource_release(res));
    });
    make();
    median("resource: register and unregister", 10_000, || {
        expect(0, vaccel_resource_register(res, p));
        expect(0, vaccel_resource_unregister(res, p));
    });
    expect(0, vaccel_resource_release(res));
    median("resource of 1 MiB: all four", 10_000, || {
        make();
        expect(0, vaccel_resource_register(res, p));
        expect(0, vaccel_resource_unregister(res, p));
        expect(0, vaccel_resource_release(res));
    });

    let (mut library, mut function) = (*b"nothing\0", *b"function\0");
    let mut numbers = [[1f32; 16]; 13];
    let mut read = vec![
        arg(ARG_STRING, &mut library),
        arg(ARG_STRING, &mut function),
    ];
    read.extend(numbers.iter_mut().map(|n| arg(ARG_FLOAT32_ARRAY, n)));
    let mut code = 1u8;
    assert_eq!(OP_EXEC, u32::from(code));
    read.insert(0, arg(vaccel_abi::arg::ARG_UINT8, &mut code));
    assert_eq!(read.len(), 16);
    median("genop (exec) with 16 arguments", 10_000, || {
        let write = std::ptr::null_mut();
        expect(0, vaccel_genop(p, read.as_mut_ptr(), 16, write, 0));
    });
    expect(0, vaccel_session_release(p));
}
