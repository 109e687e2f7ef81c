//! Starting the library with settings of the program instead of the environment.

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::path::PathBuf;
use std::ptr;

use vaccel_abi::config::{LOG_DEBUG, LOG_ERROR, LOG_INFO, LOG_WARN, vaccel_config};

use crate::error::{Error, Result};
use crate::library::Library;

/// How much the library writes to its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum LogLevel {
    /// Errors only.
    #[default]
    Error,
    /// And warnings.
    Warn,
    /// And information.
    Info,
    /// And everything for debugging.
    Debug,
}

impl LogLevel {
    fn as_raw(self) -> u32 {
        match self {
            Self::Error => LOG_ERROR,
            Self::Warn => LOG_WARN,
            Self::Info => LOG_INFO,
            Self::Debug => LOG_DEBUG,
        }
    }
}

/// Settings of the library.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// Plugins to load, by name (`onnx`) or file.
    pub plugins: Vec<String>,
    /// How much is logged.
    pub log_level: LogLevel,
    /// Prefix of the log file; `None` for standard output.
    pub log_file: Option<PathBuf>,
    /// Collect the time spent in each operation.
    pub profiling_enabled: bool,
    /// Load plugins made for another version of the library too.
    pub version_ignore: bool,
}

/// Starts the library anew with these settings.
///
/// Opening the library starts it with the settings of the environment
/// (`VACCEL_PLUGINS` and the others), unless `VACCEL_BOOTSTRAP_ENABLED` is 0.
/// This call starts it again. Call it before the first session is opened.
///
/// # Errors
/// What [`Library::get`] returns; `ENOENT` or `ELIBBAD` for a plugin that cannot
/// be loaded; `EBUSY` while sessions are open.
pub fn bootstrap_with(config: &Config) -> Result<()> {
    let library = Library::get()?;
    let functions = library.functions();
    let plugins = CString::new(config.plugins.join(":"))
        .map_err(|_| Error::invalid("the name of a plugin contains a zero byte"))?;
    let log_file = config
        .log_file
        .as_ref()
        .map(|path| CString::new(path.as_os_str().as_encoded_bytes()))
        .transpose()
        .map_err(|_| Error::invalid("the name of the log file contains a zero byte"))?;
    let mut raw = MaybeUninit::<vaccel_config>::zeroed();
    // SAFETY: the structure has room, the strings outlive the call, which copies them.
    let code = unsafe {
        (functions.config_init)(
            raw.as_mut_ptr(),
            if config.plugins.is_empty() {
                ptr::null()
            } else {
                plugins.as_ptr()
            },
            config.log_level.as_raw(),
            log_file.as_ref().map_or(ptr::null(), |path| path.as_ptr()),
            config.profiling_enabled,
            config.version_ignore,
        )
    };
    library.check("vaccel_config_init", code)?;
    // SAFETY: filled by the call above; the library keeps its own copy.
    let code = unsafe { (functions.bootstrap_with_config)(raw.as_mut_ptr()) };
    let result = library.check("vaccel_bootstrap_with_config", code);
    // SAFETY: filled above and released once.
    unsafe { (functions.config_release)(raw.as_mut_ptr()) };
    result
}

/// Loads one more plugin, by name (`onnx`) or file.
///
/// # Errors
/// `ENOENT` when there is no such file, `ELIBBAD` when it is not a plugin, `EEXIST`
/// when it is loaded already; what its start returns.
pub fn load_plugin(name: &str) -> Result<()> {
    let library = Library::get()?;
    let text = CString::new(name).map_err(|_| Error::invalid("the name contains a zero byte"))?;
    // SAFETY: the name outlives the call.
    let code = unsafe { (library.functions().plugin_load)(text.as_ptr()) };
    library.check(&format!("cannot load the plugin `{name}`"), code)
}
