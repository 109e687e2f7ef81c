//! Small operations allocate nothing once they run.
#![allow(clippy::unwrap_used)]

mod common;
use common::agent::Agent;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use vaccel_plugin::abi::op::{FpgaVectoraddFn, NoopFn, OP_FPGA_VECTORADD, OP_NOOP};
use vaccel_plugin::abi::plugin::vaccel_plugin as Plugin;
use vaccel_plugin::testing::TestSession;
// The plugin as part of this program, so that its memory can be counted.
use vaccel_rpc as _;

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: hands every request on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is going away has no counter any more.
        let _ = COUNT.try_with(|c| c.set(c.get() + 1));
        // SAFETY: same contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: same contract.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

unsafe extern "C" {
    #[link_name = "vaccel_plugin"]
    static PLUGIN: *mut Plugin;
}

#[test]
fn small_operations_allocate_nothing() {
    let agent = Agent::start();
    // SAFETY: this program has one test, and no other thread reads the
    // environment now.
    unsafe { std::env::set_var("VACCEL_RPC_ADDRESS", &agent.address) };
    // SAFETY: the plugin's tables are static, and filled by `init`.
    let (info, ops) = unsafe {
        let info = &*(*PLUGIN).info;
        assert_eq!(info.init.unwrap()(), 0);
        (info, &(*PLUGIN).ops)
    };
    let session = TestSession::new(1);
    // SAFETY: a live session.
    let opened = unsafe { info.session_init.unwrap()(session.as_ptr(), 0) };
    assert_eq!(opened, 0);
    // SAFETY: functions of these types, by the ABI.
    let (noop, vadd) = unsafe {
        let func = |op: u32| (*ops[op as usize]).func;
        (
            std::mem::transmute::<*mut libc::c_void, NoopFn>(func(OP_NOOP)),
            std::mem::transmute::<*mut libc::c_void, FpgaVectoraddFn>(func(OP_FPGA_VECTORADD)),
        )
    };
    let (mut a, mut sum) = ([1.5_f32; 64], [0.0_f32; 64]);
    let mut call = || {
        let (pa, ps) = (a.as_mut_ptr(), sum.as_mut_ptr());
        // SAFETY: a live session, arrays of that length.
        unsafe {
            assert_eq!(noop(session.as_ptr()), 0);
            assert_eq!(vadd(session.as_ptr(), pa, pa, ps, 64, 64), 0);
        }
    };
    (0..50).for_each(|_| call());
    let before = COUNT.get();
    (0..500).for_each(|_| call());
    assert_eq!(COUNT.get() - before, 0);
    assert_eq!(sum, [3.0; 64]);
    // SAFETY: a live session, closed once; then nothing is called any more.
    unsafe {
        assert_eq!(info.session_release.unwrap()(session.as_ptr()), 0);
        assert_eq!(info.fini.unwrap()(), 0);
    }
}
