//! Masks of single objects.

use super::Planes;
use crate::error::{Error, Result};
use crate::geometry::{Axis, Tap};
use crate::result::Detection;
use crate::words::Layout;

/// What the map of a model of single objects has where no object is.
const NO_OBJECT: u8 = 255;

/// The pixels of one object: where the score, interpolated between cells, is above zero.
#[derive(Debug)]
pub(crate) struct Mask {
    /// First pixel, and the one after the last, of the box in the picture.
    left: u32,
    top: u32,
    right: u32,
    bottom: u32,
    columns: Axis,
    rows: Axis,
    /// First column and row of cells that there are scores of.
    origin: (usize, usize),
    /// Number of columns of them.
    width: usize,
    /// Scores before the sigmoid; its 0.5 is their 0.
    scores: Vec<f32>,
    pub(crate) class: usize,
}

impl Mask {
    /// Weighs the prototypes in the cells that the box needs.
    pub(super) fn new(
        columns: Axis,
        rows: Axis,
        found: &Detection,
        prototypes: &Planes<'_>,
        weights: &[f32],
    ) -> Self {
        // The box was cut to the picture, so the casts cannot leave it.
        let pixel = |edge: f32, most: u32| (edge.round() as u32).min(most);
        let (left, top) = (
            pixel(found.x, columns.picture),
            pixel(found.y, rows.picture),
        );
        let right = pixel(found.x + found.width, columns.picture);
        let bottom = pixel(found.y + found.height, rows.picture);
        let needed = |axis: &Axis, from: u32, to: u32| {
            let taps = || axis.linear(from, to).flatten();
            let first = taps().map(|tap| tap.low).min().unwrap_or(0);
            (
                first,
                taps()
                    .map(|tap| tap.high + 1)
                    .max()
                    .unwrap_or(0)
                    .saturating_sub(first),
            )
        };
        let (x, width) = needed(&columns, left, right);
        let (y, height) = needed(&rows, top, bottom);
        let mut scores = vec![0.0; width * height];
        for (prototype, &weight) in weights.iter().enumerate() {
            for row in 0..height {
                let start = (y + row) * prototypes.width + x;
                let out = &mut scores[row * width..][..width];
                match prototypes.layout {
                    Layout::Nchw => {
                        let values =
                            &prototypes.data[prototype * prototypes.cells() + start..][..width];
                        out.iter_mut()
                            .zip(values)
                            .for_each(|(out, value)| *out += weight * value);
                    }
                    Layout::Nhwc => {
                        for (cell, out) in out.iter_mut().enumerate() {
                            *out += weight * prototypes.get(prototype, start + cell);
                        }
                    }
                }
            }
        }
        Self {
            left,
            top,
            right,
            bottom,
            columns,
            rows,
            origin: (x, y),
            width,
            scores,
            class: found.index,
        }
    }

    /// Calls `take` with column and row of each pixel in the mask.
    pub(crate) fn for_each(&self, mut take: impl FnMut(u32, u32)) {
        let taps: Vec<Option<Tap>> = self.columns.linear(self.left, self.right).collect();
        let mut blend = vec![0.0; self.width];
        for (y, tap) in (self.top..).zip(self.rows.linear(self.top, self.bottom)) {
            let Some(tap) = tap else { continue };
            let row =
                |index: usize| &self.scores[(index - self.origin.1) * self.width..][..self.width];
            let pairs = row(tap.low).iter().zip(row(tap.high));
            for (blend, (&low, &high)) in blend.iter_mut().zip(pairs) {
                *blend = tap.mix(low, high);
            }
            for (x, tap) in (self.left..).zip(&taps) {
                let Some(tap) = tap else { continue };
                let (low, high) = (tap.low - self.origin.0, tap.high - self.origin.0);
                if tap.mix(blend[low], blend[high]) > 0.0 {
                    take(x, y);
                }
            }
        }
    }
}

/// The class of each pixel, of the best object that has it; `NO_OBJECT` where there is none.
pub(super) fn class_map(masks: &[Mask], (width, height): (u32, u32)) -> Result<Vec<u8>> {
    let mut map = vec![NO_OBJECT; width as usize * height as usize];
    for mask in masks {
        let class = u8::try_from(mask.class)
            .ok()
            .filter(|&class| class != NO_OBJECT)
            .ok_or_else(|| Error::ClassNumber {
                class: i64::try_from(mask.class).unwrap_or(i64::MAX),
            })?;
        mask.for_each(|x, y| {
            let pixel = &mut map[y as usize * width as usize + x as usize];
            if *pixel == NO_OBJECT {
                *pixel = class;
            }
        });
    }
    Ok(map)
}
