//! Models that describe themselves.

use std::collections::BTreeMap;

use vaccel_vision::{Description, Format, Labels, Resize, Task, TensorShape, Vision};

/// Metadata as Ultralytics 8 writes it into an ONNX file.
fn metadata(task: &str, names: &str, more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut all = vec![
        (
            "description",
            "Ultralytics YOLOv8n model trained on coco.yaml",
        ),
        ("author", "Ultralytics"),
        ("date", "2025-05-01T12:00:00.000000"),
        ("version", "8.3.120"),
        (
            "license",
            "AGPL-3.0 License (https://ultralytics.com/license)",
        ),
        ("docs", "https://docs.ultralytics.com"),
        ("stride", "32"),
        ("task", task),
        ("batch", "1"),
        ("imgsz", "[480, 640]"),
        ("names", names),
        (
            "args",
            "{'batch': 1, 'half': False, 'dynamic': False, 'simplify': True, 'opset': None, 'nms': False}",
        ),
    ];
    all.extend_from_slice(more);
    all.into_iter()
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
}

fn shapes(all: &[&[usize]]) -> Vec<TensorShape> {
    all.iter()
        .enumerate()
        .map(|(n, dims)| TensorShape::f32(&format!("output{n}"), dims))
        .collect()
}

fn images() -> Vec<TensorShape> {
    vec![TensorShape::f32("images", &[1, 3, 480, 640])]
}

const NAMES: &str = r#"{0: 'person', 1: 'caf\u00e9 table', 2: "driver's seat"}"#;

#[test]
fn a_detector_is_described_by_its_metadata() {
    let found = Description::infer(
        &metadata("detect", NAMES, &[]),
        &images(),
        &shapes(&[&[1, 7, 6300]]),
    )
    .unwrap();
    assert_eq!(
        found.model.name,
        "Ultralytics YOLOv8n model trained on coco.yaml"
    );
    assert_eq!(
        (found.model.task, found.output.format),
        (Task::Detect, Format::Yolov8)
    );
    assert_eq!(
        (found.input.width, found.input.height),
        (Some(640), Some(480))
    );
    assert_eq!(found.input.resize, Resize::Letterbox);
    let names = ["person", "caf\u{e9} table", "driver's seat"]
        .map(str::to_owned)
        .to_vec();
    assert_eq!(found.output.labels, Some(Labels::List(names)));
    let vision = Vision::new(found, &images()).unwrap();
    assert_eq!(vision.input_shape(), [1, 3, 480, 640]);
}

#[test]
fn nms_inside_the_model_is_told_from_shape_and_metadata() {
    let format = |metadata: &BTreeMap<_, _>, dims: &[usize]| {
        Description::infer(metadata, &images(), &shapes(&[dims])).map(|d| d.output.format)
    };
    let plain = metadata("detect", NAMES, &[]);
    assert_eq!(format(&plain, &[1, 300, 6]), Some(Format::End2end));
    assert_eq!(format(&plain, &[1, 7, 6300]), Some(Format::Yolov8));
    assert_eq!(format(&plain, &[1, 9, 6300]), None);
    assert_eq!(format(&plain, &[6300]), None);
    // Two classes and six candidates: only the metadata tells.
    let two = "{0: 'a', 1: 'b'}";
    assert_eq!(
        format(&metadata("detect", two, &[]), &[1, 6, 6]),
        Some(Format::Yolov8)
    );
    let with_nms = metadata("detect", two, &[("args", "{'nms': True}")]);
    assert_eq!(format(&with_nms, &[1, 6, 6]), Some(Format::End2end));
    let end2end = metadata("detect", two, &[("end2end", "True")]);
    assert_eq!(format(&end2end, &[1, 6, 6]), Some(Format::End2end));
}

