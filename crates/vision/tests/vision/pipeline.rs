//! From a file to JSON and text.

use image::ImageFormat;
use vaccel_vision::{Limits, TensorShape, TensorView, Vision};

use crate::common::{Model, describe};

fn png(width: u32, height: u32) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(width, height)
        .write_to(&mut file, ImageFormat::Png)
        .unwrap();
    file.into_inner()
}

fn forms(model: &Model, outputs: &[TensorView<'_>]) -> (String, String) {
    let answer = model.answer(outputs).unwrap();
    (answer.outcome().to_json(), answer.outcome().to_text())
}

#[test]
fn a_file_goes_through_the_whole_way() {
    let inputs = [TensorShape::f32("input", &[1, 3, 4, 4])];
    let description = describe(
        "classify",
        "",
        "format = 'probabilities'\nlabels = ['0', '7']",
    );
    let vision = Vision::new(description, &inputs).unwrap();
    let prepared = vision.prepare(&png(640, 480)).unwrap();
    assert_eq!(
        (
            prepared.frame.picture().width(),
            prepared.frame.picture().height()
        ),
        (640, 480)
    );
    let answer = vision
        .finish(
            prepared.frame,
            &[TensorView::f32("p", &[1, 2], &[0.027, 0.973])],
        )
        .unwrap();
    assert_eq!(
        answer.outcome().to_json(),
        r#"{"task":"classify","model":"test","image":{"width":640,"height":480},"classes":[{"index":1,"label":"7","score":0.973},{"index":0,"label":"0","score":0.027}]}"#
    );
    assert_eq!(answer.outcome().to_text(), "7: 97.3 %\n0: 2.7 %\n");
    assert_eq!(answer.map().unwrap(), None);
    let small = vision.with_limits(Limits {
        side: 639,
        pixels: 1 << 20,
    });
    assert!(small.prepare(&png(640, 480)).is_err());
}

#[test]
fn boxes_are_written_as_the_reference_shows() {
    let model = Model::new(
        "detect",
        "",
        "format = 'end2end'\nlabels = ['7']",
        (64, 64),
        (64, 64),
    );
    let (json, text) = forms(
        &model,
        &[TensorView::f32(
            "t",
            &[1, 1, 6],
            &[1.0, 2.0, 31.0, 42.0, 0.9, 0.0],
        )],
    );
    assert_eq!(
        json,
        r#"{"task":"detect","model":"test","image":{"width":64,"height":64},"boxes":[{"x":1.0,"y":2.0,"width":30.0,"height":40.0,"index":0,"label":"7","score":0.9}]}"#
    );
    assert_eq!(text, "7: 90.0 % at 1,2 30x40\n");
    let (json, text) = forms(&model, &[TensorView::f32("t", &[1, 1, 6], &[0.0; 6])]);
    assert!(json.ends_with(r#""boxes":[]}"#));
    assert_eq!(text, "nothing found\n");
}

#[test]
fn segments_are_written_as_the_reference_shows() {
    let model = Model::new(
        "segment",
        "",
        "format = 'class-map'\nlabels = ['back', '7']",
        (8, 8),
        (4, 4),
    );
    let (json, text) = forms(&model, &[TensorView::i64("t", &[1, 2, 2], &[0, 0, 0, 1])]);
    assert!(json.ends_with(
        r#""classes":[{"index":0,"label":"back","pixels":12,"share":0.75},{"index":1,"label":"7","pixels":4,"share":0.25}],"objects":[]}"#
    ));
    assert_eq!(
        text,
        "back: 75.0 % of the picture\n7: 25.0 % of the picture\n"
    );

    let model = Model::new(
        "segment",
        "",
        "format = 'yolov8-seg'\nlabels = ['7']",
        (8, 8),
        (8, 8),
    );
    let outputs = [
        TensorView::f32("b", &[1, 6, 1], &[4.0, 4.0, 8.0, 8.0, 0.5, 1.0]),
        TensorView::f32("p", &[1, 1, 1, 1], &[1.0]),
    ];
    let (json, text) = forms(&model, &outputs);
    assert!(json.ends_with(
        r#""objects":[{"x":0.0,"y":0.0,"width":8.0,"height":8.0,"index":0,"label":"7","score":0.5,"pixels":64}]}"#
    ));
    assert_eq!(
        text,
        "7: 100.0 % of the picture\n7: 50.0 % at 0,0 8x8, 64 pixels\n"
    );
}

#[test]
fn people_are_written_as_the_reference_shows() {
    let model = Model::new(
        "pose",
        "",
        "format = 'heatmap'\npoint_names = ['nose']",
        (2, 2),
        (2, 2),
    );
    let (json, text) = forms(&model, &[TensorView::f32("t", &[1, 1, 1, 1], &[0.9])]);
    assert!(json.ends_with(r#""people":[{"box":null,"score":0.9,"points":[{"name":"nose","x":1.0,"y":1.0,"score":0.9}]}]}"#));
    assert_eq!(text, "person 1: 90.0 %\n  nose: 90.0 % at 1,1\n");
    let model = Model::new("pose", "", "format = 'yolov8-pose'", (8, 8), (8, 8));
    let row = [4.0, 4.0, 4.0, 2.0, 0.5, 3.0, 4.0, 0.25];
    let (json, text) = forms(&model, &[TensorView::f32("t", &[1, 8, 1], &row)]);
    assert!(
        json.contains(r#""box":{"x":2.0,"y":3.0,"width":4.0,"height":2.0},"score":0.5"#),
        "{json}"
    );
    assert_eq!(text, "person 1: 50.0 % at 2,3 4x2\n  0: 25.0 % at 3,4\n");
}

#[test]
fn depth_is_written_as_the_reference_shows() {
    let model = Model::new(
        "depth",
        "",
        "format = 'depth-map'\nunit = 'm'",
        (2, 2),
        (2, 2),
    );
    let (json, text) = forms(&model, &[TensorView::f32("t", &[1, 1, 2], &[0.5, 9.75])]);
    assert!(
        json.ends_with(
            r#""image":{"width":2,"height":2},"min":0.5,"max":9.75,"mean":5.125,"unit":"m"}"#
        ),
        "{json}"
    );
    assert_eq!(text, "depth: 0.50 to 9.75 m, mean 5.12 m\n");
    let model = Model::new("depth", "", "format = 'depth-map'", (2, 2), (2, 2));
    let (json, text) = forms(&model, &[TensorView::f32("t", &[1, 1, 2], &[0.5, 9.75])]);
    assert!(json.ends_with(r#""unit":null}"#));
    assert_eq!(text, "depth: 0.50 to 9.75, mean 5.12\n");
}
