//! Class maps and masks, worked out by hand.

use vaccel_vision::{Area, Findings, Map, MapData, Object, TensorView};

use crate::common::{Model, close};

fn segments(model: &Model, outputs: &[TensorView<'_>]) -> (Vec<Area>, Vec<Object>, Map) {
    let answer = model.answer(outputs).unwrap();
    match answer.outcome().findings.clone() {
        Findings::Segment { classes, objects } => {
            (classes, objects, answer.map().unwrap().unwrap())
        }
        other => panic!("{other:?}"),
    }
}

fn bytes(map: &Map) -> &[u8] {
    match &map.data {
        MapData::U8(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}

/// A map of 2 x 2 cells over an input of 8 x 8.
fn grid(more: &str, picture: (u32, u32)) -> Model {
    Model::new(
        "segment",
        "",
        &format!("format = 'class-map'\n{more}"),
        (8, 8),
        picture,
    )
}

#[test]
fn the_best_class_of_each_cell_covers_its_part_of_the_picture() {
    let model = grid("labels = ['back', 'cat', 'dog']", (6, 4));
    // Classes: 1 2 / 0 2
    let scores = [
        [0.1, 0.2, 0.9, -5.0],
        [0.8, 0.3, 0.5, -9.0],
        [0.7, 0.4, 0.5, -1.0],
    ];
    let (classes, objects, map) = segments(
        &model,
        &[TensorView::f32("t", &[1, 3, 2, 2], scores.as_flattened())],
    );
    assert!(objects.is_empty());
    let found: Vec<_> = classes
        .iter()
        .map(|c| (c.index, c.label.as_str(), c.pixels, c.share))
        .collect();
    assert_eq!(
        found,
        [
            (2, "dog", 12, 0.5),
            (0, "back", 6, 0.25),
            (1, "cat", 6, 0.25)
        ]
    );
    assert_eq!((map.width, map.height), (6, 4));
    let rows: Vec<_> = bytes(&map).chunks(6).collect();
    assert_eq!(
        rows,
        [
            [1, 1, 1, 2, 2, 2],
            [1, 1, 1, 2, 2, 2],
            [0, 0, 0, 2, 2, 2],
            [0, 0, 0, 2, 2, 2]
        ]
    );

    // The same scores with the channels last.
    let last: Vec<f32> = (0..4)
        .flat_map(|cell| scores.map(|plane| plane[cell]))
        .collect();
    let nhwc = grid("layout = 'nhwc'", (6, 4));
    assert_eq!(
        segments(&nhwc, &[TensorView::f32("t", &[1, 2, 2, 3], &last)]).2,
        map
    );
}

#[test]
fn class_numbers_are_read_from_integers_and_floats() {
    let model = grid("labels = 'voc'", (2, 2));
    let wanted = [15, 0, 0, 7];
    let integers = wanted.map(i64::from);
    let floats = wanted.map(f32::from);
    for shape in [&[1, 2, 2][..], &[1, 1, 2, 2]] {
        let (classes, _, map) = segments(&model, &[TensorView::i64("t", shape, &integers)]);
        assert_eq!(bytes(&map), wanted);
        let names: Vec<_> = classes.iter().map(|c| c.label.as_str()).collect();
        assert_eq!(names, ["__background__", "car", "person"]);
        assert_eq!(
            segments(&model, &[TensorView::f32("t", shape, &floats)]).2,
            map
        );
    }
    let odd = [f32::NAN, 1.4, -0.2, 255.0];
    assert_eq!(
        bytes(&segments(&model, &[TensorView::f32("t", &[1, 2, 2], &odd)]).2),
        [0, 1, 0, 255]
    );
}

#[test]
fn class_numbers_that_are_none_are_refused() {
    let model = grid("", (2, 2));
    for class in [-1, 256, i64::MAX] {
        let message = model.error(&[TensorView::i64("t", &[1, 2, 2], &[0, 0, 0, class])]);
        assert!(
            message.contains(&format!("class number {class}")),
            "{message}"
        );
    }
    for class in [-1.0, 256.0, f32::INFINITY] {
        assert!(
            model
                .error(&[TensorView::f32("t", &[1, 2, 2], &[0.0, 0.0, 0.0, class])])
                .contains("class number")
        );
    }
    let many = vec![0.0; 257 * 4];
    assert!(
        model
            .error(&[TensorView::f32("t", &[1, 257, 2, 2], &many)])
            .contains("class number 256")
    );
    assert!(
        model
            .error(&[TensorView::i64("t", &[1, 2, 2, 2], &[0; 8])])
            .contains("class numbers in integers")
    );
    let message = model.error(&[TensorView::f32("t", &[2, 2], &[0.0; 4])]);
    assert!(
        message.contains("expects [1, C, H, W] or [1, H, W], got [2, 2]"),
        "{message}"
    );
}

#[test]
fn cells_without_a_score_are_background() {
    let model = grid("background = 2", (2, 2));
    let scores = [
        [f32::NAN, 1.0, f32::NAN, 0.0],
        [f32::NAN, 0.0, 3.0, f32::NAN],
        [f32::NAN, 0.0, f32::NAN, f32::NEG_INFINITY],
    ];
    let (_, _, map) = segments(
        &model,
        &[TensorView::f32("t", &[1, 3, 2, 2], scores.as_flattened())],
    );
    assert_eq!(bytes(&map), [2, 0, 1, 0]);
}

#[test]
fn the_filling_of_a_letterbox_and_what_a_crop_cut_off_do_not_count() {
    // 16 x 8 into 8 x 8: rows 2..6 of the input show it; of 8 x 8 cells, rows 2..6 as well.
    let output = "format = 'class-map'";
    let model = Model::new("segment", "resize = 'letterbox'", output, (8, 8), (16, 8));
    let numbers: Vec<i64> = (0..64)
        .map(|cell| if (16..48).contains(&cell) { 1 } else { 9 })
        .collect();
    let (classes, _, map) = segments(&model, &[TensorView::i64("t", &[1, 8, 8], &numbers)]);
    assert_eq!(classes.len(), 1);
    assert_eq!(
        (classes[0].index, classes[0].pixels, classes[0].share),
        (1, 128, 1.0)
    );
    assert!(bytes(&map).iter().all(|&class| class == 1));

    // 16 x 8, the middle 8 x 8 is seen.
    let model = Model::new(
        "segment",
        "resize = 'center-crop'",
        "format = 'class-map'\nbackground = 3",
        (8, 8),
        (16, 8),
    );
    let (classes, _, map) = segments(&model, &[TensorView::i64("t", &[1, 8, 8], &[1; 64])]);
    assert_eq!(
        (classes.len(), classes[0].pixels, classes[0].share),
        (1, 64, 0.5)
    );
    assert_eq!(
        bytes(&map)[..16],
        [3, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 3, 3, 3, 3]
    );
}

/// Candidates as columns of [1, 4 + C + M, N].
fn columns(rows: &[&[f32]]) -> (Vec<usize>, Vec<f32>) {
    let (n, width) = (rows.len(), rows[0].len());
    let data = (0..width)
        .flat_map(|at| rows.iter().map(move |row| row[at]))
        .collect();
    (vec![1, width, n], data)
}

#[test]
fn masks_are_weighted_prototypes_inside_their_box() {
    // Input 8 x 8, prototypes of 4 x 4 cells, picture 8 x 8.
    let model = Model::new(
        "segment",
        "",
        "format = 'yolov8-seg'\nlabels = ['a', 'b']",
        (8, 8),
        (8, 8),
    );
    // Prototype 0 is positive left of column 2, prototype 1 is positive above row 2.
    let left = |cell: usize| if cell % 4 < 2 { 1.0 } else { -1.0 };
    let upper = |cell: usize| if cell / 4 < 2 { 1.0 } else { -1.0 };
    let prototypes: Vec<f32> = (0..16).map(left).chain((0..16).map(upper)).collect();
    let (shape, data) = columns(&[
        &[4.0, 4.0, 8.0, 8.0, 0.9, 0.1, 1.0, 0.0], // class a, everything left
        &[5.0, 2.0, 2.0, 4.0, 0.1, 0.8, 0.0, -2.0], // class b, box 4..6 x 0..4, nothing below row 4
        &[3.0, 6.0, 6.0, 4.0, 0.1, 0.7, 0.0, -1.0], // class b, box 0..6 x 4..8
    ]);
    let views = [
        TensorView::f32("boxes", &shape, &data),
        TensorView::f32("prototypes", &[1, 2, 4, 4], &prototypes),
    ];
    let (classes, objects, map) = segments(&model, &views);
    let pixels: Vec<_> = objects
        .iter()
        .map(|o| (o.detection.index, o.pixels))
        .collect();
    // Between cells 1 and 2 the score passes zero at the picture's middle.
    assert_eq!(pixels, [(0, 32), (1, 0), (1, 24)]);
    assert_eq!(objects[2].detection.x, 0.0);
    // Where two objects overlap, the better has the pixel: 32 of a, 24 - 16 of b.
    assert_eq!(
        classes
            .iter()
            .map(|c| (c.index, c.pixels))
            .collect::<Vec<_>>(),
        [(0, 32), (1, 8)]
    );
    let rows: Vec<_> = bytes(&map).chunks(8).collect();
    assert_eq!(rows[0], [0, 0, 0, 0, 255, 255, 255, 255]);
    assert_eq!(rows[7], [0, 0, 0, 0, 1, 1, 255, 255]);
    // Swapping the outputs changes nothing: their ranks tell them apart.
    assert_eq!(segments(&model, &[views[1], views[0]]).2, map);
    // Prototypes with the channels last.
    let last: Vec<f32> = (0..16)
        .flat_map(|cell| [prototypes[cell], prototypes[16 + cell]])
        .collect();
    let nhwc = Model::new(
        "segment",
        "",
        "format = 'yolov8-seg'\nlayout = 'nhwc'",
        (8, 8),
        (8, 8),
    );
    let again = segments(
        &nhwc,
        &[
            views[0],
            TensorView::f32("prototypes", &[1, 4, 4, 2], &last),
        ],
    );
    assert_eq!(again.2, map);
}

#[test]
fn masks_follow_the_letterbox() {
    // 16 x 8 into 8 x 8: rows 2..6. A disc of cells around the input's centre.
    let model = Model::new(
        "segment",
        "resize = 'letterbox'",
        "format = 'yolov8-seg'",
        (64, 64),
        (256, 128),
    );
    let prototypes: Vec<f32> = (0..32 * 32)
        .map(|cell| {
            let (x, y) = (
                (cell % 32) as f32 + 0.5 - 16.0,
                (cell / 32) as f32 + 0.5 - 16.0,
            );
            6.0 - (x * x + y * y).sqrt()
        })
        .collect();
    let (shape, data) = columns(&[&[32.0, 32.0, 40.0, 40.0, 0.9, 1.0]]);
    let views = [
        TensorView::f32("b", &shape, &data),
        TensorView::f32("p", &[1, 1, 32, 32], &prototypes),
    ];
    let (_, objects, map) = segments(&model, &views);
    // Radius 6 cells = 12 pixels of the input = 48 pixels of the picture.
    let area = std::f32::consts::PI * 48.0 * 48.0;
    assert!(
        close(objects[0].pixels as f32, area, area * 0.01),
        "{}",
        objects[0].pixels
    );
    for (at, &class) in bytes(&map).iter().enumerate() {
        let (x, y) = (
            (at % 256) as f32 + 0.5 - 128.0,
            (at / 256) as f32 + 0.5 - 64.0,
        );
        let distance = (x * x + y * y).sqrt();
        if (distance - 48.0).abs() > 1.5 {
            assert_eq!(class == 0, distance < 48.0, "{x} {y}");
        }
    }
}

#[test]
fn shapes_of_masks_must_agree() {
    let model = Model::new("segment", "", "format = 'yolov8-seg'", (8, 8), (8, 8));
    let data = [0.0; 256];
    let both = |b: &[usize], p: &[usize]| {
        let size = |shape: &[usize]| shape.iter().product::<usize>();
        model.error(&[
            TensorView::f32("b", b, &data[..size(b)]),
            TensorView::f32("p", p, &data[..size(p)]),
        ])
    };
    assert!(
        both(&[1, 6, 3], &[1, 2, 4, 4])
            .contains("expects [1, 4 + C + 2, N] for 2 prototypes, got [1, 6, 3]")
    );
    assert!(both(&[1, 8, 3], &[2, 2, 4, 4]).contains("expects [1, M, H, W]"));
    assert!(both(&[1, 8, 3], &[1, 2, 4]).contains("needs output tensor of prototypes"));
}

#[test]
fn too_many_classes_leave_the_answer_and_take_the_map() {
    let model = Model::new("segment", "", "format = 'yolov8-seg'", (8, 8), (8, 8));
    let mut row = vec![4.0, 4.0, 8.0, 8.0];
    row.extend(vec![0.0; 300]);
    row.push(1.0);
    row[4 + 255] = 0.9;
    let views = [
        TensorView::f32("b", &[1, 305, 1], &row),
        TensorView::f32("p", &[1, 1, 2, 2], &[1.0; 4]),
    ];
    let answer = model.answer(&views).unwrap();
    let Findings::Segment { objects, .. } = &answer.outcome().findings else {
        panic!()
    };
    assert_eq!((objects[0].detection.index, objects[0].pixels), (255, 64));
    assert!(
        answer
            .map()
            .unwrap_err()
            .to_string()
            .contains("class number 255")
    );
}
