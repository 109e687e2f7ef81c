//! Points, worked out by hand.

use vaccel_vision::{Findings, Person, TensorView};

use crate::common::{Model, close};

fn people(model: &Model, outputs: &[TensorView<'_>]) -> Vec<Person> {
    match model.findings(outputs) {
        Findings::Pose { people } => people,
        other => panic!("{other:?}"),
    }
}

/// Maps of 4 x 4 cells over an input of 16 x 16 over a picture of 32 x 64: a cell is 8 x 16 pixels.
fn heatmap(more: &str) -> Model {
    Model::new(
        "pose",
        "",
        &format!("format = 'heatmap'\n{more}"),
        (16, 16),
        (32, 64),
    )
}

#[test]
fn a_point_is_the_maximum_moved_towards_its_larger_neighbour() {
    let mut maps = [[0.0; 16]; 3];
    maps[0][6] = 0.8; // column 2, row 1, neighbours equal
    maps[1][6] = 0.8;
    maps[1][7] = 0.5; // right
    maps[1][2] = 0.3; // above
    maps[2][0] = 0.2; // a corner has one neighbour on each axis
    let model = heatmap("point_names = ['a', 'b', 'c']");
    let found = people(
        &model,
        &[TensorView::f32("t", &[1, 3, 4, 4], maps.as_flattened())],
    );
    assert_eq!((found.len(), found[0].bounds), (1, None));
    let points: Vec<_> = found[0]
        .points
        .iter()
        .map(|p| (p.name.as_str(), p.x, p.y, p.score))
        .collect();
    assert_eq!(
        points,
        [
            ("a", 2.5 * 8.0, 1.5 * 16.0, 0.8),
            ("b", 2.75 * 8.0, 1.25 * 16.0, 0.8),
            ("c", 0.5 * 8.0, 0.5 * 16.0, 0.2),
        ]
    );
    assert!(close(found[0].score, 0.6, 1e-6));

    let last: Vec<f32> = (0..16).flat_map(|cell| maps.map(|map| map[cell])).collect();
    let again = people(
        &heatmap("layout = 'nhwc'\npoint_names = ['a', 'b', 'c']"),
        &[TensorView::f32("t", &[1, 4, 4, 3], &last)],
    );
    assert_eq!(again, found);
}

#[test]
fn maps_without_a_number_give_a_point_without_a_score() {
    let mut maps = [[f32::NAN; 16]; 2];
    maps[1] = [f32::NEG_INFINITY; 16];
    maps[1][5] = -3.0;
    let found = people(
        &heatmap(""),
        &[TensorView::f32("t", &[1, 2, 4, 4], maps.as_flattened())],
    );
    let points: Vec<_> = found[0]
        .points
        .iter()
        .map(|p| (p.name.as_str(), p.x, p.y, p.score))
        .collect();
    assert_eq!(points, [("0", 0.0, 0.0, 0.0), ("1", 12.0, 24.0, -3.0)]);
}

#[test]
fn yolov8_people_have_boxes_and_points() {
    // 128 x 64 in a letterbox of 64 x 64.
    let model = Model::new(
        "pose",
        "resize = 'letterbox'",
        "format = 'yolov8-pose'",
        (64, 64),
        (128, 64),
    );
    let rows = [
        [
            32.0, 32.0, 20.0, 10.0, 0.9, 30.0, 31.0, 0.7, -5.0, 90.0, 0.1,
        ],
        [33.0, 32.0, 20.0, 10.0, 0.8, 30.0, 31.0, 0.7, 0.0, 0.0, 0.1], // suppressed
        [
            10.0,
            32.0,
            10.0,
            10.0,
            0.5,
            f32::NAN,
            31.0,
            0.7,
            10.0,
            32.0,
            0.6,
        ],
        [10.0, 32.0, 10.0, 10.0, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    ];
    let data: Vec<f32> = (0..11).flat_map(|at| rows.map(|row| row[at])).collect();
    let found = people(&model, &[TensorView::f32("t", &[1, 11, 4], &data)]);
    assert_eq!(found.len(), 2);
    let bounds = found[0].bounds.unwrap();
    assert_eq!(
        (bounds.x, bounds.y, bounds.width, bounds.height),
        (44.0, 22.0, 40.0, 20.0)
    );
    let points = |at: usize| {
        found[at]
            .points
            .iter()
            .map(|p| (p.x, p.y, p.score))
            .collect::<Vec<_>>()
    };
    // Outside is moved to the edge.
    assert_eq!(points(0), [(60.0, 30.0, 0.7), (0.0, 64.0, 0.1)]);
    assert_eq!(points(1), [(0.0, 0.0, 0.0), (20.0, 32.0, 0.6)]);
}

#[test]
fn several_classes_of_things_with_points_are_told_by_the_labels() {
    let model = Model::new(
        "pose",
        "",
        "format = 'yolov8-pose'\nlabels = ['cat', 'dog']",
        (8, 8),
        (8, 8),
    );
    // 4 + 2 + 3 rows: one point.
    let data = [4.0, 4.0, 2.0, 2.0, 0.1, 0.9, 3.0, 4.0, 0.5];
    let found = people(&model, &[TensorView::f32("t", &[1, 9, 1], &data)]);
    assert_eq!(
        (found[0].score, found[0].points.len(), found[0].points[0].x),
        (0.9, 1, 3.0)
    );
}

#[test]
fn numbers_of_points_must_agree() {
    let message =
        heatmap("point_names = ['a']").error(&[TensorView::f32("t", &[1, 2, 4, 4], &[0.0; 32])]);
    assert!(
        message.contains("expects [1, 1, H, W] for 1 `point_names`, got [1, 2, 4, 4]"),
        "{message}"
    );
    assert!(
        heatmap("")
            .error(&[TensorView::f32("t", &[2, 4, 4], &[0.0; 32])])
            .contains("expects [1, K, H, W]")
    );
    let yolo = |more: &str, rows: usize| {
        let output = format!("format = 'yolov8-pose'\n{more}");
        let data = vec![0.0; rows * 2];
        Model::new("pose", "", &output, (8, 8), (8, 8)).error(&[TensorView::f32(
            "t",
            &[1, rows, 2],
            &data,
        )])
    };
    assert!(yolo("", 5).contains("expects [1, 5 + 3 K, N], got [1, 5, 2]"));
    assert!(yolo("", 9).contains("expects [1, 5 + 3 K, N]"));
    assert!(yolo("point_names = ['a']", 11).contains("expects [1, 8, N] for 1 `point_names`"));
}
