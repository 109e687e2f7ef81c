//! Points of bodies.

use super::{Planes, Scene, detect, nms};
use crate::error::Result;
use crate::result::{Findings, Person, Point};
use crate::tensor::TensorView;
use crate::words::Coordinates;

/// Reads `[1, K, H, W]`: each point is the maximum of its map.
///
/// A cell of the map stands for its centre. The point moves by a quarter of a cell
/// towards the larger neighbour, on each axis on its own.
pub(super) fn read_heatmap(scene: &Scene<'_>, tensor: TensorView<'_>) -> Result<Findings> {
    let data = scene.floats(tensor)?;
    let dims = scene.dims(tensor, &Planes::words(scene.layout, "K"))?;
    let maps = Planes::new(scene.layout, dims, data);
    let named = scene.description.output.point_names.len();
    if named != 0 && named != maps.count {
        let expected = Planes::words(scene.layout, &named.to_string());
        return Err(scene.shape_error(tensor, format!("{expected} for {named} `point_names`")));
    }
    let cell = (
        scene.input.0 as f32 / maps.width as f32,
        scene.input.1 as f32 / maps.height as f32,
    );
    let point = |index| {
        let found = peak(&maps, index);
        let (x, y) = found.map_or((0.0, 0.0), |(x, y, _)| scene.point(x * cell.0, y * cell.1));
        Point {
            name: point_name(scene, index),
            x,
            y,
            score: found.map_or(0.0, |(_, _, score)| score),
        }
    };
    let points: Vec<Point> = (0..maps.count).map(point).collect();
    let sum: f32 = points.iter().map(|point| point.score).sum();
    let person = Person {
        bounds: None,
        score: sum / points.len() as f32,
        points,
    };
    Ok(Findings::Pose {
        people: vec![person],
    })
}

/// Column, row (both of cell edges, so a centre ends in .5) and value of a map's maximum.
fn peak(maps: &Planes<'_>, plane: usize) -> Option<(f32, f32, f32)> {
    let mut best: Option<(usize, f32)> = None;
    for cell in 0..maps.cells() {
        let value = maps.get(plane, cell);
        if value.is_finite() && best.is_none_or(|(_, top)| value > top) {
            best = Some((cell, value));
        }
    }
    let (cell, value) = best?;
    let (x, y) = (cell % maps.width, cell / maps.width);
    let shift = |at: usize, length: usize, step: usize| {
        if at == 0 || at + 1 == length {
            return 0.0; // one neighbour only says nothing
        }
        let (before, after) = (maps.get(plane, cell - step), maps.get(plane, cell + step));
        match after.partial_cmp(&before) {
            Some(std::cmp::Ordering::Greater) => 0.25,
            Some(std::cmp::Ordering::Less) => -0.25,
            _ => 0.0, // equal, or NaN
        }
    };
    Some((
        x as f32 + 0.5 + shift(x, maps.width, 1),
        y as f32 + 0.5 + shift(y, maps.height, maps.width),
        value,
    ))
}

/// Reads `[1, 4 + C + 3 K, N]`, C being the number of labels, or 1 without labels.
pub(super) fn read_yolov8(scene: &Scene<'_>, tensor: TensorView<'_>) -> Result<Findings> {
    let data = scene.floats(tensor)?;
    let output = &scene.description.output;
    let classes = scene.names(None, false)?.len().max(1);
    let expected = match output.point_names.len() {
        0 => format!("[1, {} + 3 K, N]", 4 + classes),
        points => format!(
            "[1, {}, N] for {points} `point_names`",
            4 + classes + 3 * points
        ),
    };
    let [rows, n] = scene.dims(tensor, &expected)?;
    let values = rows.saturating_sub(4 + classes);
    let points = values / 3;
    let named = output.point_names.len();
    if values == 0 || values % 3 != 0 || (named != 0 && named != points) {
        return Err(scene.shape_error(tensor, expected));
    }
    let found = detect::columns(scene, data, classes, n);
    let kept = nms::suppress(found, output.iou_threshold, output.max_detections);
    let (sx, sy) = scene.box_scale(Coordinates::Pixels);
    let person = |found: &nms::Candidate| {
        let value =
            |point: usize, which: usize| data[(4 + classes + 3 * point + which) * n + found.row];
        let point = |index| {
            let (x, y, score) = (value(index, 0) * sx, value(index, 1) * sy, value(index, 2));
            let usable = x.is_finite() && y.is_finite() && score.is_finite();
            let (x, y) = if usable {
                scene.point(x, y)
            } else {
                (0.0, 0.0)
            };
            Point {
                name: point_name(scene, index),
                x,
                y,
                score: if usable { score } else { 0.0 },
            }
        };
        Some(Person {
            bounds: Some(detect::bounds(scene, &found.edges)?),
            score: found.score,
            points: (0..points).map(point).collect(),
        })
    };
    Ok(Findings::Pose {
        people: kept.iter().filter_map(person).collect(),
    })
}

fn point_name(scene: &Scene<'_>, index: usize) -> String {
    let names = &scene.description.output.point_names;
    names
        .get(index)
        .cloned()
        .unwrap_or_else(|| index.to_string())
}
