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

/// Sides in pixels, and quality: about 40, 150, 400 and 770 KB.
const KINDS: [(u32, u8); 4] = [(320, 78), (640, 76), (1024, 78), (1400, 79)];

pub(crate) fn make(folder: &Path) -> Result<Vec<Sample>> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let make = |&(side, quality): &(u32, u8)| {
        let path = folder.join(format!("{side}.jpg"));
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, quality).encode_image(&scene(side))?;
        std::fs::write(&path, &jpeg)?;
        Ok(Sample {
            path,
            kilobytes: jpeg.len() / 1000,
        })
    };
    KINDS.iter().map(make).collect()
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
