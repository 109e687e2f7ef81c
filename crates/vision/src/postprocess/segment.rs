//! Class maps, and masks of single objects.

use std::collections::BTreeMap;

use super::mask::Mask;
use super::nms::{self, Candidate};
use super::{Layer, Planes, Scene, best, detect, label};
use crate::error::{Error, Result};
use crate::geometry::Axis;
use crate::result::{Area, Findings, Object};
use crate::tensor::{TensorData, TensorView};
use crate::words::Layout;

/// Class numbers as the model gave them, and how they lie over the picture.
#[derive(Debug)]
pub(crate) struct ClassGrid {
    classes: Vec<u8>,
    columns: Axis,
    rows: Axis,
    /// What pixels are that the model did not see.
    unseen: u8,
}

impl ClassGrid {
    /// Width and height of the picture.
    pub(crate) fn picture(&self) -> (u32, u32) {
        (self.columns.picture, self.rows.picture)
    }

    /// The class of each pixel: that of the cell its centre lies in.
    pub(crate) fn at_picture(&self) -> Vec<u8> {
        let (width, height) = self.picture();
        let columns: Vec<_> = self.columns.nearest().collect();
        let mut out = Vec::with_capacity(width as usize * height as usize);
        for row in self.rows.nearest() {
            match row {
                Some(row) => {
                    let cells = &self.classes[row * self.columns.cells..][..self.columns.cells];
                    out.extend(
                        columns
                            .iter()
                            .map(|column| column.map_or(self.unseen, |at| cells[at])),
                    );
                }
                None => out.extend(std::iter::repeat_n(self.unseen, width as usize)),
            }
        }
        out
    }

    /// How many pixels of the picture each class has; pixels that were not seen have none.
    fn count(&self) -> [u64; 256] {
        let times = |axis: &Axis| {
            let mut times = vec![0_u64; axis.cells];
            axis.nearest().flatten().for_each(|cell| times[cell] += 1);
            times
        };
        let (columns, rows) = (times(&self.columns), times(&self.rows));
        let mut counts = [0; 256];
        for (cells, row) in self.classes.chunks_exact(self.columns.cells).zip(rows) {
            for (&class, column) in cells.iter().zip(&columns) {
                counts[usize::from(class)] += row * column;
            }
        }
        counts
    }
}

/// Reads `[1, C, H, W]` scores, or `[1, H, W]` or `[1, 1, H, W]` class numbers.
pub(super) fn read_class_map(
    scene: &Scene<'_>,
    tensor: TensorView<'_>,
) -> Result<(Findings, Layer)> {
    let background = scene.description.output.background.unwrap_or(0);
    let unseen = u8::try_from(background.max(0)).unwrap_or(0);
    let dims = match (tensor.shape, scene.layout) {
        (&[1, height, width], _) => [1, height, width],
        (&[1, classes, height, width], Layout::Nchw)
        | (&[1, height, width, classes], Layout::Nhwc) => [classes, height, width],
        _ => {
            let expected = format!("{} or [1, H, W]", Planes::words(scene.layout, "C"));
            return Err(scene.shape_error(tensor, expected));
        }
    };
    let [planes, height, width] = dims;
    let (classes, known) = match tensor.data {
        TensorData::F32(data) if planes > 1 => {
            let scores = Planes {
                data,
                count: planes,
                height,
                width,
                layout: scene.layout,
            };
            (arg_max(&scores, unseen)?, Some(planes))
        }
        TensorData::F32(data) => (
            data.iter()
                .map(|&v| class_number(v, unseen))
                .collect::<Result<_>>()?,
            None,
        ),
        TensorData::I64(data) if planes == 1 => {
            let number =
                |&class: &i64| u8::try_from(class).map_err(|_| Error::ClassNumber { class });
            (data.iter().map(number).collect::<Result<_>>()?, None)
        }
        TensorData::I64(_) => {
            let expected = "[1, H, W] or [1, 1, H, W] for class numbers in integers";
            return Err(scene.shape_error(tensor, expected));
        }
    };
    let grid = ClassGrid {
        classes,
        columns: scene.columns(width),
        rows: scene.rows(height),
        unseen,
    };
    let names = scene.names(known, true)?;
    let findings = Findings::Segment {
        classes: areas(scene, &names, grid.count().into_iter().enumerate()),
        objects: Vec::new(),
    };
    Ok((findings, Layer::Classes(grid)))
}

