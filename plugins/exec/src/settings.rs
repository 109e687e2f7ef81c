//! Environment variables of the plugin.

use libc::c_int;
use vaccel_plugin::log;

/// Name and meaning of each, for the plugin's description.
pub(crate) const VARIABLES: &[(&str, &str)] = &[
    (
        MODE,
        "lazy (default) or now: when symbols of a library are resolved",
    ),
    (
        CLOSE,
        "0/1/false/true: unload a library after each call; default false for libraries by path, \
         true for resources",
    ),
];

const MODE: &str = "VACCEL_EXEC_DLOPEN_MODE";
const CLOSE: &str = "VACCEL_EXEC_DLCLOSE_ENABLED";
const CLOSE_DEPRECATED: &str = "VACCEL_EXEC_DLCLOSE";

/// How libraries are loaded and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settings {
    /// `RTLD_LAZY` or `RTLD_NOW`.
    pub(crate) mode: c_int,
    /// Unload a library given by path after each call.
    pub(crate) close_library: bool,
    /// Unload a library that is a resource after each call.
    pub(crate) close_resource: bool,
}

impl Settings {
    pub(crate) fn from_env() -> Self {
        let old = std::env::var(CLOSE_DEPRECATED).ok();
        if old.is_some() {
            // To standard error, as the library does for its own old names.
            eprintln!("Warning: {CLOSE_DEPRECATED} is deprecated. Use {CLOSE} instead.");
        }
        let mode = std::env::var(MODE).ok();
        let close = std::env::var(CLOSE).ok().or(old);
        Self::parse(mode.as_deref(), close.as_deref())
    }

    /// A value that means nothing is reported and counts as unset.
    fn parse(mode: Option<&str>, close: Option<&str>) -> Self {
        let mode = match mode.map(str::to_ascii_lowercase).as_deref() {
            None | Some("" | "lazy") => libc::RTLD_LAZY,
            Some("now") => libc::RTLD_NOW,
            Some(other) => {
                log::warn!("{MODE}=`{other}`: use lazy or now; taking lazy");
                libc::RTLD_LAZY
            }
        };
        let close = match close.map(str::to_ascii_lowercase).as_deref() {
            None | Some("") => None,
            Some("1" | "true") => Some(true),
            Some("0" | "false") => Some(false),
            Some(other) => {
                log::warn!("{CLOSE}=`{other}`: use 0, 1, false or true; taking the default");
                None
            }
        };
        Self {
            mode,
            close_library: close.unwrap_or(false),
            close_resource: close.unwrap_or(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unset_and_senseless_values_are_the_defaults() {
        let defaults = Settings {
            mode: libc::RTLD_LAZY,
            close_library: false,
            close_resource: true,
        };
        assert_eq!(Settings::parse(None, None), defaults);
        assert_eq!(Settings::parse(Some("soon"), Some("maybe")), defaults);
    }

    #[test]
    fn one_setting_closes_both_kinds_or_none() {
        for (text, close) in [("1", true), ("TRUE", true), ("0", false), ("false", false)] {
            let s = Settings::parse(Some("now"), Some(text));
            assert_eq!(s.mode, libc::RTLD_NOW);
            assert_eq!(
                (s.close_library, s.close_resource),
                (close, close),
                "{text}"
            );
        }
    }
}
