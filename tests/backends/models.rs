//! The models, the formats they are in, and how they are asked.

use std::path::{Path, PathBuf};

use super::support::npz;
use super::support::{PLUGIN, Session, Tensor, trained};

/// A model in one format: name of the format as plugins list it, its name in the matrix,
/// where it is under the folder of the model, how far logits of the digits may be from the
/// reference, and numbers of the other models as a part of the largest of them.
pub(super) struct Form {
    pub(super) format: &'static str,
    pub(super) shown: &'static str,
    pub(super) place: &'static str,
    pub(super) tolerance: f32,
    pub(super) off: f32,
}

const FORMS: &[Form] = &[
    Form {
        format: "onnx",
        shown: "ONNX",
        place: "model.onnx",
        tolerance: 2e-4,
        off: 5e-5,
    },
    Form {
        format: "torchscript",
        shown: "TorchScript",
        place: "torchscript/model.pt",
        tolerance: 2e-4,
        off: 5e-5,
    },
    Form {
        format: "savedmodel",
        shown: "SavedModel",
        place: "savedmodel",
        tolerance: 2e-4,
        off: 5e-5,
    },
    Form {
        format: "graphdef",
        shown: "frozen graph",
        place: "graphdef/model.pb",
        tolerance: 2e-4,
        off: 5e-5,
    },
    Form {
        format: "tvm",
        shown: "TVM",
        place: "tvm/model.so",
        tolerance: 2e-4,
        off: 5e-5,
    },
    Form {
        format: "tflite",
        shown: "TFLite",
        place: "tflite/model.tflite",
        tolerance: 2e-4,
        off: 5e-5,
    },
    Form {
        format: "tflite",
        shown: "TFLite int8",
        place: "tflite-int8/model.tflite",
        // TensorFlow's own interpreter is off by 0.271: models/train/formats.py.
        tolerance: 0.3,
        off: 0.05,
    },
];

pub(super) const MODELS: &[&str] = &[
    "digits-8x8",
    "classify",
    "detect",
    "segment",
    "pose",
    "depth",
];

/// The forms of a model that this backend reads and that are there.
pub(super) fn forms(model: &str) -> Vec<(&'static Form, PathBuf)> {
    let about = PLUGIN.describe();
    let reads = |format: &str| {
        let formats = about["formats"].as_array().unwrap();
        formats.iter().any(|f| f == format)
    };
    FORMS
        .iter()
        .filter(|form| reads(form.format))
        .map(|form| (form, place(model, form)))
        .filter(|(_, path)| path.exists())
        .collect()
}

/// Where a model is in a format: what is compiled for a processor is made by the tests.
fn place(model: &str, form: &Form) -> PathBuf {
    if form.format != "tvm" {
        return trained(model).join(form.place);
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    target.join("tvm-models").join(model).join("model.so")
}

pub(super) fn open(path: &Path) -> Session {
    let mut session = Session::new();
    if path.is_dir() {
        session.add_folder(path);
    } else {
        session.add_files(&[path]);
    }
    session
}

pub(super) fn loaded(path: &Path) -> Session {
    let session = open(path);
    session
        .load(0, "")
        .unwrap_or_else(|e| panic!("{}: {e:?}", path.display()));
    session
}

/// The small digits of the test set as `[1, 1, 8, 8]`, and their classes.
pub(super) fn digits() -> Vec<(Vec<f32>, i64)> {
    let arrays = npz::read(&trained("digits-8x8").join("test.npz"));
    let labels = arrays["labels"].i64s();
    let images = arrays["images"].bytes.chunks_exact(8 * 8 * 3);
    let grey = |rgb: &[u8]| {
        rgb.chunks_exact(3)
            .map(|p| f32::from(p[0]) / 255.0)
            .collect()
    };
    images.map(grey).zip(labels).collect()
}

/// Name and shape of an input or output.
pub(super) struct Port {
    pub(super) name: String,
    pub(super) shape: Vec<i64>,
}

impl Port {
    /// True where pictures have their channels last.
    pub(super) fn channels_last(&self) -> bool {
        matches!(self.shape[..], [_, _, _, 3])
    }

    /// Reads `name: f32 [-1, 2]`.
    fn parse(text: &str) -> Self {
        let (name, rest) = text.rsplit_once(": ").unwrap();
        let dims = rest.split(['[', ']']).nth(1).unwrap();
        Self {
            name: name.to_owned(),
            shape: dims
                .split(',')
                .filter_map(|d| d.trim().parse().ok())
                .collect(),
        }
    }
}

/// True where models say what their inputs look like; TorchScript files and compiled models
/// do not.
pub(super) fn says_shapes() -> bool {
    !["torch", "tvm"].contains(&PLUGIN.name())
}

/// The first input and the first output of the model.
pub(super) fn ports(session: &Session) -> (Port, Port) {
    let info = session.info(0).unwrap();
    let mut first = Port::parse(&info.inputs[0]);
    if !says_shapes() {
        assert!(first.shape.is_empty(), "{:?}", first.shape);
        // What the digits take.
        first.shape = vec![-1, 1, 8, 8];
    }
    (first, Port::parse(&info.outputs[0]))
}

/// The first input of a model, filled: with a digit where it takes one, else with a
/// pattern that is the same everywhere.
pub(super) fn input(session: &Session, values: &[f32]) -> Tensor {
    let (first, _) = ports(session);
    let shape: Vec<i64> = first.shape.iter().map(|&d| d.max(1)).collect();
    Tensor::of(&first.name, &shape, values)
}

pub(super) fn first_output(session: &Session, values: &[f32]) -> Vec<f32> {
    let name = ports(session).1.name;
    let outputs = session.run(0, &[input(session, values)], &[&name]);
    outputs.unwrap().remove(0).values()
}

pub(super) fn arg_max(values: &[f32]) -> i64 {
    let best = values.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.unwrap().0 as i64
}
