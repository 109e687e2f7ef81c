//! One line to the host's log: `log::warn!("no GPU, using the processor")`.
//!
//! Nothing is formatted when the level is off. Without a host, errors and
//! warnings go to standard error.

use crate::host;
use std::ffi::CString;
use vaccel_abi::config::{LOG_DEBUG, LOG_ERROR, LOG_INFO, LOG_WARN};
use vaccel_abi::log::{SLOG_DEBUG, SLOG_ERROR, SLOG_INFO, SLOG_WARN, SlogFlag};

pub use crate::{log_debug as debug, log_error as error, log_info as info, log_warn as warn};

/// How important a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Level {
    /// Something failed.
    Error = LOG_ERROR,
    /// Something is odd, and work goes on.
    Warn = LOG_WARN,
    /// What happens.
    Info = LOG_INFO,
    /// What happens inside.
    Debug = LOG_DEBUG,
}

impl Level {
    const fn flag(self) -> SlogFlag {
        match self {
            Self::Error => SLOG_ERROR,
            Self::Warn => SLOG_WARN,
            Self::Info => SLOG_INFO,
            Self::Debug => SLOG_DEBUG,
        }
    }
}

/// True when lines of this level are wanted.
#[must_use]
pub fn enabled(level: Level) -> bool {
    level as u32 <= host::log_level().unwrap_or(LOG_WARN)
}

/// Writes a line if its level is enabled. Zero bytes in it become spaces.
pub fn write(level: Level, line: std::fmt::Arguments<'_>) {
    if !enabled(level) {
        return;
    }
    let line = c_text(line.to_string());
    if !host::print(level.flag(), &line) && level <= Level::Warn {
        eprintln!("vaccel: {}", line.to_string_lossy());
    }
}

/// A C string of any text: zero bytes become spaces.
pub(crate) fn c_text(text: String) -> CString {
    CString::new(text).unwrap_or_else(|e| {
        let mut bytes = e.into_vec();
        for b in &mut bytes {
            if *b == 0 {
                *b = b' ';
            }
        }
        // No zero is left, so this is never the default.
        CString::new(bytes).unwrap_or_default()
    })
}

/// Logs an error: `log::error!("...")`.
#[macro_export]
macro_rules! log_error {
    ($($text:tt)+) => { $crate::log::write($crate::log::Level::Error, ::std::format_args!($($text)+)) };
}
/// Logs a warning: `log::warn!("...")`.
#[macro_export]
macro_rules! log_warn {
    ($($text:tt)+) => { $crate::log::write($crate::log::Level::Warn, ::std::format_args!($($text)+)) };
}
/// Logs what happens: `log::info!("...")`.
#[macro_export]
macro_rules! log_info {
    ($($text:tt)+) => { $crate::log::write($crate::log::Level::Info, ::std::format_args!($($text)+)) };
}
/// Logs what happens inside: `log::debug!("...")`.
#[macro_export]
macro_rules! log_debug {
    ($($text:tt)+) => { $crate::log::write($crate::log::Level::Debug, ::std::format_args!($($text)+)) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_bytes_in_a_line_become_spaces() {
        assert_eq!(c_text("a\0b\0".into()).as_bytes(), b"a b ");
    }
}
