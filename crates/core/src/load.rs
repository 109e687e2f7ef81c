//! Loading plugins from files.

use crate::plugin::{Plugin, register};
use crate::ptr::Ptr;
use crate::search::{self, Library};
use crate::{Result, builtin, choice, fail, get, log_debug};
use std::path::Path;
use vaccel_abi::error as code;
use vaccel_abi::plugin::{vaccel_plugin, vaccel_plugin_ext};

/// Loads one plugin; see [`search::open`] for what `entry` can be. One of that
/// name that is part of the program goes first; `auto` is part of the library.
///
/// # Errors
/// `ENOENT` when it cannot be loaded, `ELIBBAD` when it is no plugin, `EINVAL`
/// when it is malformed or made for another major version, `EEXIST` when it is
/// loaded already, or what its `init` returns.
pub fn load(entry: &str, version_ignore: bool) -> Result<&'static Plugin> {
    if entry == choice::plugin::NAME {
        return choice::plugin::load(version_ignore);
    }
    if let Some(result) = builtin::load(entry, version_ignore) {
        return result;
    }
    let library = search::open(entry)?;
    log_debug!("loading plugin `{entry}` from {}", library.path.display());
    let result = load_from(&library, version_ignore);
    match result {
        Ok(plugin) => Ok(plugin),
        Err(e) => {
            let e = e.context(format!("plugin `{entry}` ({})", library.path.display()));
            library.close();
            Err(e)
        }
    }
}

/// Loads a file if it is a backend, and neither a transport nor for tests; `None` then.
///
/// # Errors
/// Those of [`load`].
pub(crate) fn load_backend(path: &Path, version_ignore: bool) -> Result<Option<&'static Plugin>> {
    let library = search::open_file(path)?;
    let result = structure(&library).and_then(|raw| {
        let info = get!(raw.info);
        // SAFETY: the structure of a plugin points at its description, or at nothing.
        match unsafe { info.as_ref() } {
            Some(info) if !choice::plugin::is_wanted(info) => Ok(None),
            _ => load_from(&library, version_ignore).map(Some),
        }
    });
    if !matches!(result, Ok(Some(_))) {
        library.close();
    }
    result
}

fn structure(library: &Library) -> Result<Ptr<vaccel_plugin>> {
    let Some(symbol) = library.symbol(c"vaccel_plugin") else {
        fail!(
            ELIBBAD,
            "it has no symbol `vaccel_plugin`, so it is no vaccel plugin"
        );
    };
    // SAFETY: the symbol is a variable that points at the plugin's structure.
    unsafe { Ptr::new(*symbol.cast::<*const vaccel_plugin>(), "vaccel_plugin") }
}

fn load_from(library: &Library, version_ignore: bool) -> Result<&'static Plugin> {
    let raw = structure(library)?;
    let path = library.path.to_string_lossy().into_owned();
    let plugin = register(raw, path, library.handle, version_ignore)?;
    if let Some(symbol) = library.symbol(c"vaccel_plugin_ext") {
        // SAFETY: the symbol is a variable that points at the table.
        plugin.offer(unsafe { *symbol.cast::<*const vaccel_plugin_ext>() });
    }
    Ok(plugin)
}

/// Loads a list of plugins separated by `:`; stops at the first that fails.
///
/// # Errors
/// Those of [`load`].
pub fn parse_and_load(list: &str, version_ignore: bool) -> Result {
    for entry in list.split(':').map(str::trim).filter(|e| !e.is_empty()) {
        load(entry, version_ignore)?;
    }
    Ok(())
}

/// As [`parse_and_load`], but plugins that are loaded already are passed over.
///
/// # Errors
/// Those of [`load`] except `EEXIST`.
pub fn load_missing(list: &str, version_ignore: bool) -> Result {
    for entry in list.split(':').map(str::trim).filter(|e| !e.is_empty()) {
        match load(entry, version_ignore) {
            Err(e) if e.code() == code::EEXIST => {}
            other => drop(other?),
        }
    }
    Ok(())
}
