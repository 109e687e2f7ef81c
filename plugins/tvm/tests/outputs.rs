//! A compiled model with two results: they are told by the option `outputs`.
#![allow(clippy::unwrap_used)]

#[path = "../../onnx/tests/support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};

use support::{PLUGIN, Session, Tensor};
use vaccel_plugin::code::EINVAL;
use vaccel_plugin::testing::{is_required, skipped};

/// The digits, with what goes into their last layer as a second result.
fn features() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let model = target.join("tvm-models/digits-8x8/features.so");
    if PLUGIN.describe()["ready"] == true && model.exists() {
        return Some(model);
    }
    let reason = "TVM's runtime or its models are missing; `cargo xtask runtimes tvm` and \
                  `cargo xtask test` make them";
    assert!(!is_required("tvm"), "{reason}");
    skipped("tvm", reason);
    None
}

fn loaded(model: &Path, options: &str) -> Session {
    let mut session = Session::new();
    session.add_files(&[model]);
    session.load(0, options).unwrap();
    session
}

fn digit() -> Tensor {
    let pixels: Vec<f32> = (0..64).map(|i| (i % 17) as f32 / 16.0).collect();
    Tensor::of("input", &[1, 1, 8, 8], &pixels)
}

#[test]
fn both_results_are_given_and_the_first_is_what_the_model_without_the_second_gives() {
    let Some(model) = features() else { return };
    let both = loaded(&model, "outputs=2");
    let info = both.info(0).unwrap();
    assert_eq!(info.outputs.len(), 2, "{:?}", info.outputs);
    let found = both.run(0, &[digit()], &["output0", "output1"]).unwrap();
    assert_eq!(found[0].shape, [1, 10]);
    assert_eq!(found[1].shape, [1, 768]);
    // It comes out of a rectifier: nothing is below 0, and something is above.
    let features = found[1].values::<f32>();
    assert!(features.iter().all(|v| *v >= 0.0) && features.iter().any(|v| *v > 0.1));
    let alone = loaded(&model.with_file_name("model.so"), "");
    let logits = alone.run(0, &[digit()], &["output0"]).unwrap();
    assert_eq!(logits[0].values::<f32>(), found[0].values::<f32>());
    // One of them, and the other way round.
    let second = both.run(0, &[digit()], &["output1"]).unwrap();
    assert_eq!(second[0].bytes, found[1].bytes);
    let turned = both.run(0, &[digit()], &["output1", "output0"]).unwrap();
    assert_eq!(turned[0].bytes, found[1].bytes);
    assert_eq!(turned[1].bytes, found[0].bytes);
}

#[test]
fn a_wrong_number_of_results_is_told_with_the_right_one() {
    let Some(model) = features() else { return };
    for options in ["", "outputs=1", "outputs=3"] {
        let session = loaded(&model, options);
        let (code, text) = session.run(0, &[digit()], &["output0"]).unwrap_err();
        assert_eq!(code, EINVAL, "{text}");
        assert!(text.contains("outputs=2"), "{options}: {text}");
    }
    let mut session = Session::new();
    session.add_files(&[&model]);
    for options in ["outputs=0", "outputs=many", "outputs=5000"] {
        let (code, text) = session.load(0, options).unwrap_err();
        assert_eq!(code, EINVAL, "{text}");
        assert!(text.contains("`outputs`"), "{text}");
    }
}
