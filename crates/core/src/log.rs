//! Log lines on standard output or in a file.

use crate::{Result, fail, flags, lock};
use std::ffi::{CStr, OsStr, c_char};
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Mutex;
use vaccel_abi::config::{LOG_DEBUG, LOG_ERROR, LOG_INFO, LOG_WARN, LogLevel};
use vaccel_abi::log::{
    SLOG_COLOR_DISABLE, SLOG_COLOR_FULL, SLOG_COLOR_TAG, SLOG_DEBUG, SLOG_ERROR, SLOG_FATAL,
    SLOG_INFO, SLOG_NOTAG, SLOG_NOTE, SLOG_TRACE, SLOG_WARN, SLogConfig, SlogFlag,
};

/// Log an error: a format string and its arguments.
#[macro_export]
macro_rules! log_error { ($($arg:tt)+) => { $crate::log_at!(SLOG_ERROR, $($arg)+) }; }
/// Log a warning.
#[macro_export]
macro_rules! log_warn { ($($arg:tt)+) => { $crate::log_at!(SLOG_WARN, $($arg)+) }; }
/// Log information.
#[macro_export]
macro_rules! log_info { ($($arg:tt)+) => { $crate::log_at!(SLOG_INFO, $($arg)+) }; }
/// Log for debugging.
#[macro_export]
macro_rules! log_debug { ($($arg:tt)+) => { $crate::log_at!(SLOG_DEBUG, $($arg)+) }; }
/// Log at a kind; nothing is formatted when the kind is off.
#[macro_export]
macro_rules! log_at {
    ($flag:ident, $($arg:tt)+) => {
        if $crate::log::enabled(::vaccel_abi::log::$flag) {
            $crate::log::write(::vaccel_abi::log::$flag, true, format!($($arg)+).as_bytes());
        }
    };
}

/// Switches of `SLogConfig`, lowest bit first.
const WITH_THREAD: u8 = 1;
const TO_SCREEN: u8 = 2;
const KEEP_OPEN: u8 = 4;
const TO_FILE: u8 = 8;
const FLUSH: u8 = 16;

struct Settings {
    file_name: Vec<u8>,
    file_path: Vec<u8>,
    color: u32,
    switches: u8,
    to_stderr: bool,
}

static SETTINGS: Mutex<Settings> = Mutex::new(Settings {
    file_name: Vec::new(),
    file_path: Vec::new(),
    color: SLOG_COLOR_TAG,
    switches: TO_SCREEN | FLUSH,
    to_stderr: false,
});

/// True when lines of this kind are wanted.
#[inline]
#[must_use]
pub fn enabled(flag: SlogFlag) -> bool {
    flags::get() & flag & flags::LOG_MASK != 0
}

/// The kinds of a level: those of the levels below it, and lines without level.
#[must_use]
pub fn kinds_of(level: LogLevel) -> SlogFlag {
    let mut kinds = SLOG_NOTAG | SLOG_FATAL;
    if level >= LOG_ERROR {
        kinds |= SLOG_ERROR;
    }
    if level >= LOG_WARN {
        kinds |= SLOG_WARN;
    }
    if level >= LOG_INFO {
        kinds |= SLOG_INFO | SLOG_NOTE;
    }
    if level >= LOG_DEBUG {
        kinds |= SLOG_DEBUG;
    }
    kinds
}

/// Sets level and place: `file` is a prefix to which the day and `.log` are
/// added, `/dev/stdout`, `/dev/stderr` or `/dev/null`; `None` is standard output.
///
/// # Errors
/// `ENAMETOOLONG` for a file name that `SLogConfig` has no room for.
pub fn configure(level: LogLevel, file: Option<&CStr>) -> Result {
    let mut settings = lock(&SETTINGS);
    settings.color = SLOG_COLOR_TAG;
    settings.to_stderr = false;
    settings.switches = TO_SCREEN | FLUSH;
    match file.map(CStr::to_bytes) {
        None | Some(b"" | b"/dev/stdout") => {}
        Some(b"/dev/stderr") => settings.to_stderr = true,
        Some(b"/dev/null") => settings.switches = 0,
        Some(path) => {
            let (folder, name) = match path.iter().rposition(|&b| b == b'/') {
                Some(0) => (&b"/"[..], &path[1..]),
                Some(at) => (&path[..at], &path[at + 1..]),
                None => (&b"."[..], path),
            };
            if name.len() > 255 || folder.len() > 2047 {
                fail!(
                    ENAMETOOLONG,
                    "the log file name `{}` is too long",
                    String::from_utf8_lossy(path)
                );
            }
            settings.file_name = name.to_vec();
            settings.file_path = folder.to_vec();
            settings.switches = TO_FILE | FLUSH;
        }
    }
    flags::set(flags::LOG_MASK, kinds_of(level));
    Ok(())
}

