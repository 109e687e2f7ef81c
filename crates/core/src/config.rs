//! Configuration: what to load, how much to log.

use crate::ptr::Ptr;
use crate::{Result, alloc, env, fail, get, get_bool, log, log_debug, ptr, set};
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStringExt;
use vaccel_abi::config::{LOG_ERROR, LOG_MAX, LogLevel, vaccel_config};

/// The configuration as the library keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Plugins to load, separated by `:`.
    pub plugins: Option<CString>,
    /// One of the `LOG_*` constants.
    pub log_level: LogLevel,
    /// Prefix of the log file; `None` for standard output.
    pub log_file: Option<CString>,
    /// Collect profiling regions.
    pub profiling: bool,
    /// Load plugins made for another version of the library.
    pub version_ignore: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            plugins: None,
            log_level: LOG_ERROR,
            log_file: None,
            profiling: false,
            version_ignore: false,
        }
    }
}

impl Config {
    /// The configuration that the environment asks for. A value that cannot be
    /// understood is said on standard error, and the default is used.
    #[must_use]
    pub fn from_env() -> Self {
        let text = |name, old| {
            env::var(name, old)
                .and_then(|v| CString::new(v.into_vec()).ok())
                .filter(|v| !v.is_empty())
        };
        let log_level =
            env::var("VACCEL_LOG_LEVEL", Some("VACCEL_DEBUG_LEVEL")).map_or(LOG_ERROR, |value| {
                log::parse_level(&value.to_string_lossy()).unwrap_or_else(|| {
                    eprintln!(
                        "Warning: VACCEL_LOG_LEVEL={} is not a level; use 1 to 4, or \
                         error, warn, info or debug.",
                        value.display()
                    );
                    LOG_ERROR
                })
            });
        Self {
            plugins: text("VACCEL_PLUGINS", Some("VACCEL_BACKENDS")),
            log_level,
            log_file: text("VACCEL_LOG_FILE", None),
            profiling: env::switch("VACCEL_PROFILING_ENABLED", None, false),
            version_ignore: env::switch(
                "VACCEL_VERSION_IGNORE",
                Some("VACCEL_IGNORE_VERSION"),
                false,
            ),
        }
    }

    /// Copies a C configuration.
    ///
    /// # Errors
    /// `EINVAL` for a level that is none.
    pub fn from_c(config: Ptr<vaccel_config>) -> Result<Self> {
        // SAFETY: the strings of an initialised configuration are zero-terminated.
        let text = |p| unsafe { ptr::optional_text(p) }.map(CStr::to_owned);
        let config = Self {
            plugins: text(get!(config.plugins)),
            log_level: get!(config.log_level),
            log_file: text(get!(config.log_file)),
            profiling: get_bool!(config.profiling_enabled),
            version_ignore: get_bool!(config.version_ignore),
        };
        config.check()?;
        Ok(config)
    }

    /// Checks the level.
    ///
    /// # Errors
    /// `EINVAL` for a level that is none.
    pub fn check(&self) -> Result {
        if !(LOG_ERROR..LOG_MAX).contains(&self.log_level) {
            fail!(
                EINVAL,
                "log level {} is not between 1 and 4",
                self.log_level
            );
        }
        Ok(())
    }

    /// Fills a C configuration with malloc'ed copies; what was there is not
    /// looked at.
    ///
    /// # Errors
    /// `EINVAL` for a level that is none, `ENOMEM`.
    pub fn write_to(&self, out: Ptr<vaccel_config>) -> Result {
        self.check()?;
        let text = |t: &Option<CString>| match t {
            Some(t) => alloc::string(t),
            None => Ok(std::ptr::null_mut()),
        };
        let plugins = text(&self.plugins)?;
        let log_file = text(&self.log_file).inspect_err(|_| {
            // SAFETY: made above.
            unsafe { alloc::free(plugins) }
        })?;
        out.write(vaccel_config {
            plugins,
            log_level: self.log_level,
            log_file,
            profiling_enabled: self.profiling,
            version_ignore: self.version_ignore,
        });
        Ok(())
    }

    /// A new malloc'ed C configuration.
    ///
    /// # Errors
    /// Those of [`Self::write_to`].
    pub fn to_c(&self) -> Result<*mut vaccel_config> {
        alloc::filled(|out| self.write_to(out))
    }

    /// Writes every setting to the log, for debugging.
    pub fn print_debug(&self) {
        let show = |t: &Option<CString>| {
            t.as_ref()
                .map_or_else(|| "(none)".to_owned(), |t| t.to_string_lossy().into_owned())
        };
        log_debug!("Config:");
        log_debug!("  plugins = {}", show(&self.plugins));
        log_debug!("  log_level = {}", self.log_level);
        log_debug!("  log_file = {}", show(&self.log_file));
        log_debug!("  profiling_enabled = {}", self.profiling);
        log_debug!("  version_ignore = {}", self.version_ignore);
    }
}

/// Frees the strings of a C configuration and clears it.
pub fn release(config: Ptr<vaccel_config>) {
    // SAFETY: the strings of an initialised configuration are malloc'ed or null.
    unsafe {
        alloc::free(get!(config.plugins));
        alloc::free(get!(config.log_file));
    }
    set!(config.plugins = std::ptr::null_mut());
    set!(config.log_file = std::ptr::null_mut());
}

/// Frees a configuration made by [`Config::to_c`].
pub fn delete(config: Ptr<vaccel_config>) {
    release(config);
    // SAFETY: made by malloc, by contract of `vaccel_config_new` and its kin.
    unsafe { alloc::free(config.as_ptr()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_survives_the_way_through_c() {
        let config = Config {
            plugins: Some(c"a:b".to_owned()),
            log_level: 3,
            log_file: Some(c"/tmp/x".to_owned()),
            profiling: true,
            version_ignore: true,
        };
        let p = config.to_c().unwrap();
        // SAFETY: just made.
        let p = unsafe { Ptr::new(p, "p") }.unwrap();
        assert_eq!(Config::from_c(p).unwrap(), config);
        delete(p);
    }

    #[test]
    fn a_level_that_is_none_is_refused() {
        for log_level in [0, 5, u32::MAX] {
            let config = Config {
                log_level,
                ..Config::default()
            };
            assert_eq!(config.to_c().unwrap_err().code(), vaccel_abi::error::EINVAL);
        }
    }
}
