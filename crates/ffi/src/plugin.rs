//! Plugins.

use std::ffi::c_char;
use vaccel_abi::op::vaccel_op;
use vaccel_core::{plugin, runtime};

export! {
    /// Loads one plugin by path, library name or word.
    fn vaccel_plugin_load(lib: *const c_char) {
        runtime::load_plugins(&text!(lib).to_string_lossy(), false)
    }

    /// Loads plugins separated by `:`.
    fn vaccel_plugin_parse_and_load(lib_str: *const c_char) {
        runtime::load_plugins(&text!(lib_str).to_string_lossy(), true)
    }

    /// For plugins: the operations they offer.
    fn vaccel_plugin_register_ops(plugin_ops: *mut vaccel_op, nr_ops: usize) {
        plugin::register_ops(ptr!(plugin_ops), nr_ops)
    }
}
