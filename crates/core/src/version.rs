//! Version numbers and which plugins fit which library.

use crate::{Result, fail};
use std::ffi::CStr;

/// The version of this library.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The same for C.
pub(crate) const VERSION_C: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(text) => text,
        Err(_) => c"",
    };

/// `major.minor.patch` and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version<'a> {
    /// Plugins must have the same.
    pub major: u32,
    /// Differences are only warned about.
    pub minor: u32,
    /// Differences are only warned about.
    pub patch: u32,
    /// For example `-93-gabcdef`.
    pub extra: &'a str,
}

/// Reads `0.8.0`, `v0.8.0`, `0.7.1-93-gabcdef`.
#[must_use]
pub fn parse(text: &str) -> Option<Version<'_>> {
    let text = text.trim();
    let text = text.strip_prefix('v').unwrap_or(text);
    let (major, text) = number(text)?;
    let (minor, text) = number(text.strip_prefix('.')?)?;
    let (patch, extra) = number(text.strip_prefix('.')?)?;
    let separated = extra.is_empty() || extra.starts_with(['-', '+', '.', '~']);
    separated.then_some(Version {
        major,
        minor,
        patch,
        extra,
    })
}

fn number(text: &str) -> Option<(u32, &str)> {
    let end = text
        .bytes()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// Whether a plugin compiled for one version of the library may be used with
/// another: `Ok(true)` when the versions are equal, `Ok(false)` when they differ
/// in a way that is worth a warning.
///
/// # Errors
/// `EINVAL` when a version cannot be read or the major numbers differ.
pub fn check(plugin: Option<&str>, library: &str) -> Result<bool> {
    let Some(plugin) = plugin else {
        fail!(
            EINVAL,
            "it does not say for which version of vaccel it was made"
        );
    };
    let (Some(theirs), Some(ours)) = (parse(plugin), parse(library)) else {
        fail!(
            EINVAL,
            "`{plugin}` is not a version number such as {library}"
        );
    };
    if theirs.major != ours.major {
        fail!(
            EINVAL,
            "it was made for vaccel {plugin} and this is {library}; \
             rebuild it or set VACCEL_VERSION_IGNORE=1"
        );
    }
    Ok(theirs == ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_with_their_extra_part() {
        let v = parse("v0.7.1-93-gdeadbee").map(|v| (v.major, v.minor, v.patch, v.extra.len()));
        assert_eq!(v, Some((0, 7, 1, 12)));
        for bad in [
            "",
            "0",
            "0.8",
            "a.b.c",
            "0.8.x",
            "0.8.0rc",
            "99999999999.0.0",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_the_major_number_keeps_a_plugin_out() {
        assert_eq!(check(Some("0.8.0"), "0.8.0").ok(), Some(true));
        assert_eq!(check(Some("0.7.1"), "0.8.0").ok(), Some(false));
        assert!(check(Some("1.8.0"), "0.8.0").is_err());
        assert!(check(Some("new"), "0.8.0").is_err());
        assert!(check(None, "0.8.0").is_err());
    }
}
