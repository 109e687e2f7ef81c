//! Names of blobs: relative paths that stay below the resource's folder.

use crate::WireError;
use std::fmt;

/// The most bytes of a name.
pub const MAX_NAME: usize = 4096;

/// The most bytes between two slashes.
pub const MAX_COMPONENT: usize = 255;

/// What is wrong with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameFault {
    /// It has no bytes.
    Empty,
    /// It has more than [`MAX_NAME`] bytes.
    Long,
    /// It begins with a slash.
    Absolute,
    /// It has a zero byte.
    Zero,
    /// One component is empty, `.` or `..`.
    Component,
    /// One component has more than [`MAX_COMPONENT`] bytes.
    LongComponent,
}

impl fmt::Display for NameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "is empty",
            Self::Long => "is longer than 4096 bytes",
            Self::Absolute => "begins with `/`; it must be relative to the resource",
            Self::Zero => "has a zero byte",
            Self::Component => "has an empty component, `.` or `..`",
            Self::LongComponent => "has a component of more than 255 bytes",
        })
    }
}

/// Checks that a name is a relative path that cannot leave its folder.
///
/// # Errors
/// [`WireError::Name`] that says what is wrong.
pub fn check_name(name: &[u8]) -> Result<(), WireError> {
    match fault(name) {
        None => Ok(()),
        Some(fault) => {
            let shown = &name[..name.len().min(100)];
            Err(WireError::Name {
                name: String::from_utf8_lossy(shown).into_owned(),
                fault,
            })
        }
    }
}

fn fault(name: &[u8]) -> Option<NameFault> {
    if name.is_empty() {
        return Some(NameFault::Empty);
    }
    if name.len() > MAX_NAME {
        return Some(NameFault::Long);
    }
    if name[0] == b'/' {
        return Some(NameFault::Absolute);
    }
    if name.contains(&0) {
        return Some(NameFault::Zero);
    }
    name.split(|&b| b == b'/').find_map(|part| match part {
        b"" | b"." | b".." => Some(NameFault::Component),
        _ if part.len() > MAX_COMPONENT => Some(NameFault::LongComponent),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_are_taken() {
        for name in [
            "a",
            "model.onnx",
            "variables/variables.index",
            "..a/b..",
            "a b/\u{e9}",
        ] {
            assert_eq!(fault(name.as_bytes()), None, "{name}");
        }
        assert_eq!(fault(&[b'x'; MAX_COMPONENT]), None);
    }

    #[test]
    fn names_that_could_leave_the_folder_are_refused() {
        for name in [
            "..",
            "../x",
            "a/../../x",
            "a/..",
            "/etc/passwd",
            "a//b",
            "a/",
            ".",
            "a/./b",
            "",
        ] {
            assert!(check_name(name.as_bytes()).is_err(), "{name}");
        }
        assert_eq!(fault(b"a\0b"), Some(NameFault::Zero));
        assert_eq!(fault(&[b'x'; 256]), Some(NameFault::LongComponent));
        assert_eq!(fault(&b"ab/".repeat(1366)), Some(NameFault::Long));
    }
}
