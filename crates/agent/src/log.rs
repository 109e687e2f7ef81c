//! The log: one line a fact, to standard error, for people or as JSON.
//!
//! Agent and workers write to the same file; a line is one `write`, so that
//! lines of several processes do not mix. Events and spans are those of [`tracing`]; a line
//! says what the spans around it say: connection, session, request, tenant.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

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

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
        }
    }
}

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Settles what is logged and how; the first call counts.
pub fn init(program: &'static str, level: Level, format: Format) {
    let lines = Lines {
        program,
        level: level.into(),
        format,
    };
    // A second call would only come from a test in the same process.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines));
}

/// Writes events as lines, with what the spans around them say.
#[derive(Debug)]
struct Lines {
    program: &'static str,
    level: LevelFilter,
    format: Format,
}

/// Names and values, of an event or a span.
#[derive(Debug, Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn set(&mut self, name: &'static str, value: Value) {
        match self.others.iter_mut().find(|(other, _)| *other == name) {
            Some((_, old)) => *old = value,
            None => self.others.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            name => self.set(name, text.into()),
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        // Outer spans first, so that what is nearer counts.
        let mut all = Fields::default();
        for span in context
            .event_scope(event)
            .into_iter()
            .flat_map(|s| s.from_root())
        {
            if let Some(fields) = span.extensions().get::<Fields>() {
                for (name, value) in &fields.others {
                    all.set(name, value.clone());
                }
            }
        }
        event.record(&mut all);
        let line = self.line(*event.metadata().level(), &all);
        // Where the log cannot be written there is nobody to tell.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

impl Lines {
    fn line(&self, level: tracing::Level, fields: &Fields) -> String {
        let time = timestamp(SystemTime::now());
        let pid = std::process::id();
        let level = level.as_str().to_ascii_lowercase();
        if self.format == Format::Json {
            let mut line = serde_json::Map::new();
            for (name, value) in &fields.others {
                line.insert((*name).to_owned(), value.clone());
            }
            // After the others, whose names are not to hide these.
            for (name, value) in [
                ("time", time.into()),
                ("level", level.into()),
                ("program", self.program.into()),
                ("pid", pid.into()),
                ("message", fields.message.as_str().into()),
            ] {
                line.insert(name.to_owned(), value);
            }
            return format!("{}\n", Value::Object(line));
        }
        let mut line = format!("{time} {level:5} {}[{pid}]: ", self.program);
        let mut rest = String::new();
        let mut ids = String::new();
        for (name, value) in &fields.others {
            let value = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            match *name {
                "connection" | "session" | "request" => {
                    let _ = write!(ids, " {name} {value}");
                }
                // Where the client comes from is in the line's own words.
                "tenant" => {}
                _ => {
                    let _ = write!(rest, " {name}={value}");
                }
            }
        }
        if !ids.is_empty() {
            let _ = write!(line, "{}: ", ids.trim_start());
        }
        // Names and messages come from the other side: no line breaks, no escape sequences.
        escape(&fields.message, &mut line);
        escape(&rest, &mut line);
        line.push('\n');
        line
    }
}

/// Appends text so that it stays on its line, and shows what it is.
fn escape(text: &str, to: &mut String) {
    for c in text.chars() {
        // Those that are no control characters and yet change what a terminal shows.
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns {
            to.extend(c.escape_default());
        } else {
            to.push(c);
        }
    }
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

    fn lines(format: Format) -> Lines {
        Lines {
            program: "test",
            level: LevelFilter::DEBUG,
            format,
        }
    }

    fn fields(message: &str, others: &[(&'static str, Value)]) -> Fields {
        Fields {
            message: message.to_owned(),
            others: others.to_vec(),
        }
    }

    #[test]
    fn control_characters_of_the_other_side_do_not_reach_the_log() {
        let bad = fields(
            "a\nb\x1b[31m\u{202e}c",
            &[("connection", 3.into()), ("path", "x\ty".into())],
        );
        let line = lines(Format::Text).line(tracing::Level::INFO, &bad);
        let end = "connection 3: a\\nb\\u{1b}[31m\\u{202e}c path=x\\ty\n";
        assert!(line.ends_with(end), "{line:?}");
        let line = lines(Format::Json).line(tracing::Level::WARN, &bad);
        assert_eq!(line.matches('\n').count(), 1);
        assert!(
            line.chars().all(|c| c == '\n' || !c.is_control()),
            "{line:?}"
        );
        let value: Value = serde_json::from_str(&line).unwrap_or_default();
        assert_eq!(value["connection"], 3);
        assert_eq!(value["message"], "a\nb\x1b[31m\u{202e}c");
    }

    #[test]
    fn a_field_cannot_pass_for_what_every_line_has() {
        let line = lines(Format::Json).line(
            tracing::Level::ERROR,
            &fields(
                "true",
                &[("level", "info".into()), ("message", "false".into())],
            ),
        );
        let value: Value = serde_json::from_str(&line).unwrap_or_default();
        assert_eq!(
            (&value["level"], &value["message"]),
            (&"error".into(), &"true".into())
        );
    }

    #[test]
    fn levels_are_words_or_the_numbers_of_the_library() {
        assert_eq!("Warning".parse(), Ok(Level::Warn));
        assert_eq!("4".parse(), Ok(Level::Debug));
        assert!("loud".parse::<Level>().is_err());
    }
}
