//! Configurations.

use std::ffi::c_char;
use vaccel_abi::config::{LogLevel, vaccel_config};
use vaccel_core::config::{self, Config};
use vaccel_core::runtime;

macro_rules! from_parts {
    ($plugins:ident, $log_level:ident, $log_file:ident, $profiling:ident, $version_ignore:ident) => {
        Config {
            plugins: optional_text!($plugins).map(ToOwned::to_owned),
            log_level: $log_level,
            log_file: optional_text!($log_file).map(ToOwned::to_owned),
            profiling: $profiling,
            version_ignore: $version_ignore,
        }
    };
}

export! {
    /// Fills a configuration.
    fn vaccel_config_init(
        config: *mut vaccel_config,
        plugins: *const c_char,
        log_level: LogLevel,
        log_file: *const c_char,
        profiling_enabled: bool,
        version_ignore: bool,
    ) {
        from_parts!(plugins, log_level, log_file, profiling_enabled, version_ignore)
            .write_to(ptr!(config))
    }

    /// Makes a configuration.
    fn vaccel_config_new(
        config: *mut *mut vaccel_config,
        plugins: *const c_char,
        log_level: LogLevel,
        log_file: *const c_char,
        profiling_enabled: bool,
        version_ignore: bool,
    ) {
        let out = ptr!(config);
        let parts =
            from_parts!(plugins, log_level, log_file, profiling_enabled, version_ignore);
        out.write(parts.to_c()?);
        Ok(())
    }

    /// Fills a configuration from the environment.
    fn vaccel_config_init_from_env(config: *mut vaccel_config) {
        Config::from_env().write_to(ptr!(config))
    }

    /// Makes a configuration from the environment.
    fn vaccel_config_from_env(config: *mut *mut vaccel_config) {
        let out = ptr!(config);
        out.write(Config::from_env().to_c()?);
        Ok(())
    }

    /// Fills a configuration with a copy of another.
    fn vaccel_config_init_from(config: *mut vaccel_config, other: *mut vaccel_config) {
        let out = ptr!(config);
        Config::from_c(ptr!(other))?.write_to(out)
    }

    /// Makes a copy of a configuration.
    fn vaccel_config_from(config: *mut *mut vaccel_config, other: *mut vaccel_config) {
        let out = ptr!(config);
        out.write(Config::from_c(ptr!(other))?.to_c()?);
        Ok(())
    }

    /// Frees the strings of a configuration.
    fn vaccel_config_release(config: *mut vaccel_config) {
        config::release(ptr!(config));
        Ok(())
    }

    /// Frees a configuration that was made.
    fn vaccel_config_delete(config: *mut vaccel_config) {
        config::delete(ptr!(config));
        Ok(())
    }

    /// Writes all settings to the log.
    fn vaccel_config_print_debug(config: *mut vaccel_config) -> (), (); {
        Config::from_c(ptr!(config))?.print_debug();
        Ok(())
    }

    /// The configuration in force.
    fn vaccel_config() -> *const vaccel_config, std::ptr::null(); {
        Ok(runtime::active_config())
    }
}
