//! A picture with the statistics of a photo: smooth shapes, some texture, some noise.
//! `cargo xtask bench backends` measures with it, too.

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};

/// A JPEG file, quality 85.
pub(crate) fn jpeg(width: u32, height: u32) -> Result<Vec<u8>, image::ImageError> {
    let mut state = 1_u32;
    let mut noise = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as f32 / 255.0 - 0.5
    };
    let pixels = image::RgbImage::from_fn(width, height, |x, y| {
        let (u, v) = (x as f32 / width as f32, y as f32 / height as f32);
        let shape = (u * 9.0).sin() * (v * 7.0).cos() + ((u + v) * 31.0).sin() * 0.3;
        let edge = if ((u - 0.5).powi(2) + (v - 0.4).powi(2)).sqrt() < 0.25 {
            0.5
        } else {
            -0.2
        };
        let texture = ((u * 190.0).sin() + (v * 230.0).sin()) * 0.08;
        let grain = noise() * 0.08;
        let level = |tint: f32| ((shape * tint + edge + texture + grain) * 70.0 + 120.0) as u8;
        image::Rgb([level(1.0), level(0.8), level(0.5)])
    });
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, 85).write_image(
        pixels.as_raw(),
        width,
        height,
        ExtendedColorType::Rgb8,
    )?;
    Ok(file)
}
