//! Boxes.

use super::nms::{self, Candidate};
use super::{Scene, best, label};
use crate::error::Result;
use crate::geometry::Edges;
use crate::result::{Bounds, Detection, Findings};
use crate::tensor::TensorView;
use crate::words::{Coordinates, Format};

/// Reads any of the box formats.
pub(super) fn read(scene: &Scene<'_>, tensors: &[TensorView<'_>]) -> Result<Findings> {
    let output = &scene.description.output;
    let (candidates, classes) = match scene.format() {
        Format::Yolov8 => yolov8(scene, tensors[0])?,
        Format::Yolov5 => yolov5(scene, tensors[0])?,
        Format::BoxesScores => boxes_scores(scene, tensors[0], tensors[1])?,
        _ => end2end(scene, tensors[0])?,
    };
    let kept = if scene.format() == Format::End2end {
        let mut candidates = candidates;
        nms::sort(&mut candidates);
        candidates.truncate(output.max_detections);
        candidates
    } else {
        nms::suppress(candidates, output.iou_threshold, output.max_detections)
    };
    let names = scene.names(classes, false)?;
    let boxes = kept
        .iter()
        .filter_map(|found| detection(scene, &names, found))
        .collect();
    Ok(Findings::Detect { boxes })
}

/// Candidates, and how many classes the tensor has, where it tells.
type Read = (Vec<Candidate>, Option<usize>);

/// `[1, 4 + C, N]`.
fn yolov8(scene: &Scene<'_>, tensor: TensorView<'_>) -> Result<Read> {
    let data = scene.floats(tensor)?;
    let [rows, n] = scene.dims(tensor, "[1, 4 + C, N]")?;
    if rows < 5 {
        return Err(scene.shape_error(tensor, "[1, 4 + C, N] with at least one class"));
    }
    Ok((columns(scene, data, rows - 4, n), Some(rows - 4)))
}

/// Reads the box and class rows of a YOLOv8 head, whose `n` columns are candidates.
pub(super) fn columns(scene: &Scene<'_>, data: &[f32], classes: usize, n: usize) -> Vec<Candidate> {
    let row = |index: usize| &data[index * n..(index + 1) * n];
    let (scores, winners) = best::over_planes(&data[4 * n..(4 + classes) * n], n);
    let threshold = scene.description.output.score_threshold;
    let (sx, sy) = scene.box_scale(Coordinates::Pixels);
    let (x, y, width, height) = (row(0), row(1), row(2), row(3));
    let candidate = |(at, (score, class)): (usize, (f32, u32))| {
        let edges = Edges::from_centre(x[at] * sx, y[at] * sy, width[at] * sx, height[at] * sy);
        accept(edges, score, threshold).then_some(Candidate {
            edges,
            class: class as usize,
            score,
            row: at,
        })
    };
    let best = scores.into_iter().zip(winners);
    best.enumerate().filter_map(candidate).collect()
}

/// A box that is worth looking at; NaN anywhere is not.
fn accept(edges: Edges, score: f32, threshold: f32) -> bool {
    score.is_finite() && score >= threshold && edges.is_sound()
}

/// `[1, N, 5 + C]`; the score is objectness times class score.
fn yolov5(scene: &Scene<'_>, tensor: TensorView<'_>) -> Result<Read> {
    let data = scene.floats(tensor)?;
    let [_, width] = scene.dims(tensor, "[1, N, 5 + C]")?;
    if width < 6 {
        return Err(scene.shape_error(tensor, "[1, N, 5 + C] with at least one class"));
    }
    let threshold = scene.description.output.score_threshold;
    let (sx, sy) = scene.box_scale(Coordinates::Pixels);
    let mut candidates = Vec::new();
    for (row, values) in data.chunks_exact(width).enumerate() {
        let objectness = values[4];
        // Class scores are at most 1, so most rows need no look at them.
        if objectness.is_nan() || objectness < threshold {
            continue;
        }
        let (class, score) = best_of(&values[5..], None);
        let score = score * objectness;
        let edges = Edges::from_centre(
            values[0] * sx,
            values[1] * sy,
            values[2] * sx,
            values[3] * sy,
        );
        if accept(edges, score, threshold) {
            candidates.push(Candidate {
                edges,
                class,
                score,
                row,
            });
        }
    }
    Ok((candidates, Some(width - 5)))
}

