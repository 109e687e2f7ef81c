//! A small agent that really computes, and the plugin loaded against it.
#![allow(dead_code, clippy::unwrap_used)]

pub(crate) mod agent;
mod compute;
pub(crate) mod fixture;
pub(crate) mod liar;
pub(crate) mod process;

use std::ffi::{CStr, c_char};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use vaccel_plugin::abi::session::vaccel_session;
use vaccel_plugin::testing::{Loaded, TestResource, TestSession, built_library};

pub(crate) const SOON: Duration = Duration::from_secs(10);

static ENVIRONMENT: Mutex<()> = Mutex::new(());

thread_local! {
    static LAST_ERROR: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
}

/// The library's function: the plugin finds it among the program's symbols.
#[unsafe(no_mangle)]
extern "C" fn vaccel_error_set(text: *const c_char) {
    // SAFETY: the plugin passes a C string.
    let text = unsafe { CStr::from_ptr(text) }.to_str().unwrap().to_owned();
    LAST_ERROR.with(|cell| *cell.borrow_mut() = text);
}

/// What the plugin said last in this thread.
pub(crate) fn last_error() -> String {
    LAST_ERROR.with(|cell| cell.borrow().clone())
}

/// The plugin with a connection of its own: a copy of the library, because the
/// loader has only one of each file.
pub(crate) struct Rpc {
    pub(crate) plugin: Loaded,
    _folder: tempfile::TempDir,
}

impl Rpc {
    pub(crate) fn start(address: &str, more: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let copy: PathBuf = folder.path().join("libvaccel-rpc.so");
        std::fs::copy(built_library("vaccel_rpc"), &copy).unwrap();
        let plugin = Loaded::open(&copy);
        let _guard = ENVIRONMENT.lock().unwrap_or_else(|e| e.into_inner());
        let variables = [&[("VACCEL_RPC_ADDRESS", address)], more].concat();
        for (name, value) in &variables {
            // SAFETY: only this function changes the environment, under a lock.
            unsafe { std::env::set_var(name, value) };
        }
        assert_eq!(plugin.init(), 0);
        for (name, _) in &variables {
            // SAFETY: as above.
            unsafe { std::env::remove_var(name) };
        }
        Self {
            plugin,
            _folder: folder,
        }
    }

    /// Opens a session; the code on failure.
    pub(crate) fn open(&self, id: i64) -> Result<Session<'_>, i32> {
        let raw = TestSession::new(id);
        // SAFETY: a live session.
        match unsafe { self.plugin.info().session_init.unwrap()(raw.as_ptr(), 0) } {
            0 => Ok(Session { raw, rpc: self }),
            code => Err(code),
        }
    }

    pub(crate) fn session(&self) -> Session<'_> {
        self.open(1)
            .unwrap_or_else(|code| panic!("{code}: {}", last_error()))
    }
}

/// An open session; released when dropped.
pub(crate) struct Session<'r> {
    raw: TestSession,
    rpc: &'r Rpc,
}

// SAFETY: operations of one session may be called from many threads.
unsafe impl Sync for Session<'_> {}
// SAFETY: as above.
unsafe impl Send for Session<'_> {}

impl Session<'_> {
    pub(crate) fn as_ptr(&self) -> *mut vaccel_session {
        self.raw.as_ptr()
    }

    pub(crate) fn remote_id(&self) -> i64 {
        // SAFETY: a live session.
        unsafe { (*self.as_ptr()).remote_id }
    }

    pub(crate) fn noop(&self) -> i32 {
        let noop: vaccel_plugin::abi::op::NoopFn = self.rpc.plugin.op(vaccel_plugin::Op::Noop);
        // SAFETY: a live session.
        unsafe { noop(self.as_ptr()) }
    }

    pub(crate) fn register(&self, resource: &TestResource) -> i32 {
        let register = self.rpc.plugin.info().resource_register.unwrap();
        // SAFETY: both are live.
        unsafe { register(resource.as_ptr(), self.as_ptr()) }
    }

    pub(crate) fn unregister(&self, resource: &TestResource) -> i32 {
        let unregister = self.rpc.plugin.info().resource_unregister.unwrap();
        // SAFETY: both are live.
        unsafe { unregister(resource.as_ptr(), self.as_ptr()) }
    }

    pub(crate) fn sync(&self, resource: &TestResource) -> i32 {
        let sync = self.rpc.plugin.info().resource_sync.unwrap();
        // SAFETY: both are live.
        unsafe { sync(resource.as_ptr(), self.as_ptr()) }
    }

    pub(crate) fn release(&self) -> i32 {
        // SAFETY: a live session.
        unsafe { self.rpc.plugin.info().session_release.unwrap()(self.as_ptr()) }
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

pub(crate) fn remote_id(resource: &TestResource) -> i64 {
    // SAFETY: a live resource.
    unsafe { (*resource.as_ptr()).remote_id }
}

/// A call ended by its deadline, not before it. How promptly is for a benchmark to say, not for a
/// machine that may have other things to do.
#[track_caller]
pub(crate) fn ended_by_its_deadline(timeout: Duration, took: Duration) {
    assert!(
        took >= timeout,
        "{took:?} is before the deadline of {timeout:?}"
    );
    assert!(
        took - timeout < SOON,
        "{took:?} is long after the deadline of {timeout:?}"
    );
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !so() {
        assert!(Instant::now() < end, "never happened: {what}");
        std::thread::yield_now();
    }
}
