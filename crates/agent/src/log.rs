//! The log: one line a fact, to standard error, for people or as JSON.
//!
//! Agent and workers write to the same file; a line is one `write`, so that
//! lines of several processes do not mix.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// How important a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something failed.
    Error,
    /// Something is not as it should be.
    Warn,
    /// Starts, ends, connections.
    Info,
    /// Everything.
    Debug,
}

impl Level {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "error" | "1" => Ok(Self::Error),
            "warn" | "warning" | "2" => Ok(Self::Warn),
            "info" | "3" => Ok(Self::Info),
            "debug" | "trace" | "4" => Ok(Self::Debug),
            _ => Err(format!(
                "`{text}` is not a log level; say error, warn, info or debug"
            )),
        }
    }
}

#[derive(Debug)]
struct Settings {
    program: &'static str,
    level: Level,
    json: bool,
}

static SETTINGS: OnceLock<Settings> = OnceLock::new();

/// Settles what is logged and how; the first call counts.
pub fn init(program: &'static str, level: Level, json: bool) {
    // A second call would only come from a test in the same process.
    let _ = SETTINGS.set(Settings {
        program,
        level,
        json,
    });
}

/// True when lines of this level are written.
#[must_use]
pub fn enabled(level: Level) -> bool {
    SETTINGS.get().is_some_and(|s| level <= s.level)
}

/// Writes one line. Use the macros [`error!`](crate::error) and the others.
pub fn write(level: Level, connection: Option<u64>, message: fmt::Arguments<'_>) {
    let Some(settings) = SETTINGS.get().filter(|s| level <= s.level) else {
        return;
    };
    let line = format(settings, level, connection, &message.to_string());
    // Where the log cannot be written there is nobody to tell.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

fn format(settings: &Settings, level: Level, connection: Option<u64>, message: &str) -> String {
    let time = timestamp(SystemTime::now());
    let pid = std::process::id();
    if settings.json {
        let mut line = serde_json::json!({
            "time": time,
            "level": level.name(),
            "program": settings.program,
            "pid": pid,
            "message": message,
        });
        if let Some(number) = connection {
            line["connection"] = number.into();
        }
        return format!("{line}\n");
    }
    let mut line = format!("{time} {:5} {}[{pid}]: ", level.name(), settings.program);
    if let Some(number) = connection {
        // Writing to a string cannot fail.
        let _ = write!(line, "connection {number}: ");
    }
    // Names and messages come from the other side: no line breaks, no escape sequences.
    line.extend(
        message
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c }),
    );
    line.push('\n');
    line
}

/// Date and time in UTC, RFC 3339 with milliseconds.
fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Civil date from days: years begin in March, so that the leap day comes last.
    // https://howardhinnant.github.io/date_algorithms.html
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_millis()
    )
}

/// Logs at a level: `log!(Level::Info, "text {}", value)`, or with the number of a
/// connection: `log!(Level::Info, connection = 7, "text")`.
#[macro_export]
macro_rules! log {
    ($level:expr, connection = $number:expr, $($text:tt)+) => {
        $crate::log::write($level, Some($number), format_args!($($text)+))
    };
    ($level:expr, $($text:tt)+) => {
        $crate::log::write($level, None, format_args!($($text)+))
    };
}

/// Logs an error.
#[macro_export]
macro_rules! error {
    ($($text:tt)+) => { $crate::log!($crate::log::Level::Error, $($text)+) };
}

/// Logs a warning.
#[macro_export]
macro_rules! warn {
    ($($text:tt)+) => { $crate::log!($crate::log::Level::Warn, $($text)+) };
}

/// Logs a start, an end or a connection.
#[macro_export]
macro_rules! info {
    ($($text:tt)+) => { $crate::log!($crate::log::Level::Info, $($text)+) };
}

/// Logs a detail.
#[macro_export]
macro_rules! debug {
    ($($text:tt)+) => { $crate::log!($crate::log::Level::Debug, $($text)+) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_written_as_dates_in_utc() {
        let at = |seconds| timestamp(UNIX_EPOCH + Duration::from_millis(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_399_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(at(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(1_709_251_200_500), "2024-03-01T00:00:00.500Z");
    }

    #[test]
    fn control_characters_of_the_other_side_do_not_reach_the_log() {
        let settings = Settings {
            program: "test",
            level: Level::Debug,
            json: false,
        };
        let line = format(&settings, Level::Info, Some(3), "a\nb\x1b[31m");
        assert!(line.ends_with("connection 3: a b [31m\n"), "{line:?}");
        let settings = Settings {
            json: true,
            ..settings
        };
        let line = format(&settings, Level::Warn, Some(3), "a\nb");
        assert_eq!(line.matches('\n').count(), 1);
        assert!(
            line.contains(r#""connection":3"#) && line.contains(r#"a\nb"#),
            "{line}"
        );
    }

    #[test]
    fn levels_are_words_or_the_numbers_of_the_library() {
        assert_eq!("Warning".parse(), Ok(Level::Warn));
        assert_eq!("4".parse(), Ok(Level::Debug));
        assert!("loud".parse::<Level>().is_err());
    }
}
