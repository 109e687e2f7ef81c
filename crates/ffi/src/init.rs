//! Start and end of the library.

use std::ffi::c_char;
use vaccel_abi::config::vaccel_config;
use vaccel_core::config::Config;
use vaccel_core::{runtime, version};

/// Runs when the library is loaded.
#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = constructor;

/// Runs when the process ends.
#[used]
#[unsafe(link_section = ".fini_array")]
static DESTRUCTOR: extern "C" fn() = destructor;

extern "C" fn constructor() {
    crate::guard::code("vaccel", || {
        install();
        runtime::by_itself();
        Ok(())
    });
}

extern "C" fn destructor() {
    crate::guard::code("vaccel", || {
        runtime::at_exit();
        Ok(())
    });
}

/// What must be in place before the library starts.
fn install() {
    crate::log::install();
    #[cfg(feature = "builtin-rpc")]
    crate::builtin::install();
}

export! {
    /// Starts the library with the configuration of the environment.
    fn vaccel_bootstrap() {
        install();
        runtime::bootstrap()
    }

    /// Starts the library, or changes its configuration.
    fn vaccel_bootstrap_with_config(config: *mut vaccel_config) {
        install();
        runtime::bootstrap_with(Config::from_c(ptr!(config))?)
    }

    /// Unloads all plugins and removes the run-time files.
    fn vaccel_cleanup() {
        runtime::cleanup();
        Ok(())
    }

    /// Whether the library is up.
    fn vaccel_is_initialized() -> bool, false; { Ok(runtime::is_up()) }

    /// The folder of this process for run-time files; null while the library is down.
    fn vaccel_rundir() -> *const c_char, std::ptr::null(); {
        Ok(runtime::rundir().map_or(std::ptr::null(), std::ffi::CStr::as_ptr))
    }

    /// The version of the library.
    fn vaccel_version() -> *const c_char, std::ptr::null(); {
        const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
        const { assert!(VERSION.len() == version::VERSION.len() + 1) };
        Ok(VERSION.as_ptr().cast())
    }
}
