//! `vaccel_describe`: the state of the library as JSON.

use crate::plugin::{self, Plugin};
use crate::{Result, alloc, choice, log_warn, op, ptr, runtime, version};
use serde_json::{Value, json};
use std::ffi::c_char;
use vaccel_abi::op::{OP_MODEL_INFO, OP_MODEL_LOAD};
use vaccel_abi::plugin::{
    PLUGIN_CPU, PLUGIN_DEBUG, PLUGIN_FPGA, PLUGIN_GENERIC, PLUGIN_GPU, PLUGIN_JETSON,
    PLUGIN_REMOTE, PLUGIN_SOFTWARE, PLUGIN_TENSORFLOW, PLUGIN_TORCH,
};

/// Names of the type bits.
const TYPES: [(u32, &str); 10] = [
    (PLUGIN_CPU, "cpu"),
    (PLUGIN_GPU, "gpu"),
    (PLUGIN_FPGA, "fpga"),
    (PLUGIN_SOFTWARE, "software"),
    (PLUGIN_TENSORFLOW, "tensorflow"),
    (PLUGIN_TORCH, "torch"),
    (PLUGIN_JETSON, "jetson"),
    (PLUGIN_GENERIC, "generic"),
    (PLUGIN_DEBUG, "debug"),
    (PLUGIN_REMOTE, "remote"),
];

/// Version, folders, why the library is down if it is, and the plugins.
#[must_use]
pub fn describe() -> Value {
    let plugins: Vec<_> = plugin::all().into_iter().map(|p| (p, ext(p))).collect();
    let choice = choice::explain(&plugins);
    let plugins: Vec<_> = plugins
        .into_iter()
        .map(|(p, ext)| of_plugin(p, ext))
        .collect();
    json!({
        "version": version::VERSION,
        "initialized": runtime::is_up(),
        "error": runtime::failure(),
        "rundir": runtime::rundir().ok().map(|path| path.to_string_lossy()),
        "plugins": plugins,
        "choice": choice,
    })
}

fn of_plugin(plugin: &'static Plugin, ext: Value) -> Value {
    let bits = plugin.info().type_;
    let types: Vec<_> = TYPES
        .iter()
        .filter(|(bit, _)| bits & bit != 0)
        .map(|(_, name)| *name)
        .collect();
    let ops: Vec<_> = plugin
        .ops()
        .into_iter()
        .chain((OP_MODEL_LOAD..=OP_MODEL_INFO).filter(|&code| op::offered_by(plugin, code)))
        .map(op::name)
        .collect();
    json!({
        "name": plugin.name(),
        "version": plugin.version(),
        "path": plugin.path(),
        "type": bits,
        "types": types,
        "transport": plugin.is_transport(),
        "ops": ops,
        "ext": ext,
    })
}

/// What the plugin says of its devices, formats and needs.
pub(crate) fn ext(plugin: &Plugin) -> Value {
    let Some(describe) = plugin.ext().describe else {
        return Value::Null;
    };
    let mut text: *mut c_char = std::ptr::null_mut();
    // SAFETY: a function of a loaded plugin, and a place for its answer.
    let result = unsafe { describe(&raw mut text) };
    // SAFETY: the answer is malloc'ed, or null.
    let block = unsafe { alloc::Block::from_raw(text) };
    if result != 0 {
        let e = plugin.error("describe", result);
        return json!({ "error": e.message() });
    }
    // SAFETY: the answer is a C string or null, alive with the block.
    let Some(text) = (unsafe { ptr::optional_text(block.as_ptr()) }) else {
        return Value::Null;
    };
    serde_json::from_slice(text.to_bytes()).unwrap_or_else(|e| {
        log_warn!(
            "plugin `{}` describes itself in bad JSON: {e}",
            plugin.name()
        );
        json!({ "error": format!("bad JSON from the plugin: {e}") })
    })
}

/// [`describe`] as a malloc'ed string.
///
/// # Errors
/// `ENOMEM`.
pub fn to_c() -> Result<*mut c_char> {
    alloc::string_from(describe().to_string().as_bytes())
}
