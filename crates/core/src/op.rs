//! Calling the operations of plugins.
//!
//! The way to a plugin is a few loads: the session's plugin, its slot, its
//! function. What is rarer, another plugin or an error, is found in functions marked cold.

use crate::histogram::Call;
use crate::ptr::Ptr;
use crate::{
    Error, Result, choice, completion, err, fail, flags, get, last_error, log_debug, plugin, prof,
    runtime, stats, tracefile,
};
use std::ffi::c_void;
use vaccel_abi::error as code;
use vaccel_abi::log::SLOG_DEBUG;
use vaccel_abi::op::OpType;
use vaccel_abi::resource::vaccel_resource;
use vaccel_abi::session::vaccel_session;
use vaccel_abi::table;

/// The plugin function of an operation below `OP_MAX`.
///
/// # Errors
/// `ESESS` or `EINVAL` when the session is not open, `ENODEV` when its plugin was
/// unloaded, `ENOTSUP` when the plugin does not offer the operation.
#[inline(always)]
pub fn function(sess: Ptr<vaccel_session>, op: OpType) -> Result<*mut c_void> {
    if get!(sess.id) > 0 {
        let plugin = get!(sess.plugin);
        if !plugin.is_null() {
            // SAFETY: the plugin of an open session stays mapped; slots are null
            // or point at operations of the plugin.
            let function = unsafe {
                let slot = (*plugin).ops[op as usize];
                if slot.is_null() {
                    std::ptr::null_mut()
                } else {
                    (*slot).func
                }
            };
            if !function.is_null() {
                return Ok(function);
            }
        }
    }
    elsewhere(sess, op)
}

/// The function of another plugin that serves the session's operation.
#[cold]
#[inline(never)]
fn elsewhere(sess: Ptr<vaccel_session>, op: OpType) -> Result<*mut c_void> {
    if choice::decides(sess, op) {
        return function_of(choice::of_operation(sess, op)?, op);
    }
    let Some(plugin) = serving(sess, op) else {
        return Err(missing(sess, op));
    };
    function_of(plugin, op)
}

/// The function of a plugin for an operation below `OP_MAX`.
pub(crate) fn function_of(plugin: &plugin::Plugin, op: OpType) -> Result<*mut c_void> {
    if !plugin.offers(op) {
        fail!(ENODEV, "plugin `{}` was unloaded", plugin.name());
    }
    // SAFETY: a loaded plugin that offers the operation; see `function`.
    Ok(unsafe { (*(*plugin.raw()).ops[op as usize]).func })
}

/// The function that a framework's interface calls on a model, where the plugin that has
/// the model offers that; `None` when the neutral operation is to be called instead.
///
/// # Errors
/// Those of [`function`]; where the backend is chosen, those of loading the model.
pub fn on_model(
    sess: Ptr<vaccel_session>,
    res: Ptr<vaccel_resource>,
    op: OpType,
    neutral: OpType,
) -> Result<Option<*mut c_void>> {
    if choice::decides(sess, neutral) {
        let plugin = choice::of_loaded(sess, res)?;
        return match offered_by(plugin, op) {
            true => function_of(plugin, op).map(Some),
            false => Ok(None),
        };
    }
    if !offers(sess, op) && offers(sess, neutral) {
        return Ok(None);
    }
    function(sess, op).map(Some)
}

/// The plugin that serves an operation on a loaded model.
///
/// # Errors
/// As [`missing`]; where the backend is chosen, `ENOENT` when the model is not loaded.
pub fn serving_model(
    sess: Ptr<vaccel_session>,
    res: Ptr<vaccel_resource>,
    op: OpType,
) -> Result<&'static plugin::Plugin> {
    if choice::decides(sess, op) {
        return choice::of_model(sess, get!(res.id));
    }
    serving(sess, op).ok_or_else(|| missing(sess, op))
}

/// The plugin that serves an operation of a session: the session's own where it
/// offers it; else, for a local session, the first other backend that does.
///
/// Only plugins with an extension table are taken as "other": those made for the
/// C library may count on sessions being their own.
#[must_use]
pub fn serving(sess: Ptr<vaccel_session>, op: OpType) -> Option<&'static plugin::Plugin> {
    if get!(sess.id) <= 0 {
        return None;
    }
    let own = plugin::by_raw(get!(sess.plugin))?;
    if offered_by(own, op) {
        return Some(own);
    }
    if own.is_transport() {
        return None;
    }
    if choice::decides(sess, op) {
        return choice::serving(sess, op);
    }
    plugin::all()
        .into_iter()
        .find(|other| is_backend_of_ours(other) && offered_by(other, op))
}

/// True for a loaded backend with an extension table.
#[must_use]
pub fn is_backend_of_ours(plugin: &plugin::Plugin) -> bool {
    plugin.is_loaded() && !plugin.is_transport() && plugin.ext().size != 0
}

/// True when an operation of the session is served.
#[must_use]
pub fn offers(sess: Ptr<vaccel_session>, op: OpType) -> bool {
    serving(sess, op).is_some()
}

/// Name of an operation for messages.
#[must_use]
pub fn name(op: OpType) -> &'static str {
    table::find(op).map_or("unknown operation", |spec| spec.name)
}

