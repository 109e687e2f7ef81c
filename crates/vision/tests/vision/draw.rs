//! The annotated picture.

use vaccel_vision::{Answer, Limits, Picture, TensorView, decode};

use crate::common::{Model, Random};

fn pixel(picture: &Picture, x: u32, y: u32) -> [u8; 3] {
    let at = (y * picture.width() + x) as usize * 3;
    [0, 1, 2].map(|channel| picture.rgb()[at + channel])
}

/// Pixels that are not the grey of the picture that was given.
fn drawn(answer: &Answer) -> Vec<(u32, u32)> {
    let picture = answer.picture();
    let all = (0..picture.height()).flat_map(|y| (0..picture.width()).map(move |x| (x, y)));
    all.filter(|&(x, y)| pixel(&picture, x, y) != [128; 3])
        .collect()
}

#[test]
fn the_png_file_holds_the_drawn_picture() {
    let model = Model::new("detect", "", "format = 'end2end'", (64, 64), (200, 100));
    let answer = model
        .answer(&[TensorView::f32(
            "t",
            &[1, 1, 6],
            &[10.0, 20.0, 50.0, 60.0, 0.9, 0.0],
        )])
        .unwrap();
    let png = answer.picture_png().unwrap();
    assert_eq!(decode(&png, &Limits::default()).unwrap(), answer.picture());
}

#[test]
fn a_box_is_a_frame_with_a_label_above_it() {
    let model = Model::new(
        "detect",
        "",
        "format = 'end2end'\nlabels = ['I']",
        (200, 200),
        (200, 200),
    );
    let answer = model
        .answer(&[TensorView::f32(
            "t",
            &[1, 1, 6],
            &[50.0, 60.0, 150.0, 160.0, 0.9, 0.0],
        )])
        .unwrap();
    let picture = answer.picture();
    let colour = pixel(&picture, 50, 120);
    assert_ne!(colour, [128; 3]);
    for (x, y) in [
        (50, 60),
        (51, 159),
        (149, 60),
        (149, 159),
        (100, 61),
        (100, 158),
    ] {
        assert_eq!(pixel(&picture, x, y), colour, "{x} {y}");
    }
    for (x, y) in [
        (53, 63),
        (147, 157),
        (100, 110),
        (49, 100),
        (150, 100),
        (100, 161),
        (49, 55),
    ] {
        assert_eq!(pixel(&picture, x, y), [128; 3], "{x} {y}");
    }
    // "I 90 %" is 6 letters of 8 pixels on a bar of 50 x 10.
    assert_eq!(pixel(&picture, 50, 50), colour);
    assert_eq!(pixel(&picture, 99, 50), colour);
    assert_eq!(pixel(&picture, 100, 50), [128; 3]);
    let ink = (50..60)
        .flat_map(|y| (50..100).map(move |x| (x, y)))
        .filter(|&(x, y)| pixel(&picture, x, y) != colour);
    assert!((20..200).contains(&ink.count()));
}

#[test]
fn class_maps_tint_all_but_the_background() {
    let model = |more: &str| {
        Model::new(
            "segment",
            "",
            &format!("format = 'class-map'\n{more}"),
            (8, 8),
            (200, 200),
        )
    };
    let view = TensorView::i64("t", &[1, 2, 1], &[0, 1]);
    let answer = model("labels = ['a', 'b']").answer(&[view]).unwrap();
    let picture = answer.picture();
    // The list of classes is in the upper left corner; below the middle all is tinted.
    assert_ne!(pixel(&picture, 0, 0), [128; 3]);
    assert_eq!(pixel(&picture, 199, 0), [128; 3]);
    let tint = pixel(&picture, 0, 100);
    assert_ne!(tint, [128; 3]);
    assert!((100..200).all(|y| (0..200).all(|x| pixel(&picture, x, y) == tint)));
    let all = model("background = -1").answer(&[view]).unwrap().picture();
    assert_ne!(pixel(&all, 199, 0), [128; 3]);
    assert_ne!(pixel(&all, 199, 0), pixel(&all, 199, 199));
}