/// The class with the highest score in each cell; where all are NaN, `unseen`.
fn arg_max(scores: &Planes<'_>, unseen: u8) -> Result<Vec<u8>> {
    if scores.count > 256 {
        return Err(Error::ClassNumber {
            class: i64::try_from(scores.count - 1).unwrap_or(i64::MAX),
        });
    }
    Ok(match scores.layout {
        Layout::Nchw => {
            let (values, classes) = best::over_planes(scores.data, scores.cells());
            let seen = |value: f32| value > f32::NEG_INFINITY;
            let best = values.into_iter().zip(classes);
            // There are at most 256 classes, so the cast keeps the number.
            best.map(|(value, class)| if seen(value) { class as u8 } else { unseen })
                .collect()
        }
        Layout::Nhwc => {
            let of_cell = |cell: &[f32]| {
                let mut best = (f32::NEG_INFINITY, unseen);
                for (class, &score) in (0..=u8::MAX).zip(cell) {
                    if score > best.0 {
                        best = (score, class);
                    }
                }
                best.1
            };
            scores
                .data
                .chunks_exact(scores.count)
                .map(of_cell)
                .collect()
        }
    })
}

/// A class number that came as a floating point value; NaN counts as `unseen`.
fn class_number(value: f32, unseen: u8) -> Result<u8> {
    match value.round() {
        number if number.is_nan() => Ok(unseen),
        number if (0.0..=255.0).contains(&number) => Ok(number as u8),
        number => Err(Error::ClassNumber {
            class: number as i64,
        }),
    }
}

/// The classes that have pixels, largest first.
fn areas(
    scene: &Scene<'_>,
    names: &[&str],
    counts: impl Iterator<Item = (usize, u64)>,
) -> Vec<Area> {
    let all = f64::from(scene.picture.0) * f64::from(scene.picture.1);
    let area = |(index, pixels): (usize, u64)| Area {
        index,
        label: label(names, index),
        pixels,
        share: (pixels as f64 / all) as f32,
    };
    let mut areas: Vec<_> = counts.filter(|&(_, pixels)| pixels > 0).map(area).collect();
    areas.sort_by(|a, b| b.pixels.cmp(&a.pixels).then(a.index.cmp(&b.index)));
    areas
}

/// Reads `[1, 4 + C + M, N]` and `[1, M, H, W]`.
pub(super) fn read_yolov8(
    scene: &Scene<'_>,
    tensors: &[TensorView<'_>],
) -> Result<(Findings, Layer)> {
    let (boxes, prototypes) = (tensors[0], tensors[1]);
    let data = scene.floats(boxes)?;
    let dims = scene.dims(prototypes, &Planes::words(scene.layout, "M"))?;
    let prototypes = Planes::new(scene.layout, dims, scene.floats(prototypes)?);
    let expected = format!("[1, 4 + C + {0}, N] for {0} prototypes", prototypes.count);
    let [rows, n] = scene.dims(boxes, &expected)?;
    let classes = rows.saturating_sub(4 + prototypes.count);
    if classes == 0 {
        return Err(scene.shape_error(boxes, expected));
    }
    let names = scene.names(Some(classes), false)?;
    let output = &scene.description.output;
    let found = detect::columns(scene, data, classes, n);
    let kept = nms::suppress(found, output.iou_threshold, output.max_detections);

    let (columns, rows) = (
        scene.columns(prototypes.width),
        scene.rows(prototypes.height),
    );
    let (mut objects, mut masks) = (Vec::new(), Vec::new());
    // A pixel of several objects counts for the class of the best one.
    let mut taken = vec![false; scene.picture.0 as usize * scene.picture.1 as usize];
    let mut of_class = BTreeMap::new();
    for candidate in &kept {
        let Some(detection) = detect::detection(scene, &names, candidate) else {
            continue;
        };
        let weights = weights(data, candidate, 4 + classes, prototypes.count, n);
        let mask = Mask::new(columns, rows, &detection, &prototypes, &weights);
        let (mut pixels, mut fresh) = (0, 0);
        mask.for_each(|x, y| {
            let taken = &mut taken[y as usize * scene.picture.0 as usize + x as usize];
            pixels += 1;
            fresh += u64::from(!*taken);
            *taken = true;
        });
        *of_class.entry(detection.index).or_insert(0) += fresh;
        objects.push(Object { detection, pixels });
        masks.push(mask);
    }
    let findings = Findings::Segment {
        classes: areas(scene, &names, of_class.into_iter()),
        objects,
    };
    let layer = Layer::Masks {
        masks,
        picture: scene.picture,
    };
    Ok((findings, layer))
}

/// The mask weights of a candidate; a weight that is not finite counts as none.
fn weights(data: &[f32], candidate: &Candidate, first: usize, count: usize, n: usize) -> Vec<f32> {
    let weight = |index: usize| data[(first + index) * n + candidate.row];
    let finite = |value: f32| if value.is_finite() { value } else { 0.0 };
    (0..count).map(|index| finite(weight(index))).collect()
}
