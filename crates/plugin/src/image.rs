//! Results of the image operations.

use crate::error::Result;

/// Path of the annotated picture that an operation made; empty when it made none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Picture(String);

impl Picture {
    /// No picture.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// A picture at this path.
    pub fn at(path: impl Into<String>) -> Self {
        Self(path.into())
    }

    /// The path; empty when there is none.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0
    }
}

/// What a classification says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Classified {
    /// Lines for people, the best first, for example `tabby: 97.3 %`.
    pub text: String,
    /// The annotated picture.
    pub picture: Picture,
}

/// Writes text and a terminating zero to a buffer of the caller's, cut at a
/// character when it is too short: half a description is of use.
pub(crate) fn write_text(text: &str, out: &mut [u8]) {
    let Some(room) = out.len().checked_sub(1) else {
        return;
    };
    let text = text.split('\0').next().unwrap_or_default();
    let end = text.floor_char_boundary(room);
    out[..end].copy_from_slice(&text.as_bytes()[..end]);
    out[end] = 0;
}

/// Writes a path and a terminating zero; `ERANGE` when it does not fit, for
/// half a path is of no use. A buffer of length 0 means "not wanted".
pub(crate) fn write_path(path: &str, out: &mut [u8]) -> Result<()> {
    if !out.is_empty() && path.len() >= out.len() {
        crate::bail!(
            ERANGE,
            "the path of the picture needs {} bytes, but out_imgname has {}",
            path.len() + 1,
            out.len()
        );
    }
    write_text(path, out);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_at_a_character_and_always_ends_with_zero() {
        let mut out = [9_u8; 4];
        write_text("aé€", &mut out);
        assert_eq!(&out, b"a\xc3\xa9\0");
        let mut out = [9_u8; 3];
        write_text("aé", &mut out);
        assert_eq!(&out, b"a\0\x09");
        write_text("abc", &mut []);
    }

    #[test]
    fn a_path_fits_whole_or_is_refused() {
        let mut out = [9_u8; 4];
        assert!(write_path("/ab", &mut out).is_ok());
        assert_eq!(&out, b"/ab\0");
        assert!(write_path("/abc", &mut out).is_err());
        assert!(write_path("/abc", &mut []).is_ok());
    }
}
