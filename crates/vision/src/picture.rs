//! A decoded picture.

use crate::error::{Error, Result};

/// What is made of a picture has at most 8 bytes for each pixel, and a vector at most
/// `isize::MAX` bytes: on 32 bit machines this is a number that a file can have.
pub(crate) const MAX_PIXELS: u64 = isize::MAX as u64 / 8;

/// Pixels of a picture: 8 bit RGB, row after row, origin top left.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

impl Picture {
    /// Takes pixels that are already decoded.
    ///
    /// # Errors
    /// A width or height of zero, too many pixels for the address space, or `rgb` not exactly
    /// `3 * width * height` bytes long.
    pub fn new(width: u32, height: u32, rgb: Vec<u8>) -> Result<Self> {
        let pixels = u64::from(width) * u64::from(height);
        let wanted = pixels.saturating_mul(3);
        if pixels > MAX_PIXELS {
            return Err(Error::Picture(format!(
                "{width} x {height} is more than the {MAX_PIXELS} pixels that memory can address"
            )));
        }
        if wanted == 0 || rgb.len() as u64 != wanted {
            return Err(Error::Picture(format!(
                "{width} x {height} RGB pixels take {wanted} bytes and at least one pixel, got {} bytes",
                rgb.len()
            )));
        }
        Ok(Self { width, height, rgb })
    }

    /// Width in pixels, at least 1.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels, at least 1.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The bytes: `3 * width * height`, red first.
    #[must_use]
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// Gives the bytes away.
    #[must_use]
    pub fn into_rgb(self) -> Vec<u8> {
        self.rgb
    }

    /// Takes any image that has at least one pixel.
    pub(crate) fn from_image(image: image::DynamicImage) -> Self {
        let pixels = image.into_rgb8();
        Self {
            width: pixels.width(),
            height: pixels.height(),
            rgb: pixels.into_raw(),
        }
    }

    /// All black, of a size that another picture has.
    pub(crate) fn black((width, height): (u32, u32)) -> Self {
        Self {
            width,
            height,
            rgb: vec![0; width as usize * height as usize * 3],
        }
    }

    pub(crate) fn rgb_mut(&mut self) -> &mut [u8] {
        &mut self.rgb
    }
}

impl std::fmt::Debug for Picture {
    // The bytes themselves would drown a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture({} x {})", self.width, self.height)
    }
}