#[test]
fn open_dimensions_leave_the_metadata_to_tell() {
    let open = |rows: Option<usize>, columns| TensorShape {
        dims: vec![None, rows, columns],
        ..TensorShape::f32("output0", &[])
    };
    let format = |shape| {
        Description::infer(&metadata("detect", NAMES, &[]), &[], &[shape]).map(|d| d.output.format)
    };
    assert_eq!(format(open(None, None)), Some(Format::Yolov8));
    assert_eq!(format(open(Some(7), None)), Some(Format::Yolov8));
    assert_eq!(format(open(None, Some(6))), Some(Format::End2end));
}

#[test]
fn the_other_tasks_are_described_too() {
    let classify = Description::infer(
        &metadata("classify", NAMES, &[("imgsz", "[224, 224]")]),
        &[],
        &shapes(&[&[1, 3]]),
    )
    .unwrap();
    assert_eq!(
        (classify.output.format, classify.input.resize),
        (Format::Probabilities, Resize::CenterCrop)
    );
    assert_eq!(classify.input.width, Some(224));

    let outputs = shapes(&[&[1, 39, 6300], &[1, 32, 120, 160]]);
    let segment =
        Description::infer(&metadata("segment", NAMES, &[]), &images(), &outputs).unwrap();
    assert_eq!(segment.output.format, Format::Yolov8Seg);

    let people = metadata("pose", "{0: 'person'}", &[("kpt_shape", "[17, 3]")]);
    let pose = Description::infer(&people, &images(), &shapes(&[&[1, 56, 6300]])).unwrap();
    assert_eq!(pose.output.format, Format::Yolov8Pose);
    assert_eq!(
        (pose.output.point_names.len(), pose.output.skeleton.len()),
        (17, 18)
    );
    assert_eq!(pose.output.point_names[0], "nose");

    let hands = metadata("pose", "{0: 'hand'}", &[("kpt_shape", "[21, 3]")]);
    let pose = Description::infer(&hands, &images(), &shapes(&[&[1, 68, 6300]])).unwrap();
    assert_eq!(
        (pose.output.point_names.len(), pose.output.skeleton.len()),
        (21, 0)
    );
}

#[test]
fn yolov5_is_known_by_names_and_stride() {
    let old: BTreeMap<_, _> = [("stride", "32"), ("names", "{0: 'a', 1: 'b'}")]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into();
    let found = Description::infer(&old, &images(), &shapes(&[&[1, 18900, 7]])).unwrap();
    assert_eq!(found.output.format, Format::Yolov5);
    assert_eq!(
        (found.input.width, found.input.height),
        (Some(640), Some(480))
    );
    assert!(Description::infer(&old, &images(), &shapes(&[&[1, 18900, 8]])).is_none());
}

#[test]
fn where_not_enough_is_said_nothing_is_guessed() {
    let outputs = shapes(&[&[1, 7, 6300]]);
    let infer = |metadata: &BTreeMap<_, _>| Description::infer(metadata, &images(), &outputs);
    assert!(infer(&BTreeMap::new()).is_none());
    assert!(infer(&metadata("obb", NAMES, &[])).is_none());
    assert!(infer(&metadata("detect", "{0: 'a', 2: 'b'}", &[])).is_none());
    assert!(infer(&metadata("detect", "{}", &[])).is_none());
    assert!(infer(&metadata("detect", "person", &[])).is_none());
    assert!(infer(&metadata("detect", "{0: 7}", &[])).is_none());
    assert!(infer(&metadata("detect", NAMES, &[("imgsz", "[0, 640]")])).is_none());
    assert!(infer(&metadata("pose", NAMES, &[("kpt_shape", "[17, 2]")])).is_none());
    assert!(infer(&metadata("pose", NAMES, &[])).is_none());
    let mut unsized_ = metadata("detect", NAMES, &[]);
    unsized_.remove("imgsz");
    assert!(infer(&unsized_).is_some());
    assert!(Description::infer(&unsized_, &[], &outputs).is_none());
    // Segmentation with NMS inside has boxes of another kind.
    let after_nms = shapes(&[&[1, 300, 38], &[1, 32, 120, 160]]);
    assert!(Description::infer(&metadata("segment", NAMES, &[]), &images(), &after_nms).is_none());
}
