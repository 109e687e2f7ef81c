//! Descriptions of models that describe themselves: exports of Ultralytics.
//!
//! Their ONNX files carry metadata whose values are Python literals written by
//! `str()`: `task` = `detect`, `imgsz` = `[640, 640]`, `names` = `{0: 'person', ...}`,
//! `kpt_shape` = `[17, 3]`.

use std::collections::BTreeMap;

use crate::description::{Description, InputSection, ModelSection, OutputSection, RunSection};
use crate::labels::Labels;
use crate::python::{self, Literal};
use crate::tensor::TensorShape;
use crate::words::{Format, Layout, Resize, Task};

/// Points of a person in COCO, as Ultralytics' pose models give them.
const PERSON_POINTS: [&str; 17] = [
    "nose",
    "left eye",
    "right eye",
    "left ear",
    "right ear",
    "left shoulder",
    "right shoulder",
    "left elbow",
    "right elbow",
    "left wrist",
    "right wrist",
    "left hip",
    "right hip",
    "left knee",
    "right knee",
    "left ankle",
    "right ankle",
];

/// The usual lines between them.
const PERSON_SKELETON: [[usize; 2]; 18] = [
    [15, 13],
    [13, 11],
    [16, 14],
    [14, 12],
    [11, 12],
    [5, 11],
    [6, 12],
    [5, 6],
    [5, 7],
    [6, 8],
    [7, 9],
    [8, 10],
    [0, 1],
    [0, 2],
    [1, 3],
    [2, 4],
    [3, 5],
    [4, 6],
];

impl Description {
    /// Makes a description from the metadata and tensor shapes in a model file.
    ///
    /// `None` where they do not say enough, or say something that no format of ours
    /// reads (oriented boxes, points without visibility).
    #[must_use]
    pub fn infer(
        metadata: &BTreeMap<String, String>,
        inputs: &[TensorShape],
        outputs: &[TensorShape],
    ) -> Option<Self> {
        let names = class_names(metadata.get("names")?)?;
        let format = match metadata.get("task").map(|task| task.trim()) {
            Some("classify") => Format::Probabilities,
            Some("detect") => detect_format(metadata, names.len(), outputs)?,
            Some("segment") => segment_format(outputs)?,
            Some("pose") => Format::Yolov8Pose,
            // Exports of YOLOv5's own repository give names and stride only.
            None if metadata.contains_key("stride") => yolov5_format(names.len(), outputs)?,
            _ => return None,
        };
        let (height, width) = image_size(metadata.get("imgsz").map(String::as_str), inputs)?;
        let mut output = OutputSection::new(format);
        if format == Format::Yolov8Pose {
            name_points(&mut output, metadata.get("kpt_shape")?, &names)?;
        }
        output.labels = Some(Labels::List(names));

        let task = format.task();
        let name = metadata
            .get("description")
            .map(|text| text.trim())
            .filter(|t| !t.is_empty());
        let description = Self {
            model: ModelSection {
                name: name
                    .unwrap_or(if metadata.contains_key("task") {
                        "YOLO"
                    } else {
                        "YOLOv5"
                    })
                    .to_owned(),
                task,
                file: None,
                description: None,
                license: metadata.get("license").cloned(),
            },
            input: InputSection {
                width: Some(width),
                height: Some(height),
                // Ultralytics trains and validates classifiers on a center crop of the
                // resized picture, everything else on a letterbox filled with 114.
                resize: if task == Task::Classify {
                    Resize::CenterCrop
                } else {
                    Resize::Letterbox
                },
                ..InputSection::default()
            },
            output,
            run: RunSection::default(),
            folder: None,
        };
        description.validate("metadata").ok()?;
        Some(description)
    }
}

