//! Plugins that are part of the program, and loaded from no file.
//!
//! Unikernels and static programs have nothing to load a file with. What they
//! link in beside this library is announced here before the library starts, and
//! is registered by the start after the plugins that the configuration names.

use crate::plugin::{self, Plugin};
use crate::ptr::{self, Ptr};
use crate::{Result, lock};
use std::sync::Mutex;
use vaccel_abi::error::EEXIST;
use vaccel_abi::plugin::{vaccel_plugin, vaccel_plugin_ext};

#[derive(Clone)]
struct Builtin {
    name: String,
    raw: Ptr<vaccel_plugin>,
    ext: *const vaccel_plugin_ext,
}

// SAFETY: both structures are static data of the program; what the library
// writes into them it writes under the lock of the list of plugins.
unsafe impl Send for Builtin {}

static BUILTIN: Mutex<Vec<Builtin>> = Mutex::new(Vec::new());

/// Announces a plugin; announcing it again does nothing. `ext` may be null.
///
/// # Safety
/// Both point at static data, filled as those of a plugin in a file.
pub unsafe fn add(raw: *mut vaccel_plugin, ext: *const vaccel_plugin_ext) {
    // SAFETY: the caller's contract: null or a plugin's structure.
    let Ok(raw) = (unsafe { Ptr::new(raw, "vaccel_plugin") }) else {
        return;
    };
    // SAFETY: as above; the description and its name are static.
    let name = unsafe {
        let info = (*raw.as_ptr()).info;
        (!info.is_null())
            .then(|| ptr::optional_text((*info).name))
            .flatten()
    };
    let mut builtin = lock(&BUILTIN);
    let known = builtin.iter().any(|b| b.raw.as_ptr() == raw.as_ptr());
    if let Some(name) = name
        && !known
    {
        let name = name.to_string_lossy().into_owned();
        builtin.push(Builtin { name, raw, ext });
    }
}

/// Loads the announced plugin that an entry of `VACCEL_PLUGINS` means, by its
/// word (`rpc`) or as a library (`libvaccel-rpc.so`); `None` when none is meant.
pub(crate) fn load(entry: &str, version_ignore: bool) -> Option<Result<&'static Plugin>> {
    let word = entry
        .strip_prefix("libvaccel-")
        .and_then(|rest| rest.split(".so").next())
        .unwrap_or(entry);
    let meant = lock(&BUILTIN).iter().find(|b| b.name == word).cloned()?;
    Some(register(&meant, version_ignore))
}

/// Loads those that the configuration did not name.
///
/// # Errors
/// Those of [`plugin::register`] except `EEXIST`.
pub(crate) fn load_rest(version_ignore: bool) -> Result {
    // Not held while a plugin starts.
    let all = lock(&BUILTIN).clone();
    for one in all {
        match register(&one, version_ignore) {
            Err(e) if e.code() == EEXIST => {}
            other => drop(other?),
        }
    }
    Ok(())
}

/// The names, for messages.
pub(crate) fn names() -> Vec<String> {
    lock(&BUILTIN).iter().map(|b| b.name.clone()).collect()
}

fn register(one: &Builtin, version_ignore: bool) -> Result<&'static Plugin> {
    let path = "(part of the program)".to_owned();
    let plugin = plugin::register(one.raw, path, std::ptr::null_mut(), version_ignore)?;
    plugin.offer(one.ext);
    Ok(plugin)
}