#[test]
fn masks_tint_their_pixels_only() {
    let model = Model::new("segment", "", "format = 'yolov8-seg'", (8, 8), (80, 80));
    let outputs = [
        TensorView::f32("b", &[1, 6, 1], &[4.0, 4.0, 8.0, 8.0, 0.5, 1.0]),
        TensorView::f32("p", &[1, 1, 1, 2], &[1.0, -1.0]),
    ];
    let picture = model.answer(&outputs).unwrap().picture();
    assert_ne!(pixel(&picture, 20, 60), [128; 3]);
    assert_eq!(pixel(&picture, 60, 60), [128; 3]);
}

#[test]
fn sure_points_are_drawn_and_joined() {
    let model = |threshold: f32| {
        let output = format!(
            "format = 'yolov8-pose'\nskeleton = [[0, 1], [1, 2], [2, 9]]\npoint_threshold = {threshold}"
        );
        Model::new("pose", "", &output, (100, 100), (100, 100))
    };
    let row = [
        50.0, 50.0, 90.0, 90.0, 0.9, 20.0, 50.0, 0.9, 80.0, 50.0, 0.9, 80.0, 90.0, 0.3,
    ];
    let view = TensorView::f32("t", &[1, 14, 1], &row);
    let picture = model(0.5).answer(&[view]).unwrap().picture();
    assert_ne!(pixel(&picture, 50, 50), [128; 3]);
    assert_eq!(pixel(&picture, 80, 70), [128; 3]);
    let picture = model(0.2).answer(&[view]).unwrap().picture();
    assert_ne!(pixel(&picture, 80, 70), [128; 3]);
}

#[test]
fn near_is_bright_whichever_way_the_values_go() {
    let picture = |more: &str| {
        let model = Model::new(
            "depth",
            "",
            &format!("format = 'depth-map'\ncolormap = 'gray'\n{more}"),
            (8, 8),
            (80, 40),
        );
        model
            .answer(&[TensorView::f32("t", &[1, 1, 3], &[1.0, f32::NAN, 9.0])])
            .unwrap()
            .picture()
    };
    let plain = picture("");
    assert_eq!(
        (pixel(&plain, 0, 0), pixel(&plain, 79, 39)),
        ([255; 3], [0; 3])
    );
    assert_eq!(pixel(&plain, 40, 20), [0; 3]);
    let inverse = picture("inverse = true");
    assert_eq!(
        (pixel(&inverse, 0, 0), pixel(&inverse, 79, 39)),
        ([0; 3], [255; 3])
    );
}

#[test]
fn classes_are_listed_in_the_corner() {
    let model = Model::new(
        "classify",
        "",
        "format = 'probabilities'\ntop_k = 2",
        (8, 8),
        (200, 100),
    );
    let answer = model
        .answer(&[TensorView::f32("t", &[1, 3], &[0.1, 0.7, 0.2])])
        .unwrap();
    let marks = drawn(&answer);
    // Two lines of 10 pixels; "1 70.0 %" is 8 letters wide.
    assert!(marks.iter().all(|&(x, y)| x < 66 && y < 20));
    assert!(marks.len() > 1200);
}

#[test]
fn drawing_never_leaves_a_picture_however_small() {
    let mut random = Random::new(3);
    for size in [(1, 1), (1, 50), (50, 1), (3, 2), (9, 9), (700, 5)] {
        let output =
            "format = 'end2end'\nlabels = ['a label that is far longer than the picture is wide']";
        let model = Model::new("detect", "", output, (64, 64), size);
        let rows: Vec<f32> = (0..20)
            .flat_map(|_| {
                let (x, y) = (random.between(-9.0, 60.0), random.between(-9.0, 60.0));
                [
                    x,
                    y,
                    x + random.between(0.1, 90.0),
                    y + random.between(0.1, 90.0),
                    0.9,
                    0.0,
                ]
            })
            .collect();
        let answer = model
            .answer(&[TensorView::f32("t", &[1, 20, 6], &rows)])
            .unwrap();
        assert!(!drawn(&answer).is_empty());
    }
}
