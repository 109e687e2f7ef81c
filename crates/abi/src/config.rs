//! Configuration of the library.

use libc::c_char;

/// `vaccel_log_level_t`; one of the `LOG_*` constants.
pub type LogLevel = u32;
/// Errors only; the default.
pub const LOG_ERROR: LogLevel = 1;
/// Errors and warnings.
pub const LOG_WARN: LogLevel = 2;
/// And information.
pub const LOG_INFO: LogLevel = 3;
/// And everything for debugging.
pub const LOG_DEBUG: LogLevel = 4;
/// One past the last level.
pub const LOG_MAX: LogLevel = 5;

/// What `vaccel_bootstrap_with_config` takes. Strings are malloc'ed copies.
#[repr(C)]
#[derive(Debug)]
#[allow(non_camel_case_types)]
pub struct vaccel_config {
    /// Plugins to load, separated by `:`; null for none.
    pub plugins: *mut c_char,
    /// One of the `LOG_*` constants.
    pub log_level: LogLevel,
    /// Prefix of the log file, or null for standard output.
    pub log_file: *mut c_char,
    /// True to collect profiling regions.
    pub profiling_enabled: bool,
    /// True to load plugins made for another version of the library.
    pub version_ignore: bool,
}
