//! Depth maps.

use super::{Planes, Scene};
use crate::error::{Error, Result};
use crate::geometry::{Axis, Tap};
use crate::postprocess::Layer;
use crate::result::Findings;
use crate::tensor::TensorView;
use crate::words::Layout;

/// Depth values as the model gave them, and how they lie over the picture.
#[derive(Debug)]
pub(crate) struct DepthGrid {
    values: Vec<f32>,
    columns: Axis,
    rows: Axis,
    /// Smallest and largest value in the picture, both finite.
    pub(crate) range: (f32, f32),
}

/// Reads `[1, H, W]`, `[1, 1, H, W]` or `[1, H, W, 1]`.
///
/// Smallest, largest and mean value are of the model's own cells that show something
/// of the picture; values that are not finite do not count.
pub(super) fn read(scene: &Scene<'_>, tensor: TensorView<'_>) -> Result<(Findings, Layer)> {
    let data = scene.floats(tensor)?;
    let dims = match (tensor.shape, scene.layout) {
        (&[1, height, width], _) => [1, height, width],
        (&[1, 1, height, width], Layout::Nchw) | (&[1, height, width, 1], Layout::Nhwc) => {
            [1, height, width]
        }
        _ => {
            let expected = format!("[1, H, W] or {}", Planes::words(scene.layout, "1"));
            return Err(scene.shape_error(tensor, expected));
        }
    };
    let [_, height, width] = dims;
    let (columns, rows) = (scene.columns(width), scene.rows(height));
    let (left, right) = columns.covered();
    let (top, bottom) = rows.covered();
    let (mut min, mut max, mut sum, mut count) = (f32::INFINITY, f32::NEG_INFINITY, 0.0_f64, 0_u64);
    for row in data.chunks_exact(width).take(bottom + 1).skip(top) {
        for &value in row[left..=right].iter().filter(|value| value.is_finite()) {
            min = min.min(value);
            max = max.max(value);
            sum += f64::from(value);
            count += 1;
        }
    }
    if count == 0 {
        return Err(Error::NotFinite {
            tensor: tensor.name.to_owned(),
        });
    }
    let findings = Findings::Depth {
        min,
        max,
        mean: (sum / count as f64) as f32,
        unit: scene.description.output.unit.clone(),
    };
    let grid = DepthGrid {
        values: data.to_vec(),
        columns,
        rows,
        range: (min, max),
    };
    Ok((findings, Layer::Depth(grid)))
}

impl DepthGrid {
    /// Width and height of the picture.
    pub(crate) fn picture(&self) -> (u32, u32) {
        (self.columns.picture, self.rows.picture)
    }

    /// The values at the size of the picture, bilinear; NaN where the model saw nothing.
    pub(crate) fn at_picture(&self) -> Vec<f32> {
        let (width, height) = self.picture();
        let mut out = Vec::with_capacity(width as usize * height as usize);
        self.for_each_row(|row| out.extend_from_slice(row));
        out
    }

    /// Gives the rows of the picture one after the other.
    pub(crate) fn for_each_row(&self, mut take: impl FnMut(&[f32])) {
        let cells = self.columns.cells;
        let (width, height) = self.picture();
        let taps: Vec<Option<Tap>> = self.columns.linear(0, width).collect();
        let mut blend = vec![0.0; cells];
        let mut out = vec![f32::NAN; width as usize];
        for tap in self.rows.linear(0, height) {
            let Some(tap) = tap else {
                out.fill(f32::NAN);
                take(&out);
                continue;
            };
            let row = |index: usize| &self.values[index * cells..(index + 1) * cells];
            let pairs = row(tap.low).iter().zip(row(tap.high));
            for (blend, (&low, &high)) in blend.iter_mut().zip(pairs) {
                *blend = tap.mix(low, high);
            }
            for (out, tap) in out.iter_mut().zip(&taps) {
                *out = tap.map_or(f32::NAN, |tap| tap.mix(blend[tap.low], blend[tap.high]));
            }
            take(&out);
        }
    }
}
