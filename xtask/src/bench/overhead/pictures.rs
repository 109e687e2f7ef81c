//! Pictures of the sizes that people send, made so that everybody has the same.

use anyhow::{Context, Result};
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};
use std::path::{Path, PathBuf};

/// A picture.
#[derive(Clone)]
pub(crate) struct Sample {
    pub(crate) path: PathBuf,
    pub(crate) kilobytes: usize,
}

/// Sides in pixels, and thousands of bytes.
const KINDS: [(u32, usize); 4] = [(320, 41), (640, 150), (1024, 400), (1400, 772)];

pub(crate) fn make(folder: &Path) -> Result<Vec<Sample>> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let make = |&(side, kilobytes): &(u32, usize)| {
        let path = folder.join(format!("{side}.jpg"));
        let jpeg = compressed(&scene(side), kilobytes * 1000)?;
        std::fs::write(&path, &jpeg)?;
        Ok(Sample {
            path,
            kilobytes: jpeg.len() / 1000,
        })
    };
    KINDS.iter().map(make).collect()
}

/// At the quality that comes nearest to so many bytes.
fn compressed(scene: &RgbImage, bytes: usize) -> Result<Vec<u8>> {
    let at = |quality| {
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, quality).encode_image(scene)?;
        anyhow::Ok(jpeg)
    };
    let (mut low, mut high) = (50, 98);
    while high - low > 1 {
        let middle = (low + high) / 2;
        match at(middle)?.len() < bytes {
            true => low = middle,
            false => high = middle,
        }
    }
    let (under, over) = (at(low)?, at(high)?);
    Ok(
        match bytes - under.len().min(bytes) < over.len().abs_diff(bytes) {
            true => under,
            false => over,
        },
    )
}

/// Waves and grain: about as many bytes a pixel as a photograph has.
fn scene(side: u32) -> RgbImage {
    let mut state = 1u32;
    RgbImage::from_fn(side, side, |x, y| {
        // xorshift32
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let grain = (state >> 28) as f32 * 2.0;
        let (x, y) = (x as f32 / side as f32, y as f32 / side as f32);
        let wave = |f: f32, p: f32| 110.0 + 90.0 * ((x * f + p).sin() * (y * f * 0.7 - p).cos());
        Rgb([wave(9.0, 0.3), wave(14.0, 1.1), wave(23.0, 2.0)].map(|v| (v + grain) as u8))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn pictures_have_about_the_sizes_that_are_wanted() {
        let scene = scene(320);
        let jpeg = compressed(&scene, 41_000).unwrap();
        assert!(jpeg.len().abs_diff(41_000) < 3000, "{}", jpeg.len());
    }
}
