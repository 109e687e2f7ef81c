//! What the Rust API costs: nanoseconds of a call of noop through its wrapper,
//! over a call of a C function that does nothing.
//!
//! `cargo bench -p vaccel-plugin-noop`
#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::time::Instant;
use vaccel_plugin::Op;
use vaccel_plugin::abi::op::{ImageFn, NoopFn};
use vaccel_plugin::abi::session::vaccel_session;
use vaccel_plugin::testing::{Loaded, TestSession};

unsafe extern "C" fn nothing(session: *mut vaccel_session) -> i32 {
    i32::from(black_box(session).is_null())
}

const CALLS: u32 = 200_000;
const ROUNDS: usize = 101;

/// Nanoseconds of a call in the fastest round: what others do on the machine
/// only ever adds.
fn measure(mut call: impl FnMut() -> i32) -> f64 {
    (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..CALLS {
                assert_eq!(black_box(call()), 0);
            }
            start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
        })
        .fold(f64::INFINITY, f64::min)
}

fn main() {
    let plugin = Loaded::built("vaccel_noop");
    let session = TestSession::new(1);
    let s = session.as_ptr();
    let raw: NoopFn = black_box(nothing as NoopFn);
    let wrapped: NoopFn = black_box(plugin.op(Op::Noop));
    let detect: ImageFn = black_box(plugin.op(Op::ImageDetect));
    let mut out = [0_u8; 64];
    // SAFETY: a live session, an image of three bytes, a buffer of 64.
    let (raw, wrapped, detect) = unsafe {
        (
            measure(|| raw(s)),
            measure(|| wrapped(s)),
            measure(|| detect(s, c"jpg".as_ptr().cast(), out.as_mut_ptr(), 3, 64)),
        )
    };
    println!("C function        {raw:6.2} ns");
    println!(
        "noop, wrapped     {wrapped:6.2} ns  ({:+.2} ns)",
        wrapped - raw
    );
    println!("detect, wrapped   {detect:6.2} ns  (checks, one allocation, a text)");
}