/// `slog_init`: file name, enabled kinds; lines go to the screen.
pub fn init(name: &CStr, kinds: u16) {
    let mut settings = lock(&SETTINGS);
    settings.file_name = name.to_bytes().iter().copied().take(255).collect();
    settings.file_path = b".".to_vec();
    settings.color = SLOG_COLOR_TAG;
    settings.switches = TO_SCREEN | FLUSH;
    settings.to_stderr = false;
    flags::set(flags::LOG_MASK, u32::from(kinds));
}

/// Turns kinds on.
pub fn enable(kinds: SlogFlag) {
    flags::set(kinds & flags::LOG_MASK, kinds);
}

/// Turns kinds off.
pub fn disable(kinds: SlogFlag) {
    flags::set(kinds & flags::LOG_MASK, 0);
}

/// Back to standard output with errors only.
pub fn shutdown() {
    // Cannot fail: there is no file name to be too long.
    let _ = configure(LOG_ERROR, None);
}

/// The settings in their C form.
#[must_use]
pub fn config() -> SLogConfig {
    let settings = lock(&SETTINGS);
    let mut out = SLogConfig {
        file_name: [0; 256],
        file_path: [0; 2048],
        color_format: settings.color,
        switches: settings.switches,
        // The kinds are eight bits.
        flags: (flags::get() & flags::LOG_MASK) as u16,
    };
    copy(&mut out.file_name, &settings.file_name);
    copy(&mut out.file_path, &settings.file_path);
    out
}

/// Takes the settings of a program.
pub fn set_config(config: &SLogConfig) {
    let mut settings = lock(&SETTINGS);
    settings.file_name = until_zero(&config.file_name);
    settings.file_path = until_zero(&config.file_path);
    settings.color = config.color_format;
    settings.switches = config.switches;
    settings.to_stderr = false;
    flags::set(flags::LOG_MASK, u32::from(config.flags));
}

fn copy(to: &mut [c_char], from: &[u8]) {
    let room = to.len() - 1;
    for (to, from) in to[..room].iter_mut().zip(from) {
        *to = *from as c_char;
    }
}

fn until_zero(chars: &[c_char]) -> Vec<u8> {
    chars
        .iter()
        .map(|&c| c as u8)
        .take_while(|&b| b != 0)
        .collect()
}

fn tag(flag: SlogFlag) -> Option<(&'static str, &'static str)> {
    Some(match flag {
        SLOG_NOTE => ("note", ""),
        SLOG_INFO => ("info", "\x1b[32m"),
        SLOG_WARN => ("warn", "\x1b[33m"),
        SLOG_DEBUG => ("debug", "\x1b[34m"),
        SLOG_TRACE => ("trace", "\x1b[36m"),
        SLOG_ERROR => ("error", "\x1b[31m"),
        SLOG_FATAL => ("fatal", "\x1b[31m"),
        _ => return None,
    })
}

/// Writes one line: time, kind, text.
pub fn write(flag: SlogFlag, newline: bool, text: &[u8]) {
    if !enabled(flag) {
        return;
    }
    let settings = lock(&SETTINGS);
    let (day, time) = now();
    let line = |color: u32| {
        let color = if color == SLOG_COLOR_DISABLE {
            None
        } else {
            Some(color)
        };
        let mut head = format!("{time} - ");
        if settings.switches & WITH_THREAD != 0 {
            // SAFETY: gettid has no preconditions.
            let tid = unsafe { libc::gettid() };
            let _ = write!(head, "({tid}) ");
        }
        let mut tail = "";
        if let Some((name, ansi)) = tag(flag) {
            match color {
                Some(SLOG_COLOR_FULL) if !ansi.is_empty() => {
                    head.insert_str(0, ansi);
                    let _ = write!(head, "<{name}> ");
                    tail = "\x1b[0m";
                }
                Some(_) if !ansi.is_empty() => {
                    let _ = write!(head, "{ansi}<{name}>\x1b[0m ");
                }
                _ => {
                    let _ = write!(head, "<{name}> ");
                }
            }
        }
        let mut line = head.into_bytes();
        line.extend_from_slice(text);
        line.extend_from_slice(tail.as_bytes());
        if newline {
            line.push(b'\n');
        }
        line
    };
    if settings.switches & TO_SCREEN != 0 {
        let fd = if settings.to_stderr { 2 } else { 1 };
        // SAFETY: isatty takes any number.
        let terminal = unsafe { libc::isatty(fd) } == 1;
        let color = if terminal {
            settings.color
        } else {
            SLOG_COLOR_DISABLE
        };
        let line = line(color);
        if settings.to_stderr {
            let _ = std::io::stderr().write_all(&line);
        } else {
            to_stdout(&line);
        }
    }
    if settings.switches & TO_FILE != 0 {
        let mut name = settings.file_name.clone();
        name.extend_from_slice(format!("-{day}.log").as_bytes());
        let path: PathBuf = [
            OsStr::from_bytes(&settings.file_path),
            OsStr::from_bytes(&name),
        ]
        .iter()
        .collect();
        append(&path, &line(SLOG_COLOR_DISABLE));
    }
}

