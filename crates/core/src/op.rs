//! Calling the operations of plugins.
//!
//! The way to a plugin is a few loads: the session's plugin, its slot, its
//! function. Whatever is wrong is found out in functions marked cold.

use crate::ptr::Ptr;
use crate::{Error, Result, err, flags, get, log_debug, plugin, prof, runtime};
use std::ffi::c_void;
use vaccel_abi::error as code;
use vaccel_abi::log::SLOG_DEBUG;
use vaccel_abi::op::{OP_MAX, OpType};
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
    Err(missing(sess, op))
}

/// True when the session's plugin offers an operation below `OP_MAX`.
#[must_use]
pub fn offers(sess: Ptr<vaccel_session>, op: OpType) -> bool {
    let plugin = get!(sess.plugin);
    if get!(sess.id) <= 0 || plugin.is_null() || op >= OP_MAX {
        return false;
    }
    // SAFETY: as in `function`.
    unsafe { !(*plugin).ops[op as usize].is_null() }
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
    match plugin::by_raw(get!(sess.plugin)) {
        Some(plugin) => plugin.error(name(op), returned),
        None => err!(EIO, "{}: the plugin failed with {returned}", name(op)),
    }
}

/// True when calls are logged or timed.
#[inline(always)]
#[must_use]
pub fn traced() -> bool {
    flags::get() & (flags::PROFILING | SLOG_DEBUG) != 0
}

/// Calls a function of a plugin with log lines and timing.
#[cold]
#[inline(never)]
pub fn trace(sess: Ptr<vaccel_session>, op: OpType, call: impl FnOnce() -> i32) -> i32 {
    log_debug!("session {}: {}", get!(sess.id), name(op));
    let start = prof::now();
    let returned = call();
    if prof::enabled()
        && let Some(index) = table::OPS.iter().position(|spec| spec.code == op)
    {
        prof::add_op(index, prof::now().saturating_sub(start));
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
/// function, arguments after the session.
macro_rules! call_op {
    ($sess:expr, $op:expr, $type:ty $(, $arg:expr)* $(,)?) => {{
        let sess = $sess;
        let function = $crate::op::function(sess, $op)?;
        // SAFETY: plugins register each operation with the function type that
        // the ABI gives it.
        let function: $type = unsafe { std::mem::transmute(function) };
        // SAFETY: the session is open, and the caller vouches for the arguments.
        let call = || unsafe { function(sess.as_ptr() $(, $arg)*) };
        let returned = if $crate::op::traced() {
            $crate::op::trace(sess, $op, call)
        } else {
            call()
        };
        $crate::op::result(sess, $op, returned)
    }};
}

pub(crate) use call_op;

/// `vaccel_noop`.
///
/// # Errors
/// Those of [`function`] and of the plugin.
#[inline(always)]
pub fn noop(sess: Ptr<vaccel_session>) -> Result {
    use vaccel_abi::op::{NoopFn, OP_NOOP};
    call_op!(sess, OP_NOOP, NoopFn)
}