/// `[1, N, 4]` and `[1, N, C]`.
fn boxes_scores(scene: &Scene<'_>, boxes: TensorView<'_>, scores: TensorView<'_>) -> Result<Read> {
    let edges = scene.floats(boxes)?;
    let values = scene.floats(scores)?;
    let [n, four] = scene.dims(boxes, "[1, N, 4] for the boxes")?;
    let [rows, classes] = scene.dims(scores, "[1, N, C] for the scores")?;
    if four != 4 {
        return Err(scene.shape_error(boxes, "[1, N, 4] for the boxes"));
    }
    if rows != n {
        return Err(scene.shape_error(scores, format!("[1, {n}, C] for the scores of {n} boxes")));
    }
    let output = &scene.description.output;
    let (sx, sy) = scene.box_scale(Coordinates::Relative);
    let nothing = output
        .background
        .and_then(|class| usize::try_from(class).ok());
    let candidate = |(row, (edges, values)): (usize, (&[f32], &[f32]))| {
        let (class, score) = best_of(values, nothing);
        let edges = Edges {
            left: edges[0] * sx,
            top: edges[1] * sy,
            right: edges[2] * sx,
            bottom: edges[3] * sy,
        };
        accept(edges, score, output.score_threshold).then_some(Candidate {
            edges,
            class,
            score,
            row,
        })
    };
    let rows = edges.chunks_exact(4).zip(values.chunks_exact(classes));
    Ok((
        rows.enumerate().filter_map(candidate).collect(),
        Some(classes),
    ))
}

/// The best class and its score; a score of NaN, or the class that stands for nothing, is never it.
fn best_of(scores: &[f32], nothing: Option<usize>) -> (usize, f32) {
    let mut best = (0, f32::NEG_INFINITY);
    for (class, &score) in scores.iter().enumerate() {
        if score > best.1 && Some(class) != nothing {
            best = (class, score);
        }
    }
    best
}

/// `[1, N, 6]`: x1, y1, x2, y2, score, class.
fn end2end(scene: &Scene<'_>, tensor: TensorView<'_>) -> Result<Read> {
    let data = scene.floats(tensor)?;
    let [_, six] = scene.dims(tensor, "[1, N, 6]")?;
    if six != 6 {
        return Err(scene.shape_error(tensor, "[1, N, 6]"));
    }
    let threshold = scene.description.output.score_threshold;
    let (sx, sy) = scene.box_scale(Coordinates::Pixels);
    let mut candidates = Vec::new();
    for (row, values) in data.as_chunks::<6>().0.iter().enumerate() {
        let &[left, top, right, bottom, score, class] = values;
        let edges = Edges {
            left: left * sx,
            top: top * sy,
            right: right * sx,
            bottom: bottom * sy,
        };
        // Class numbers beyond 2^24 are not whole in f32, and NaN fails the range.
        if accept(edges, score, threshold) && (-0.5..16_777_216.0).contains(&class) {
            let class = class.round() as usize;
            candidates.push(Candidate {
                edges,
                class,
                score,
                row,
            });
        }
    }
    Ok((candidates, None))
}

/// A box in the picture; `None` when nothing of it lies in there.
pub(super) fn bounds(scene: &Scene<'_>, edges: &Edges) -> Option<Bounds> {
    let (x, y) = scene.point(edges.left, edges.top);
    let (right, bottom) = scene.point(edges.right, edges.bottom);
    (right > x && bottom > y).then_some(Bounds {
        x,
        y,
        width: right - x,
        height: bottom - y,
    })
}

/// A candidate as an answer; `None` when nothing of its box lies in the picture.
pub(super) fn detection(scene: &Scene<'_>, names: &[&str], found: &Candidate) -> Option<Detection> {
    let Bounds {
        x,
        y,
        width,
        height,
    } = bounds(scene, &found.edges)?;
    Some(Detection {
        x,
        y,
        width,
        height,
        index: found.class,
        label: label(names, found.class),
        score: found.score,
    })
}
