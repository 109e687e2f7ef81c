//! Results of the image operations.

use crate::error::Result;

/// The annotated picture of an operation: none, a file, or one that is made only
/// when the caller has a buffer for its path.
#[derive(Default)]
pub struct Picture(Origin);

#[derive(Default)]
enum Origin {
    #[default]
    None,
    At(String),
    Deferred(Box<dyn FnOnce() -> Result<String>>),
}

impl Picture {
    /// No picture.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// A picture at this path.
    pub fn at(path: impl Into<String>) -> Self {
        Self(Origin::At(path.into()))
    }

    /// A picture that `make` draws and writes, giving its path. It is not called
    /// when the caller asked for no picture: drawing often takes longer than the
    /// model.
    pub fn deferred(make: impl FnOnce() -> Result<String> + 'static) -> Self {
        Self(Origin::Deferred(Box::new(make)))
    }

    /// The path, the picture made if it is not yet; empty when there is none.
    ///
    /// # Errors
    /// Those of making it.
    pub fn into_path(self) -> Result<String> {
        match self.0 {
            Origin::None => Ok(String::new()),
            Origin::At(path) => Ok(path),
            Origin::Deferred(make) => make(),
        }
    }
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Origin::None => f.write_str("Picture(none)"),
            Origin::At(path) => write!(f, "Picture({path:?})"),
            Origin::Deferred(_) => f.write_str("Picture(deferred)"),
        }
    }
}

/// What a classification says.
#[derive(Debug, Default)]
pub struct Classified {
    /// Lines for people, the best first, for example `tabby: 97.3 %`.
    pub text: String,
    /// The annotated picture.
    pub picture: Picture,
}

/// Writes text and a terminating zero to a buffer of the caller's, cut at the end
/// of a line when it is too short, or at a character where not even the first line
/// fits: half a description is of use.
pub(crate) fn write_text(text: &str, out: &mut [u8]) {
    let Some(room) = out.len().checked_sub(1) else {
        return;
    };
    let text = text.split('\0').next().unwrap_or_default();
    let mut end = text.floor_char_boundary(room);
    if end < text.len()
        && let Some(line) = text[..end].rfind('\n')
    {
        end = line + 1;
    }
    out[..end].copy_from_slice(&text.as_bytes()[..end]);
    out[end] = 0;
}

/// Writes the path of a picture and a terminating zero; `ERANGE` when it does not
/// fit, for half a path is of no use. A buffer of length 0 means "not wanted", and
/// then the picture is not made.
pub(crate) fn write_path(picture: Picture, out: &mut [u8]) -> Result<()> {
    if out.is_empty() {
        return Ok(());
    }
    let path = picture.into_path()?;
    if path.len() >= out.len() {
        crate::bail!(
            ERANGE,
            "the path of the picture needs {} bytes, but out_imgname has {}",
            path.len() + 1,
            out.len()
        );
    }
    let (name, rest) = out.split_at_mut(path.len());
    name.copy_from_slice(path.as_bytes());
    rest[0] = 0;
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
    fn text_of_several_lines_is_cut_at_the_end_of_one() {
        let mut out = [9_u8; 12];
        write_text("cat: 90 %\ndog: 5 %\n", &mut out);
        assert_eq!(&out[..11], b"cat: 90 %\n\0");
        let mut out = [9_u8; 6];
        write_text("cat: 90 %\n", &mut out);
        assert_eq!(&out, b"cat: \0");
        let mut out = [9_u8; 11];
        write_text("cat: 90 %\n", &mut out);
        assert_eq!(&out, b"cat: 90 %\n\0");
    }

    #[test]
    fn a_picture_that_nobody_wants_is_not_made() {
        let deferred = || Picture::deferred(|| Err(crate::err!(EIO, "the disk is full")));
        assert!(write_path(deferred(), &mut []).is_ok());
        let error = write_path(deferred(), &mut [0; 9]).map_err(|e| e.code());
        assert_eq!(error, Err(crate::code::EIO));
    }

    #[test]
    fn a_path_fits_whole_or_is_refused() {
        let mut out = [9_u8; 4];
        assert!(write_path(Picture::at("/ab"), &mut out).is_ok());
        assert_eq!(&out, b"/ab\0");
        assert!(write_path(Picture::at("/abc"), &mut out).is_err());
        assert!(write_path(Picture::at("/abc"), &mut []).is_ok());
    }
}
