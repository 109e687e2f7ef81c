//! The runtime with a plugin that is part of this program.
#![allow(missing_docs, clippy::unwrap_used)]

use std::ffi::{c_int, c_void};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use vaccel_abi::error as code;
use vaccel_abi::list::vaccel_list_entry;
use vaccel_abi::op::{OP_EXEC, OP_NOOP, vaccel_op};
use vaccel_abi::plugin::{
    PLUGIN_CPU, PLUGIN_GPU, PLUGIN_REMOTE, vaccel_plugin, vaccel_plugin_info,
};
use vaccel_abi::session::vaccel_session;
use vaccel_core::config::Config;
use vaccel_core::ptr::Ptr;
use vaccel_core::{describe, get, op, plugin, runtime, session};

unsafe extern "C" fn noop(_: *mut vaccel_session) -> c_int {
    code::OK
}

unsafe extern "C" fn nothing() -> c_int {
    code::OK
}

/// A plugin with one operation, made for good: plugins live in static memory.
fn make(name: &'static std::ffi::CStr, type_: u32) -> Ptr<vaccel_plugin> {
    let info = Box::leak(Box::new(vaccel_plugin_info {
        name: name.as_ptr(),
        version: c"1".as_ptr(),
        vaccel_version: c"0.8.0".as_ptr(),
        init: Some(nothing),
        fini: Some(nothing),
        is_virtio: type_ & PLUGIN_REMOTE != 0,
        type_,
        session_init: None,
        session_release: None,
        session_update: None,
        resource_register: None,
        resource_unregister: None,
        resource_sync: None,
    }));
    let link = vaccel_list_entry {
        next: std::ptr::null_mut(),
        prev: std::ptr::null_mut(),
    };
    let raw = Box::leak(Box::new(vaccel_plugin {
        dl_handle: std::ptr::null_mut(),
        entry: link,
        ops: [std::ptr::null_mut(); 24],
        info,
    }));
    // SAFETY: static memory.
    unsafe { Ptr::new(raw, "plugin") }.unwrap()
}

fn register(raw: Ptr<vaccel_plugin>) -> &'static plugin::Plugin {
    let plugin = plugin::register(raw, "(in this program)".into(), std::ptr::null_mut(), false);
    let plugin = plugin.unwrap();
    let ops = Box::leak(Box::new([vaccel_op {
        type_: OP_NOOP,
        func: noop as *mut c_void,
        owner: raw.as_ptr(),
    }]));
    // SAFETY: static memory.
    plugin::register_ops(unsafe { Ptr::new(ops.as_ptr(), "ops") }.unwrap(), 1).unwrap();
    plugin
}

/// The library is one for the whole process.
fn up() -> MutexGuard<'static, ()> {
    static ALONE: LazyLock<Mutex<()>> = LazyLock::new(Mutex::default);
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    runtime::cleanup();
    runtime::bootstrap_with(Config::default()).unwrap();
    guard
}

fn with_session(flags: u32, f: impl FnOnce(vaccel_core::Result, Ptr<vaccel_session>)) {
    let mut place = Box::<vaccel_session>::new_uninit();
    // SAFETY: `place` outlives the session.
    let sess = unsafe { Ptr::new(place.as_mut_ptr(), "sess") }.unwrap();
    let result = session::init(sess, flags);
    let opened = result.is_ok();
    f(result, sess);
    if opened {
        session::release(sess).unwrap();
    }
}

#[test]
fn flags_choose_the_plugin() {
    let _guard = up();
    with_session(0, |result, _| {
        let e = result.unwrap_err();
        assert_eq!(e.code(), code::ENOTSUP);
        assert!(e.message().contains("VACCEL_PLUGINS"), "{e}");
    });
    let cpu = register(make(c"cpu", PLUGIN_CPU));
    let gpu = register(make(c"gpu", PLUGIN_GPU));
    for (flags, wanted) in [
        (0, cpu),
        (PLUGIN_CPU, cpu),
        (PLUGIN_GPU, gpu),
        (1 << 12, cpu),
    ] {
        with_session(flags, |result, sess| {
            result.unwrap();
            assert_eq!(get!(sess.plugin), wanted.raw(), "{flags:#x}");
            op::noop(sess).unwrap();
        });
    }
    with_session(PLUGIN_REMOTE, |result, _| {
        assert!(result.unwrap_err().message().contains("transport"));
    });
}

#[test]
fn a_session_can_move_to_another_plugin() {
    let _guard = up();
    let cpu = register(make(c"cpu", PLUGIN_CPU));
    let gpu = register(make(c"gpu", PLUGIN_GPU));
    with_session(PLUGIN_CPU, |result, sess| {
        result.unwrap();
        session::update(sess, PLUGIN_GPU).unwrap();
        assert_eq!(get!(sess.plugin), gpu.raw());
        session::update(sess, PLUGIN_CPU).unwrap();
        assert_eq!(get!(sess.plugin), cpu.raw());
    });
}

#[test]
fn a_plugin_is_loaded_once_and_forgotten_at_the_end() {
    let _guard = up();
    let raw = make(c"once", PLUGIN_CPU);
    let loaded = register(raw);
    let again = plugin::register(raw, String::new(), std::ptr::null_mut(), false);
    assert_eq!(again.unwrap_err().code(), code::EEXIST);
    assert!(loaded.offers(OP_NOOP) && !loaded.offers(OP_EXEC));
    runtime::cleanup();
    assert!(!loaded.is_loaded() && !loaded.offers(OP_NOOP));
    // SAFETY: static memory.
    assert!(unsafe { (*raw.as_ptr()).ops[0].is_null() });
    assert_eq!(runtime::require_up().unwrap_err().code(), code::ESESS);
}

#[test]
fn malformed_plugins_are_refused() {
    let _guard = up();
    type Change = fn(&mut vaccel_plugin_info);
    let changes: [Change; 6] = [
        |info| info.name = std::ptr::null(),
        |info| info.version = std::ptr::null(),
        |info| info.init = None,
        |info| info.fini = None,
        |info| info.vaccel_version = std::ptr::null(),
        |info| info.vaccel_version = c"1.0.0".as_ptr(),
    ];
    for change in changes {
        let raw = make(c"bad", PLUGIN_CPU);
        // SAFETY: made from a leaked box just before, and not shared yet.
        change(unsafe { &mut *get!(raw.info).cast_mut() });
        let result = plugin::register(raw, String::new(), std::ptr::null_mut(), false);
        assert_eq!(result.unwrap_err().code(), code::EINVAL);
    }
    assert!(plugin::all().is_empty());
}

#[test]
fn the_description_names_the_plugins() {
    let _guard = up();
    register(make(c"told", PLUGIN_CPU | PLUGIN_GPU));
    let json = describe::describe();
    assert_eq!(json["initialized"], true);
    assert_eq!(json["plugins"][0]["name"], "told");
    assert_eq!(
        json["plugins"][0]["types"],
        serde_json::json!(["cpu", "gpu"])
    );
    assert_eq!(json["plugins"][0]["ops"], serde_json::json!(["noop"]));
}
