//! Class maps, and masks of single objects.

use super::nms::{self, Candidate};
use super::{Layer, Planes, Scene, detect, label};
use crate::error::{Error, Result};
use crate::geometry::{Axis, Tap};
use crate::result::{Area, Detection, Findings, Object};
use crate::tensor::{TensorData, TensorView};
use crate::words::Layout;

/// What the map of a model of single objects has where no object is.
const NO_OBJECT: u8 = 255;

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
    let mut best = vec![(f32::NEG_INFINITY, unseen); scores.cells()];
    let take = |best: &mut (f32, u8), score: f32, class: u8| {
        if score > best.0 {
            *best = (score, class);
        }
    };
    match scores.layout {
        Layout::Nchw => {
            for (class, plane) in (0..=u8::MAX).zip(scores.data.chunks_exact(scores.cells())) {
                best.iter_mut()
                    .zip(plane)
                    .for_each(|(best, &score)| take(best, score, class));
            }
        }
        Layout::Nhwc => {
            for (best, cell) in best.iter_mut().zip(scores.data.chunks_exact(scores.count)) {
                (0..=u8::MAX)
                    .zip(cell)
                    .for_each(|(class, &score)| take(best, score, class));
            }
        }
    }
    Ok(best.into_iter().map(|(_, class)| class).collect())
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
}

impl Mask {
    /// Weighs the prototypes in the cells that the box needs.
    fn new(
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
    for candidate in &kept {
        let Some(detection) = detect::detection(scene, &names, candidate) else {
            continue;
        };
        let weights = weights(data, candidate, 4 + classes, prototypes.count, n);
        let mask = Mask::new(columns, rows, &detection, &prototypes, &weights);
        let mut pixels = 0;
        mask.for_each(|_, _| pixels += 1);
        objects.push(Object { detection, pixels });
        masks.push(mask);
    }
    let classes: Vec<usize> = objects
        .iter()
        .map(|object| object.detection.index)
        .collect();
    let findings = Findings::Segment {
        classes: areas(
            scene,
            &names,
            covered(&masks, &classes, scene.picture).into_iter(),
        ),
        objects,
    };
    let layer = Layer::Masks {
        masks,
        classes,
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

/// Pixels of each class, each pixel counted once, for the best object that has it.
fn covered(masks: &[Mask], classes: &[usize], (width, height): (u32, u32)) -> Vec<(usize, u64)> {
    let mut taken = vec![false; width as usize * height as usize];
    let mut counts = std::collections::BTreeMap::new();
    for (mask, &class) in masks.iter().zip(classes) {
        let mut pixels = 0;
        mask.for_each(|x, y| {
            let taken = &mut taken[y as usize * width as usize + x as usize];
            pixels += u64::from(!*taken);
            *taken = true;
        });
        *counts.entry(class).or_insert(0) += pixels;
    }
    counts.into_iter().collect()
}

/// The class of each pixel, of the best object that has it; `NO_OBJECT` where there is none.
pub(super) fn class_map(
    masks: &[Mask],
    classes: &[usize],
    (width, height): (u32, u32),
) -> Result<Vec<u8>> {
    let mut map = vec![NO_OBJECT; width as usize * height as usize];
    for (mask, &class) in masks.iter().zip(classes) {
        let class = u8::try_from(class)
            .ok()
            .filter(|&class| class != NO_OBJECT)
            .ok_or_else(|| Error::ClassNumber {
                class: i64::try_from(class).unwrap_or(i64::MAX),
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
