//! Boxes of every format, worked out by hand.

use vaccel_vision::{Detection, Findings, TensorView};

use crate::common::{Model, close};

fn boxes(model: &Model, outputs: &[TensorView<'_>]) -> Vec<Detection> {
    match model.findings(outputs) {
        Findings::Detect { boxes } => boxes,
        other => panic!("{other:?}"),
    }
}

/// An input of 64 x 64 for a picture of 128 x 64: letterbox of 64 x 32, 16 rows above and below.
fn letterbox(output: &str) -> Model {
    Model::new(
        "detect",
        "resize = 'letterbox'",
        output,
        (64, 64),
        (128, 64),
    )
}

fn assert_box(found: &Detection, edges: [f32; 4], index: usize, score: f32) {
    let got = [found.x, found.y, found.width, found.height];
    assert!(
        got.iter().zip(edges).all(|(a, b)| close(*a, b, 1e-3)),
        "{got:?} {edges:?}"
    );
    assert_eq!(found.index, index);
    assert!(close(found.score, score, 1e-6), "{}", found.score);
}

/// Turns rows of candidates into the columns of YOLOv8.
fn columns(rows: &[&[f32]]) -> (Vec<usize>, Vec<f32>) {
    let (n, width) = (rows.len(), rows[0].len());
    let data = (0..width)
        .flat_map(|at| rows.iter().map(move |row| row[at]))
        .collect();
    (vec![1, width, n], data)
}

#[test]
fn yolov8_boxes_come_back_to_the_picture() {
    let model = letterbox("format = 'yolov8'\nlabels = ['a', 'b']");
    let (shape, data) = columns(&[
        &[32.0, 32.0, 20.0, 10.0, 0.1, 0.8], // class b
        &[10.0, 20.0, 8.0, 8.0, 0.6, 0.5],   // class a
        &[50.0, 40.0, 4.0, 4.0, 0.24, 0.2],  // below the threshold
        &[2.0, 17.0, 10.0, 10.0, 0.3, 0.0],  // leaves the picture to the left and above
    ]);
    let found = boxes(&model, &[TensorView::f32("output0", &shape, &data)]);
    assert_eq!(found.len(), 3);
    // x * 2, (y - 16) * 2
    assert_box(&found[0], [44.0, 22.0, 40.0, 20.0], 1, 0.8);
    assert_eq!(found[0].label, "b");
    assert_box(&found[1], [12.0, 0.0, 16.0, 16.0], 0, 0.6);
    assert_box(&found[2], [0.0, 0.0, 14.0, 12.0], 0, 0.3);
}

#[test]
fn boxes_outside_of_the_picture_or_without_area_are_dropped() {
    let model = letterbox("format = 'yolov8'");
    let (shape, data) = columns(&[
        &[32.0, 6.0, 10.0, 10.0, 0.9], // in the filling above
        &[32.0, 32.0, 0.0, 10.0, 0.9],
        &[32.0, 32.0, -4.0, 10.0, 0.9],
        &[f32::NAN, 32.0, 4.0, 10.0, 0.9],
        &[32.0, f32::INFINITY, 4.0, 10.0, 0.9],
        &[32.0, 32.0, 4.0, 10.0, f32::NAN],
        &[32.0, 32.0, 4.0, 10.0, f32::INFINITY],
        &[32.0, 32.0, f32::MAX, f32::MAX, 0.5], // everything
    ]);
    let found = boxes(&model, &[TensorView::f32("output0", &shape, &data)]);
    assert_eq!(found.len(), 1);
    assert_box(&found[0], [0.0, 0.0, 128.0, 64.0], 0, 0.5);
}

#[test]
fn yolov5_scores_are_objectness_times_class() {
    let model = letterbox("format = 'yolov5'\nlabels = ['a', 'b']");
    let data = [
        [32.0, 32.0, 20.0, 10.0, 0.5, 0.2, 0.8], // 0.4
        [10.0, 30.0, 8.0, 8.0, 0.9, 0.2, 0.1],   // 0.18
        [10.0, 30.0, 8.0, 8.0, 0.2, 1.0, 1.0],   // 0.2
        [10.0, 30.0, 8.0, 8.0, f32::NAN, 1.0, 1.0],
    ];
    let found = boxes(
        &model,
        &[TensorView::f32("output0", &[1, 4, 7], data.as_flattened())],
    );
    assert_eq!(found.len(), 1);
    assert_box(&found[0], [44.0, 22.0, 40.0, 20.0], 1, 0.4);
}

#[test]
fn boxes_scores_are_relative_and_know_a_background() {
    let boxes_of = |output: &str| {
        let model = Model::new("detect", "", output, (64, 32), (200, 100));
        let corners = [
            [0.1, 0.2, 0.5, 0.6],
            [0.0, 0.0, 1.0, 1.0],
            [0.6, 0.6, 0.8, 0.9],
        ];
        let scores = [[0.9, 0.3, 0.6], [0.9, 0.05, 0.05], [0.1, 0.8, 0.1]];
        // The order of the tensors does not matter, their shapes do.
        let views = [
            TensorView::f32("s", &[1, 3, 3], scores.as_flattened()),
            TensorView::f32("b", &[1, 3, 4], corners.as_flattened()),
        ];
        boxes(&model, &views)
    };
    let found =
        boxes_of("format = 'boxes-scores'\nbackground = 0\nlabels = ['none', 'cat', 'dog']");
    assert_eq!(found.len(), 2);
    assert_box(&found[0], [120.0, 60.0, 40.0, 30.0], 1, 0.8);
    assert_box(&found[1], [20.0, 20.0, 80.0, 40.0], 2, 0.6);
    assert_eq!(boxes_of("format = 'boxes-scores'")[0].index, 0);
    assert_eq!(
        boxes_of("format = 'boxes-scores'\nnames = ['b', 's']").len(),
        3
    );
    // The same numbers as pixels are a speck in the corner.
    let tiny = boxes_of("format = 'boxes-scores'\ncoordinates = 'pixels'\nbackground = 0");
    assert_box(&tiny[0], [1.875, 1.875, 0.625, 0.9375], 1, 0.8);
}

#[test]
fn end2end_boxes_are_taken_as_they_are() {
    let model = letterbox("format = 'end2end'\nlabels = ['a', 'b', 'c']\nmax_detections = 3");
    let data = [
        [10.0, 20.0, 30.0, 40.0, 0.5, 2.0],
        [10.0, 20.0, 30.0, 40.0, 0.6, 2.0], // no NMS: stays beside the one above
        [0.0, 16.0, 64.0, 48.0, 0.9, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],     // filling
        [0.0, 16.0, 64.0, 48.0, 0.8, -3.0], // no class has that number
        [0.0, 16.0, 64.0, 48.0, 0.8, f32::NAN],
        [10.0, 20.0, 30.0, 40.0, 0.3, 7.0], // cut by max_detections
    ];
    let found = boxes(
        &model,
        &[TensorView::f32("output0", &[1, 7, 6], data.as_flattened())],
    );
    assert_eq!(found.len(), 3);
    assert_box(&found[0], [0.0, 0.0, 128.0, 64.0], 0, 0.9);
    assert_box(&found[1], [20.0, 8.0, 40.0, 40.0], 2, 0.6);
    assert_box(&found[2], [20.0, 8.0, 40.0, 40.0], 2, 0.5);
}

#[test]
fn relative_coordinates_are_those_of_the_input() {
    let model = letterbox("format = 'yolov8'\ncoordinates = 'relative'");
    let (shape, data) = columns(&[&[0.5, 0.5, 0.25, 0.25, 0.9]]);
    let found = boxes(&model, &[TensorView::f32("output0", &shape, &data)]);
    assert_box(&found[0], [48.0, 16.0, 32.0, 32.0], 0, 0.9);
}

#[test]
fn nms_compares_boxes_of_one_class_only() {
    let rows: [&[f32]; 5] = [
        &[32.0, 32.0, 20.0, 10.0, 0.9, 0.0],
        &[33.0, 32.0, 20.0, 10.0, 0.8, 0.0], // overlaps the first by 190 / 210
        &[32.0, 32.0, 20.0, 10.0, 0.0, 0.7], // same place, other class
        &[42.0, 32.0, 20.0, 10.0, 0.6, 0.0], // overlaps the first by 100 / 300
        &[32.0, 42.0, 20.0, 10.0, 0.5, 0.0], // touches
    ];
    let (shape, data) = columns(&rows);
    let scores = |more: &str| {
        let model = letterbox(&format!("format = 'yolov8'\n{more}"));
        let found = boxes(&model, &[TensorView::f32("output0", &shape, &data)]);
        found.iter().map(|b| b.score).collect::<Vec<_>>()
    };
    assert_eq!(scores(""), [0.9, 0.7, 0.6, 0.5]);
    assert_eq!(scores("iou_threshold = 0.3"), [0.9, 0.7, 0.5]);
    assert_eq!(scores("iou_threshold = 0.95"), [0.9, 0.8, 0.7, 0.6, 0.5]);
    assert_eq!(scores("max_detections = 2"), [0.9, 0.7]);
    assert_eq!(scores("score_threshold = 0.75"), [0.9]);
}

#[test]
fn wrong_shapes_are_told_with_the_right_ones() {
    let says = |output: &str, shape: &[usize], words: &str| {
        let data = vec![0.0; shape.iter().product()];
        let message = letterbox(output).error(&[TensorView::f32("t", shape, &data)]);
        assert!(
            message.contains(words) && message.contains(&format!("{shape:?}")),
            "{message}"
        );
    };
    says("format = 'yolov8'", &[1, 4, 10], "expects [1, 4 + C, N]");
    says("format = 'yolov8'", &[2, 6, 10], "expects [1, 4 + C, N]");
    says("format = 'yolov8'", &[1, 6, 10, 1], "expects [1, 4 + C, N]");
    says("format = 'yolov5'", &[1, 10, 5], "expects [1, N, 5 + C]");
    says("format = 'end2end'", &[1, 10, 7], "expects [1, N, 6]");
    let model = letterbox("format = 'yolov8'\nlabels = ['a', 'b']");
    let transposed = model.error(&[TensorView::f32("t", &[1, 9, 6], &[0.0; 54])]);
    assert!(
        transposed.contains("the model has 5 classes"),
        "{transposed}"
    );

    let model = letterbox("format = 'boxes-scores'\nnames = ['b', 's']");
    let pair = |b: &[usize], s: &[usize]| {
        let data = [0.0; 64];
        let size = |shape: &[usize]| shape.iter().product::<usize>();
        model.error(&[
            TensorView::f32("b", b, &data[..size(b)]),
            TensorView::f32("s", s, &data[..size(s)]),
        ])
    };
    assert!(pair(&[1, 3, 5], &[1, 3, 2]).contains("[1, N, 4] for the boxes"));
    assert!(pair(&[1, 3, 4], &[1, 4, 2]).contains("[1, 3, C] for the scores of 3 boxes"));
    let model = letterbox("format = 'boxes-scores'");
    let one = model.error(&[TensorView::f32("b", &[1, 3, 4], &[0.0; 12])]);
    assert!(
        one.contains("needs output tensor of scores, [1, N, C]"),
        "{one}"
    );
}
