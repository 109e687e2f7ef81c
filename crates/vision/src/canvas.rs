//! Drawing on a picture: every call keeps to the pixels there are.

use crate::colormap::{Colour, readable_on};
use crate::font;
use crate::picture::Picture;

/// A picture that is drawn on, and how thick things are drawn.
pub(crate) struct Canvas {
    picture: Picture,
    /// Width of lines, and of the pixels of letters.
    pub(crate) thickness: u32,
}

impl Canvas {
    pub(crate) fn new(picture: Picture) -> Self {
        let shorter = picture.width().min(picture.height());
        Self {
            picture,
            thickness: (shorter / 240).max(1),
        }
    }

    pub(crate) fn finish(self) -> Picture {
        self.picture
    }

    /// Height of a line of text with its border.
    pub(crate) fn line_height(&self) -> i64 {
        i64::from((font::SIDE + 2) * self.thickness)
    }

    fn size(&self) -> (i64, i64) {
        (
            i64::from(self.picture.width()),
            i64::from(self.picture.height()),
        )
    }

    /// The bytes of columns `left..right` of row `y`, cut to the picture.
    fn span(&mut self, left: i64, right: i64, y: i64) -> &mut [[u8; 3]] {
        let (width, height) = self.size();
        let (left, right) = (left.clamp(0, width), right.clamp(0, width));
        if y < 0 || y >= height || left >= right {
            return &mut [];
        }
        let pixels = self.picture.rgb_mut().as_chunks_mut::<3>().0;
        // All within the picture now, so the casts keep their values.
        &mut pixels[(y * width + left) as usize..(y * width + right) as usize]
    }

    pub(crate) fn fill(&mut self, left: i64, top: i64, right: i64, bottom: i64, colour: Colour) {
        let height = self.size().1;
        for y in top.clamp(0, height)..bottom.clamp(0, height) {
            self.span(left, right, y).fill(colour);
        }
    }

    /// A frame of which the given edges are the outer ones.
    pub(crate) fn frame(&mut self, left: i64, top: i64, right: i64, bottom: i64, colour: Colour) {
        let t = i64::from(self.thickness) + 1;
        self.fill(left, top, right, (top + t).min(bottom), colour);
        self.fill(left, (bottom - t).max(top), right, bottom, colour);
        self.fill(left, top, (left + t).min(right), bottom, colour);
        self.fill((right - t).max(left), top, right, bottom, colour);
    }

    /// Mixes a pixel half and half with a colour.
    pub(crate) fn blend(&mut self, x: u32, y: u32, colour: Colour) {
        let x = i64::from(x);
        if let [pixel] = self.span(x, x + 1, i64::from(y)) {
            mix(pixel, colour);
        }
    }

    /// Mixes the pixels of a row, from its left end, half and half with colours.
    pub(crate) fn blend_row(&mut self, y: u32, colours: impl Iterator<Item = Option<Colour>>) {
        let row = self.span(0, i64::MAX, i64::from(y));
        for (pixel, colour) in row.iter_mut().zip(colours) {
            if let Some(colour) = colour {
                mix(pixel, colour);
            }
        }
    }

    pub(crate) fn disc(&mut self, x: i64, y: i64, radius: i64, colour: Colour) {
        for dy in -radius..=radius {
            let half = ((radius * radius - dy * dy) as f64).sqrt() as i64;
            self.span(x - half, x + half + 1, y + dy).fill(colour);
        }
    }

    /// A line with round ends. Both must lie in or near the picture.
    pub(crate) fn line(&mut self, from: (i64, i64), to: (i64, i64), colour: Colour) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let steps = dx.abs().max(dy.abs()).max(1);
        let radius = i64::from(self.thickness);
        for step in 0..=steps {
            self.disc(
                from.0 + dx * step / steps,
                from.1 + dy * step / steps,
                radius,
                colour,
            );
        }
    }

    /// Text on a bar of a colour; `left` and `top` are the bar's corner.
    pub(crate) fn text(&mut self, left: i64, top: i64, text: &str, bar: Colour) {
        let scale = i64::from(self.thickness);
        let advance = i64::from(font::SIDE) * scale;
        let most = self.size().0 / advance + 2; // more letters would lie outside
        let letters: Vec<char> = text
            .chars()
            .take(usize::try_from(most).unwrap_or(0))
            .collect();
        let width = letters.len() as i64 * advance + 2 * scale;
        self.fill(left, top, left + width, top + self.line_height(), bar);
        let ink = readable_on(bar);
        let mut x = left + scale;
        for letter in letters {
            for (row, bits) in (0..).zip(font::glyph(letter)) {
                for column in (0..8).filter(|column| bits >> column & 1 == 1) {
                    let (x, y) = (x + column * scale, top + (row + 1) * scale);
                    self.fill(x, y, x + scale, y + scale, ink);
                }
            }
            x += advance;
        }
    }
}

fn mix(pixel: &mut [u8; 3], colour: Colour) {
    for (value, colour) in pixel.iter_mut().zip(colour) {
        *value = u8::midpoint(*value, colour);
    }
}
