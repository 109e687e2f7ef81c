//! Encoded pictures in, RGB out.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, RgbImage};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use crate::error::{Error, Result};
use crate::jpeg;
use crate::picture::{MAX_PIXELS, Picture};

/// How large a picture may be; what is larger is refused before memory is taken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest side in pixels.
    pub side: u32,
    /// Width times height.
    pub pixels: u64,
}

impl Default for Limits {
    /// Sides of 16384 and 64 megapixels.
    fn default() -> Self {
        Self {
            side: 16384,
            pixels: 64_000_000,
        }
    }
}

impl Limits {
    fn check(&self, width: u32, height: u32) -> Result<()> {
        let pixels = u64::from(width) * u64::from(height);
        if pixels == 0 {
            return Err(Error::Picture(format!("{width} x {height} has no pixels")));
        }
        let most = self.pixels.min(MAX_PIXELS);
        if width > self.side || height > self.side || pixels > most {
            return Err(Error::Picture(format!(
                "{width} x {height} is too large, the limits are {} pixels a side and {most} in all",
                self.side
            )));
        }
        Ok(())
    }
}

/// Decodes a JPEG, PNG, WebP, BMP or PNM file, told by its first bytes.
///
/// Grey, CMYK, 16 bit and palette pixels become 8 bit RGB; transparency is dropped.
/// A picture is turned as its EXIF orientation says.
///
/// A JPEG file must have its end marker. Damage before it that leaves valid codes is not
/// detectable, and decodes as far as it goes.
///
/// # Errors
/// Another kind of file, a picture over the limits, damaged or truncated data.
pub fn decode(encoded: &[u8], limits: &Limits) -> Result<Picture> {
    let format = format_of(encoded)?;
    // The decoders mean not to panic. They parse what strangers send, so this is the second lock.
    catch_unwind(AssertUnwindSafe(|| match format {
        ImageFormat::Jpeg => decode_jpeg(encoded, limits),
        other => decode_other(encoded, other, limits),
    }))
    .unwrap_or_else(|_| {
        Err(Error::Picture(format!(
            "{} data that broke the decoder",
            name(format)
        )))
    })
}

fn format_of(encoded: &[u8]) -> Result<ImageFormat> {
    match encoded {
        [0xff, 0xd8, 0xff, ..] => Ok(ImageFormat::Jpeg),
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Ok(ImageFormat::Png),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => Ok(ImageFormat::WebP),
        [b'B', b'M', ..] => Ok(ImageFormat::Bmp),
        [b'P', b'1'..=b'7', b' ' | b'\n' | b'\r' | b'\t' | b'#', ..] => Ok(ImageFormat::Pnm),
        [] => Err(Error::Picture("no data".to_owned())),
        _ => {
            let start = &encoded[..encoded.len().min(8)];
            Err(Error::Picture(format!(
                "not a JPEG, PNG, WebP, BMP or PNM file; it begins with \"{}\"",
                start.escape_ascii()
            )))
        }
    }
}

fn name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Png => "PNG",
        ImageFormat::WebP => "WebP",
        ImageFormat::Bmp => "BMP",
        _ => "PNM",
    }
}

fn decode_jpeg(encoded: &[u8], limits: &Limits) -> Result<Picture> {
    let bad = |reason: &dyn std::fmt::Display| Error::Picture(format!("damaged JPEG: {reason}"));
    let frame = jpeg::scan(encoded).map_err(|reason| bad(&reason))?;
    limits.check(frame.width, frame.height)?;

    let options = DecoderOptions::default()
        .set_max_width(limits.side as usize)
        .set_max_height(limits.side as usize)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(encoded), options);
    // Odd headers are common and harmless, so they are read leniently. Odd pixels are not:
    // without strict mode the rest of a damaged picture would silently be grey.
    decoder.decode_headers().map_err(|e| bad(&e))?;
    if !matches!(
        decoder.input_colorspace(),
        Some(
            ColorSpace::Luma
                | ColorSpace::YCbCr
                | ColorSpace::RGB
                | ColorSpace::CMYK
                | ColorSpace::YCCK
        )
    ) {
        return Err(bad(&"neither grey, colour nor CMYK"));
    }
    let (width, height) = (frame.width, frame.height);
    if decoder.dimensions() != Some((width as usize, height as usize)) {
        return Err(bad(&"its headers contradict each other"));
    }
    let strict = decoder.options().set_strict_mode(true);
    decoder.set_options(strict);
    let rgb = decoder.decode().map_err(|e| bad(&e))?;

    let picture = Picture::new(width, height, rgb)?;
    match frame.orientation {
        None | Some(Orientation::NoTransforms) => Ok(picture),
        Some(orientation) => turn(picture, orientation),
    }
}

fn turn(picture: Picture, orientation: Orientation) -> Result<Picture> {
    let (width, height) = (picture.width(), picture.height());
    let pixels = RgbImage::from_raw(width, height, picture.into_rgb())
        .ok_or_else(|| Error::Picture("too large to turn".to_owned()))?;
    let mut image = DynamicImage::ImageRgb8(pixels);
    image.apply_orientation(orientation);
    Ok(Picture::from_image(image))
}

fn decode_other(encoded: &[u8], format: ImageFormat, limits: &Limits) -> Result<Picture> {
    let bad = |e: image::ImageError| Error::Picture(format!("damaged {}: {e}", name(format)));
    let mut reader = ImageReader::with_format(Cursor::new(encoded), format);
    let mut allowed = image::Limits::default();
    allowed.max_image_width = Some(limits.side);
    allowed.max_image_height = Some(limits.side);
    // 16 bit RGBA is the widest pixel there is; some slack for the decoder's own buffers.
    allowed.max_alloc = Some(limits.pixels.saturating_mul(8).saturating_add(64 << 20));
    reader.limits(allowed);
    let mut decoder = reader.into_decoder().map_err(bad)?;
    let (width, height) = decoder.dimensions();
    limits.check(width, height)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(bad)?;
    image.apply_orientation(orientation);
    Ok(Picture::from_image(image))
}
