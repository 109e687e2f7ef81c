//! What a plugin exports, and how it starts and ends.
#![allow(clippy::unwrap_used)]

use std::ffi::CStr;
use std::sync::Mutex;
use vaccel_plugin::abi::op::NoopFn;
use vaccel_plugin::testing::{Loaded, TestSession, built_example};
use vaccel_plugin::{Op, code};

/// The tests share one library in memory, and start and end it.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn load() -> Loaded {
    Loaded::open(&built_example("misbehaves"))
}

fn noop(plugin: &Loaded, id: i64) -> i32 {
    let f: NoopFn = plugin.op(Op::Noop);
    let session = TestSession::new(id);
    // SAFETY: a live session.
    unsafe { f(session.as_ptr()) }
}

#[test]
fn the_table_says_who_the_plugin_is_and_is_filled_by_init() {
    let _guard = ONE_AT_A_TIME.lock();
    let plugin = load();
    assert_eq!(plugin.name(), "misbehaves");
    let info = plugin.info();
    // SAFETY: static C strings.
    let (version, library) = unsafe {
        (
            CStr::from_ptr(info.version),
            CStr::from_ptr(info.vaccel_version),
        )
    };
    assert_eq!(version.to_str().unwrap(), env!("CARGO_PKG_VERSION"));
    assert!(library.to_str().unwrap().starts_with("0."));
    assert!(!info.is_virtio);
    assert!(Op::ALL.iter().all(|op| !plugin.offers(*op)));
    assert_eq!(plugin.init(), 0);
    assert!(Op::ALL.iter().all(|op| plugin.offers(*op)));
    assert!(plugin.ext().model_run.is_some());
    assert_eq!(plugin.ext().size, size_of_val(plugin.ext()));
}

#[test]
fn a_plugin_can_end_and_start_again_and_refuses_calls_between() {
    let _guard = ONE_AT_A_TIME.lock();
    let plugin = load();
    assert_eq!(plugin.init(), 0);
    assert_eq!(noop(&plugin, 9), 0);
    assert_eq!(plugin.fini(), 0);
    assert_eq!(noop(&plugin, 9), code::ENODEV);
    assert_eq!(plugin.fini(), 0);
    assert_eq!(plugin.init(), 0);
    assert_eq!(noop(&plugin, 9), 0);
}

#[test]
fn an_init_that_fails_or_panics_is_a_code() {
    let _guard = ONE_AT_A_TIME.lock();
    let plugin = load();
    for (variable, expected) in [
        ("MISBEHAVES_FAIL", code::ENODEV),
        ("MISBEHAVES_PANIC", code::EFAULT),
    ] {
        // SAFETY: the tests of this file run one at a time, and nothing else
        // reads the environment meanwhile.
        unsafe { std::env::set_var(variable, "1") };
        assert_eq!(plugin.init(), expected);
        // SAFETY: as above.
        unsafe { std::env::remove_var(variable) };
        assert_eq!(plugin.fini(), 0);
    }
    assert_eq!(plugin.init(), 0);
}

#[test]
fn panics_and_odd_errors_become_codes_and_the_plugin_lives_on() {
    let _guard = ONE_AT_A_TIME.lock();
    let plugin = load();
    assert_eq!(plugin.init(), 0);
    for id in [1, 2, 3, 6] {
        assert_eq!(noop(&plugin, id), code::EFAULT, "session {id}");
    }
    assert_eq!(noop(&plugin, 4), code::EBUSY);
    assert_eq!(noop(&plugin, 5), code::EIO);
    assert_eq!(noop(&plugin, 9), 0);
    let f: NoopFn = plugin.op(Op::Noop);
    // SAFETY: null is what is tested.
    assert_eq!(unsafe { f(std::ptr::null_mut()) }, code::EINVAL);
    let mut text = std::ptr::null_mut();
    // SAFETY: a live place; describe panics in this plugin.
    unsafe {
        assert_eq!(plugin.ext().describe.unwrap()(&raw mut text), code::EFAULT);
        assert!(text.is_null());
        assert_eq!(
            plugin.ext().describe.unwrap()(std::ptr::null_mut()),
            code::EINVAL
        );
    }
}

#[test]
fn two_runtimes_share_the_plugin_and_the_last_one_ends_it() {
    let _guard = ONE_AT_A_TIME.lock();
    let (a, b) = (load(), load());
    assert_eq!((a.init(), b.init()), (0, 0));
    assert_eq!(a.fini(), 0);
    assert_eq!(noop(&b, 9), 0);
    assert_eq!(b.fini(), 0);
    assert_eq!(noop(&b, 9), code::ENODEV);
}