/// Opened for each line: the day is part of the name, and the file may be
/// rotated or removed at any time. `KEEP_OPEN` is accepted and needs nothing.
fn append(path: &std::path::Path, line: &[u8]) {
    const _: u8 = KEEP_OPEN;
    let result = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .and_then(|mut file| file.write_all(line));
    if let Err(e) = result {
        let _ = writeln!(
            std::io::stderr(),
            "vaccel: cannot write to the log {}: {e}",
            path.display()
        );
        let _ = std::io::stderr().write_all(line);
    }
}

/// Through C's own buffer, so that lines stay in order with what a C program
/// prints, and flushed, so that none is lost in a crash.
fn to_stdout(line: &[u8]) {
    unsafe extern "C" {
        static stdout: *mut libc::FILE;
    }
    // SAFETY: C's `stdout` is valid for the life of the process; the line is
    // initialised memory of that length.
    unsafe {
        libc::fwrite(line.as_ptr().cast(), 1, line.len(), stdout);
        libc::fflush(stdout);
    }
}

/// Day as in file names and time as in lines, both local.
fn now() -> (String, String) {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: plain C structures; localtime_r is the thread-safe one and an
    // all-zero `tm` is a valid one.
    let tm = unsafe {
        libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut time);
        let mut tm: libc::tm = std::mem::zeroed();
        libc::localtime_r(&raw const time.tv_sec, &raw mut tm);
        tm
    };
    let (year, month, day) = (tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
    (
        format!("{year:04}-{month:02}-{day:02}"),
        format!(
            "{year:04}.{month:02}.{day:02}-{:02}:{:02}:{:02}.{:02}",
            tm.tm_hour,
            tm.tm_min,
            tm.tm_sec,
            time.tv_nsec / 10_000_000
        ),
    )
}

/// Reads a level: a number from 1 to 4 or its name.
#[must_use]
pub fn parse_level(text: &str) -> Option<LogLevel> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "error" => Some(LOG_ERROR),
        "2" | "warn" | "warning" => Some(LOG_WARN),
        "3" | "info" => Some(LOG_INFO),
        "4" | "debug" => Some(LOG_DEBUG),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_numbers_or_names() {
        assert_eq!(parse_level("debug"), Some(LOG_DEBUG));
        assert_eq!(parse_level("WARN"), Some(LOG_WARN));
        assert_eq!(parse_level("3"), Some(LOG_INFO));
        assert_eq!(parse_level("0"), None);
        assert_eq!(parse_level("5"), None);
        assert_eq!(parse_level("loud"), None);
    }

    #[test]
    fn a_level_contains_the_levels_below_it() {
        assert_eq!(
            kinds_of(LOG_ERROR) & (SLOG_WARN | SLOG_INFO | SLOG_DEBUG),
            0
        );
        let all = SLOG_ERROR | SLOG_WARN | SLOG_INFO | SLOG_DEBUG;
        assert_eq!(kinds_of(LOG_DEBUG) & all, all);
    }

    #[test]
    fn an_absolute_log_file_is_written_where_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let prefix = folder.path().join("log");
        let prefix = std::ffi::CString::new(prefix.as_os_str().as_bytes()).unwrap();
        configure(LOG_INFO, Some(&prefix)).unwrap();
        crate::log_info!("hello {}", 7);
        crate::log_debug!("not this");
        shutdown();
        let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(files.len(), 1);
        let path = files[0].as_ref().unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(
            name.starts_with("log-2") && name.ends_with(".log"),
            "{name}"
        );
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(" - <info> hello 7\n"), "{text}");
        assert!(!text.contains("not this"), "{text}");
    }
}
