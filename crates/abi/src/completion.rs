//! Calls that are submitted and waited for later.

use crate::CResult;
use crate::session::vaccel_session;
use libc::{c_char, c_void, size_t};

/// The completion of a call; what is in it is the library's.
#[repr(C)]
#[derive(Debug)]
#[allow(non_camel_case_types)]
pub struct vaccel_completion {
    _private: [u8; 0],
}

/// Called once, when a call is over.
pub type CompletedFn = unsafe extern "C" fn(*mut vaccel_completion, arg: *mut c_void);

/// How a call is made. Zeros (and a null pointer to it) mean the defaults.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct vaccel_async_options {
    /// `sizeof` at the time the program was compiled; 0 is as good.
    pub size: size_t,
    /// Milliseconds that the call may take; 0 for the session's default.
    pub timeout_ms: u64,
    /// Called once, when the call is over; may be null.
    pub completed: Option<CompletedFn>,
    /// Passed to `completed`.
    pub arg: *mut c_void,
}

/// Somebody wants to hear of the end of a call without asking for it.
pub const CALL_WATCHED: u32 = 1;

/// One call on its way through a plugin that can do more than one thing at a time.
///
/// The library makes it, and keeps it until `call_forget` has returned.
#[repr(C)]
#[derive(Debug)]
#[allow(non_camel_case_types)]
pub struct vaccel_call {
    /// `sizeof` at the time the library was compiled.
    pub size: size_t,
    /// Milliseconds that it may take; 0 for the plugin's own default.
    pub timeout_ms: u64,
    /// [`CALL_WATCHED`], or 0.
    pub flags: u32,
    /// Calls one operation of the plugin, on this thread. The plugin's function
    /// sends it off and returns; what it returns, this returns.
    pub run: Option<unsafe extern "C" fn(*mut vaccel_call) -> CResult>,
    /// To be called once when the call is over, with the code and, where it failed, why
    /// (may be null), unless `call_submit` returned an error. Nothing of the caller's
    /// may be touched afterwards.
    pub done: Option<unsafe extern "C" fn(*mut vaccel_call, CResult, *const c_char)>,
    /// The plugin's own.
    pub priv_: *mut c_void,
}

/// Sends a call off by way of its `run`.
pub type CallSubmitFn = unsafe extern "C" fn(*mut vaccel_session, *mut vaccel_call) -> CResult;
/// Does something about a call that was submitted, whether it is over or not.
pub type CallFn = unsafe extern "C" fn(*mut vaccel_call) -> CResult;
/// Lets calls go on, on this thread, until this one is over or the milliseconds are;
/// with 0 it only looks.
pub type CallDriveFn = unsafe extern "C" fn(*mut vaccel_call, timeout_ms: u64) -> CResult;
/// The milliseconds that a call of a session may take from now on; 0 for the default.
pub type SessionTimeoutFn = unsafe extern "C" fn(*mut vaccel_session, timeout_ms: u64) -> CResult;
/// The span that calls of a session are made in from now on, as a `traceparent`; null for none of
/// its own.
pub type SessionTraceFn =
    unsafe extern "C" fn(*mut vaccel_session, traceparent: *const c_char) -> CResult;
