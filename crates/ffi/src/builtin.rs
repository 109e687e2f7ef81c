//! The rpc transport as a part of the library (`libvaccel-static.a`).

use std::ffi::{CStr, c_void};
use vaccel_abi::plugin::{vaccel_plugin, vaccel_plugin_ext};
use vaccel_core::builtin;
// Linked for what it exports: the two symbols below.
use vaccel_rpc as _;

#[allow(non_upper_case_globals)]
unsafe extern "C" {
    static vaccel_plugin: *mut vaccel_plugin;
    static vaccel_plugin_ext: *const vaccel_plugin_ext;
}

/// Announces the transport to the runtime, and the runtime to the transport.
pub(crate) fn install() {
    let functions: [(&CStr, *const c_void); 5] = [
        (c"slog_print", crate::log::slog_print as *const c_void),
        (
            c"vaccel_error_set",
            crate::error::vaccel_error_set as *const c_void,
        ),
        (
            c"vaccel_progress_report",
            crate::progress::vaccel_progress_report as *const c_void,
        ),
        (
            c"vaccel_config",
            crate::config::vaccel_config as *const c_void,
        ),
        (
            c"vaccel_session_resources_by_type",
            crate::session::vaccel_session_resources_by_type as *const c_void,
        ),
    ];
    // SAFETY: the exported functions of these names.
    unsafe { ::vaccel_plugin::host::provide(&functions) };
    // SAFETY: constants, and static data of the transport.
    unsafe { builtin::add(vaccel_plugin, vaccel_plugin_ext) };
}
