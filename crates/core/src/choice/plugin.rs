//! The plugin `auto`: no code of its own, and sessions of its own. It offers no operation,
//! so that each is looked for among the backends, which it loads.

use crate::plugin::{self, Plugin, register};
use crate::ptr::Ptr;
use crate::search::{self, Installed};
use crate::{Result, load, log_debug, log_warn, op, version};
use std::cell::UnsafeCell;
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};
use vaccel_abi::error::EEXIST;
use vaccel_abi::list::vaccel_list_entry;
use vaccel_abi::op::OP_MAX;
use vaccel_abi::plugin::{
    PLUGIN_CPU, PLUGIN_DEBUG, PLUGIN_FPGA, PLUGIN_GENERIC, PLUGIN_GPU, PLUGIN_JETSON,
    PLUGIN_SOFTWARE, PLUGIN_TENSORFLOW, PLUGIN_TORCH, vaccel_plugin, vaccel_plugin_info,
};

/// What `VACCEL_PLUGINS` calls it.
pub const NAME: &str = "auto";

struct Table(UnsafeCell<vaccel_plugin>);
struct Info(vaccel_plugin_info);
// SAFETY: written by the library alone, under the lock of the list of plugins.
unsafe impl Sync for Table {}
// SAFETY: constant; its pointers are to static strings and functions.
unsafe impl Sync for Info {}

static INFO: Info = Info(vaccel_plugin_info {
    name: c"auto".as_ptr(),
    version: version::VERSION_C.as_ptr(),
    vaccel_version: version::VERSION_C.as_ptr(),
    init: Some(begin),
    fini: Some(end),
    is_virtio: false,
    type_: PLUGIN_CPU
        | PLUGIN_GPU
        | PLUGIN_FPGA
        | PLUGIN_SOFTWARE
        | PLUGIN_TENSORFLOW
        | PLUGIN_TORCH
        | PLUGIN_JETSON
        | PLUGIN_GENERIC,
    session_init: None,
    session_release: None,
    session_update: None,
    resource_register: None,
    resource_unregister: None,
    resource_sync: None,
});

static TABLE: Table = Table(UnsafeCell::new(vaccel_plugin {
    dl_handle: std::ptr::null_mut(),
    entry: vaccel_list_entry {
        next: std::ptr::null_mut(),
        prev: std::ptr::null_mut(),
    },
    ops: [std::ptr::null_mut(); OP_MAX as usize],
    info: &raw const INFO.0,
}));

/// Set while it is loaded.
static ON: AtomicBool = AtomicBool::new(false);

unsafe extern "C" fn begin() -> c_int {
    ON.store(true, Ordering::Release);
    0
}

unsafe extern "C" fn end() -> c_int {
    ON.store(false, Ordering::Release);
    0
}

/// True while it is loaded.
pub(crate) fn is_on() -> bool {
    ON.load(Ordering::Acquire)
}

/// True for the plugin `auto` itself.
pub(crate) fn is_it(plugin: &Plugin) -> bool {
    std::ptr::eq(plugin.raw(), TABLE.0.get())
}

/// Loads it, and then every backend that is installed. One that cannot be loaded is
/// warned of, and missing.
///
/// # Errors
/// `EEXIST` when it is loaded already; what was installed since is loaded all the same.
pub fn load(version_ignore: bool) -> Result<&'static Plugin> {
    // SAFETY: a static, and not null.
    let raw = unsafe { Ptr::new(TABLE.0.get(), "auto")? };
    let path = "(part of the library)".to_owned();
    let result = register(raw, path, std::ptr::null_mut(), version_ignore);
    if let Err(e) = &result
        && e.code() != EEXIST
    {
        return result;
    }
    for Installed { name, path } in search::installed() {
        let is_there = || plugin::all().iter().any(|p| p.name() == name);
        if super::table::LEFT_OUT.contains(&name.as_str()) || is_there() {
            continue;
        }
        match load::load_backend(&path, version_ignore) {
            Ok(Some(_)) => {}
            Ok(None) => log_debug!("auto: {} is no backend", path.display()),
            Err(e) if e.code() == EEXIST => {}
            Err(e) => log_warn!("auto: goes without plugin `{name}`: {e}"),
        }
    }
    result
}

/// Whether a plugin that is not loaded yet is one for `auto`.
pub(crate) fn is_wanted(info: &vaccel_plugin_info) -> bool {
    !info.is_virtio && info.type_ & PLUGIN_DEBUG == 0
}

/// The backends that sessions of `auto` may use.
pub(super) fn backends() -> Vec<&'static Plugin> {
    let mut all = plugin::all();
    all.retain(|plugin| op::is_backend_of_ours(plugin));
    all
}
