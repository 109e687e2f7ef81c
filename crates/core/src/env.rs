//! Environment variables, with their old names.

use std::ffi::OsString;

/// The value of a variable, or of its old name with a warning on standard error.
#[must_use]
pub fn var(name: &str, old: Option<&str>) -> Option<OsString> {
    if let Some(value) = std::env::var_os(name) {
        return Some(value);
    }
    let old = old?;
    let value = std::env::var_os(old)?;
    eprintln!("Warning: {old} is deprecated. Use {name} instead.");
    Some(value)
}

/// Reads a switch: a number (not 0 means on) or a word.
#[must_use]
pub fn parse_bool(text: &str) -> Option<bool> {
    let text = text.trim();
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "enabled" => Some(true),
        "false" | "no" | "off" | "disabled" | "" => Some(false),
        digits => digits.parse::<u64>().ok().map(|n| n != 0),
    }
}

/// A switch; what cannot be understood is said on standard error and ignored.
#[must_use]
pub fn switch(name: &str, old: Option<&str>, default: bool) -> bool {
    let Some(value) = var(name, old) else {
        return default;
    };
    parse_bool(&value.to_string_lossy()).unwrap_or_else(|| {
        eprintln!(
            "Warning: {name}={} is neither true nor false; using {default}.",
            value.display()
        );
        default
    })
}

#[cfg(test)]
mod tests {
    use super::parse_bool;

    #[test]
    fn switches_are_words_or_numbers() {
        for on in ["1", "true", "TRUE", "yes", "on", " 2 "] {
            assert_eq!(parse_bool(on), Some(true), "{on}");
        }
        for off in ["0", "false", "No", "off", ""] {
            assert_eq!(parse_bool(off), Some(false), "{off}");
        }
        assert_eq!(parse_bool("maybe"), None);
        assert_eq!(parse_bool("-1"), None);
    }
}