/// Why an operation cannot be called.
#[cold]
#[inline(never)]
pub fn missing(sess: Ptr<vaccel_session>, op: OpType) -> Error {
    let id = get!(sess.id);
    if id <= 0 || get!(sess.plugin).is_null() {
        if !runtime::is_up() {
            return runtime::why_down();
        }
        return err!(
            EINVAL,
            "{}: the session is not open: it was not initialised, or released already",
            name(op)
        );
    }
    let Some(own) = plugin::by_raw(get!(sess.plugin)) else {
        return err!(
            ENODEV,
            "{}: the plugin of session {id} was unloaded; open a new session",
            name(op)
        );
    };
    if choice::decides(sess, op)
        && let Err(e) = choice::of_operation(sess, op)
    {
        return e;
    }
    let others = plugin::names(|p| offered_by(p, op));
    let hint = if others.is_empty() {
        "no loaded plugin does; add one that does to VACCEL_PLUGINS".to_owned()
    } else {
        format!("these do: {others}; open the session with the flags of one of them")
    };
    err!(
        ENOTSUP,
        "plugin `{}` does not offer {}; {hint}",
        own.name(),
        name(op)
    )
}

/// Whether a plugin offers an operation of the table or of its extension.
#[must_use]
pub fn offered_by(plugin: &plugin::Plugin, op: OpType) -> bool {
    use vaccel_abi::op::{OP_MODEL_INFO, OP_MODEL_LOAD, OP_MODEL_RUN, OP_MODEL_UNLOAD};
    let ext = plugin.ext();
    match op {
        OP_MODEL_LOAD => ext.model_load.is_some(),
        OP_MODEL_UNLOAD => ext.model_unload.is_some(),
        OP_MODEL_RUN => ext.model_run.is_some(),
        OP_MODEL_INFO => ext.model_info.is_some(),
        op => plugin.offers(op),
    }
}

/// Turns the result of a plugin function into ours.
#[inline(always)]
pub fn result(sess: Ptr<vaccel_session>, op: OpType, returned: i32) -> Result {
    if returned == code::OK {
        Ok(())
    } else {
        Err(failed(sess, op, returned))
    }
}

#[cold]
#[inline(never)]
fn failed(sess: Ptr<vaccel_session>, op: OpType, returned: i32) -> Error {
    match serving(sess, op) {
        Some(plugin) => plugin.error(name(op), returned),
        None => err!(EIO, "{}: the plugin failed with {returned}", name(op)),
    }
}

/// True when calls are logged or timed, or a text of an earlier call is to be forgotten.
#[inline(always)]
#[must_use]
pub fn traced() -> bool {
    flags::get() & (flags::PROFILING | flags::TRACE | SLOG_DEBUG) != 0 || last_error::waiting()
}

/// Calls a function of a plugin with log lines and timing. `bytes` are asked for
/// after the call: those that went in, and those that came or could come out.
#[cold]
#[inline(never)]
pub fn trace(
    sess: Ptr<vaccel_session>,
    op: OpType,
    bytes: impl FnOnce() -> (usize, usize),
    call: impl FnOnce() -> i32,
) -> i32 {
    last_error::begin_call();
    log_debug!("session {}: {}", get!(sess.id), name(op));
    let mut bytes = Some(bytes);
    let moved = || bytes.take().map_or((0, 0), |bytes| bytes());
    if completion::measure(table::position(op), moved) {
        return call();
    }
    let start = prof::now();
    let returned = call();
    let end = prof::now();
    let on = flags::get() & (flags::PROFILING | flags::TRACE);
    if on != 0
        && let Some(index) = table::position(op)
    {
        let (bytes_in, bytes_out) = bytes.take().map_or((0, 0), |bytes| bytes());
        let call = Call {
            nanoseconds: end.saturating_sub(start),
            bytes_in: bytes_in as u64,
            bytes_out: bytes_out as u64,
            failed: returned != code::OK,
        };
        if on & flags::PROFILING != 0 {
            stats::add(sess, index, &call);
        }
        if on & flags::TRACE != 0 {
            tracefile::add(get!(sess.id), index, start, &call);
        }
    }
    if returned != code::OK {
        log_debug!(
            "session {}: {} returned {returned}",
            get!(sess.id),
            name(op)
        );
    }
    returned
}

/// Calls the plugin function of an operation: session, operation, type of the
/// function, arguments after the session; and, after a semicolon, how many bytes go
/// in and out, which is worked out only when somebody wants to know.
macro_rules! call_op {
    ($sess:expr, $op:expr, $type:ty $(, $arg:expr)* $(,)? $(; $bytes:expr)?) => {{
        let sess = $sess;
        let function = $crate::op::function(sess, $op)?;
        $crate::op::call_function!(function, sess, $op, $type $(, $arg)* $(; $bytes)?)
    }};
}

/// As [`call_op!`], of a function that was looked up.
macro_rules! call_function {
    ($function:expr, $sess:expr, $op:expr, $type:ty $(, $arg:expr)* $(,)? $(; $bytes:expr)?) => {{
        let sess = $sess;
        let function = $function;
        // SAFETY: plugins register each operation with the function type that
        // the ABI gives it.
        let function: $type = unsafe { std::mem::transmute(function) };
        // SAFETY: the session is open, and the caller vouches for the arguments.
        let call = || unsafe { function(sess.as_ptr() $(, $arg)*) };
        let returned = if $crate::op::traced() {
            #[allow(unused_mut, unused_assignments)]
            let bytes = || {
                let mut bytes = (0, 0);
                $(bytes = $bytes;)?
                bytes
            };
            $crate::op::trace(sess, $op, bytes, call)
        } else {
            call()
        };
        $crate::op::result(sess, $op, returned)
    }};
}

pub(crate) use {call_function, call_op};

/// `vaccel_noop`.
///
/// # Errors
/// Those of [`function`] and of the plugin.
#[inline(always)]
pub fn noop(sess: Ptr<vaccel_session>) -> Result {
    use vaccel_abi::op::{NoopFn, OP_NOOP};
    call_op!(sess, OP_NOOP, NoopFn)
}