/// Labels from `{0: 'a', 1: 'b'}` or `['a', 'b']`; the numbers must be 0, 1, 2 and so on.
fn class_names(text: &str) -> Option<Vec<String>> {
    let text_of = |literal| match literal {
        Literal::Text(text) => Some(text),
        _ => None,
    };
    let names: Option<Vec<_>> = match python::parse(text)? {
        Literal::List(items) => items.into_iter().map(text_of).collect(),
        Literal::Dict(mut items) => {
            items.sort_by_key(|(key, _)| key.as_integer());
            let counts_up = |(at, (key, _)): (usize, &(Literal, Literal))| {
                key.as_integer() == i64::try_from(at).ok()
            };
            if !items.iter().enumerate().all(counts_up) {
                return None;
            }
            items.into_iter().map(|(_, name)| text_of(name)).collect()
        }
        _ => None,
    };
    let names: Vec<_> = names?
        .into_iter()
        .map(|name| name.trim().replace(char::is_control, " "))
        .collect();
    (!names.is_empty()).then_some(names)
}

/// Height and width from `[640, 640]`, `640`, or the input's own shape.
fn image_size(text: Option<&str>, inputs: &[TensorShape]) -> Option<(u32, u32)> {
    let said = match text.and_then(python::parse) {
        Some(Literal::Integer(side)) => Some((side, side)),
        Some(Literal::List(sides)) => match sides.as_slice() {
            [Literal::Integer(height), Literal::Integer(width)] => Some((*height, *width)),
            _ => None,
        },
        _ => None,
    };
    if let Some((height, width)) = said {
        return Some((u32::try_from(height).ok()?, u32::try_from(width).ok()?));
    }
    let dims = inputs.first()?.dims.as_slice();
    let (height, width) = match (crate::pipeline::told_layout(dims, 3), dims) {
        (Some(Layout::Nhwc), &[_, height, width, _]) | (_, &[_, _, height, width]) => {
            (height?, width?)
        }
        _ => return None,
    };
    Some((u32::try_from(height).ok()?, u32::try_from(width).ok()?))
}

/// Tells boxes with class scores from those that went through NMS in the model.
fn detect_format(
    metadata: &BTreeMap<String, String>,
    classes: usize,
    outputs: &[TensorShape],
) -> Option<Format> {
    let says_nms = metadata.get("end2end").is_some_and(|v| v.trim() == "True")
        || metadata
            .get("args")
            .is_some_and(|args| args.contains("'nms': True"));
    let [_, rows, columns] = outputs.first()?.dims.as_slice() else {
        return None;
    };
    match (rows, columns) {
        (_, Some(6)) if says_nms || *rows != Some(4 + classes) => Some(Format::End2end),
        (Some(rows), _) if *rows == 4 + classes => Some(Format::Yolov8),
        // Dynamic axes: only what the metadata says is left.
        (None, None) => Some(if says_nms {
            Format::End2end
        } else {
            Format::Yolov8
        }),
        _ => None,
    }
}

fn segment_format(outputs: &[TensorShape]) -> Option<Format> {
    let ranks: Vec<_> = outputs.iter().map(|output| output.dims.len()).collect();
    // Exports with NMS inside end in 6 + M columns; no format reads them.
    let after_nms = outputs.first()?.dims.get(1) == Some(&Some(300));
    (ranks == [3, 4] && !after_nms).then_some(Format::Yolov8Seg)
}

fn yolov5_format(classes: usize, outputs: &[TensorShape]) -> Option<Format> {
    let is_head = matches!(outputs.first()?.dims.as_slice(), [_, _, Some(columns)] if *columns == 5 + classes);
    is_head.then_some(Format::Yolov5)
}

/// Takes the number of points from `[17, 3]`; people get the names and lines of COCO.
fn name_points(output: &mut OutputSection, kpt_shape: &str, classes: &[String]) -> Option<()> {
    let Literal::List(shape) = python::parse(kpt_shape)? else {
        return None;
    };
    let [Literal::Integer(points), Literal::Integer(3)] = shape.as_slice() else {
        return None;
    };
    let points = usize::try_from(*points)
        .ok()
        .filter(|&n| (1..=1000).contains(&n))?;
    if points == PERSON_POINTS.len() && classes == ["person"] {
        output.point_names = PERSON_POINTS.map(str::to_owned).to_vec();
        output.skeleton = PERSON_SKELETON.to_vec();
    } else {
        output.point_names = (0..points).map(|n| n.to_string()).collect();
    }
    Some(())
}
