//! The logger's C interface (`slog.h`).

use libc::{c_char, c_uint};

/// `SLOG_FLAGS_E`: a bit for each kind of line.
pub type SlogFlag = c_uint;
/// A line without tag.
pub const SLOG_NOTAG: SlogFlag = 1;
/// Note.
pub const SLOG_NOTE: SlogFlag = 2;
/// Information.
pub const SLOG_INFO: SlogFlag = 4;
/// Warning.
pub const SLOG_WARN: SlogFlag = 8;
/// Debug.
pub const SLOG_DEBUG: SlogFlag = 16;
/// Trace.
pub const SLOG_TRACE: SlogFlag = 32;
/// Error.
pub const SLOG_ERROR: SlogFlag = 64;
/// Fatal error.
pub const SLOG_FATAL: SlogFlag = 128;

/// No colours.
pub const SLOG_COLOR_DISABLE: c_uint = 0;
/// Coloured tag.
pub const SLOG_COLOR_TAG: c_uint = 1;
/// Whole line coloured.
pub const SLOG_COLOR_FULL: c_uint = 2;

/// Settings of the logger, as `slog_config_get` and `slog_config_set` exchange them.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SLogConfig {
    /// File name without date and ending; zero-terminated.
    pub file_name: [c_char; 256],
    /// Folder of the file; zero-terminated.
    pub file_path: [c_char; 2048],
    /// One of the `SLOG_COLOR_*` constants.
    pub color_format: c_uint,
    /// Switches, one bit each, lowest first: thread id in each line, write to
    /// the screen, keep the file open, write to a file, flush each line.
    pub switches: u8,
    /// The enabled `SLOG_*` kinds.
    pub flags: u16,
}
