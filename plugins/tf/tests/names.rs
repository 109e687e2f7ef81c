//! Tensors go by the names that TensorFlow's own calls give them, too.
#![allow(clippy::unwrap_used)]

#[path = "../../onnx/tests/support/mod.rs"]
mod support;

use std::path::Path;

use support::{PLUGIN, Session, Tensor, trained};
use vaccel_plugin::testing::skipped;

/// Runs a model on a picture of one grey, with these names.
fn run(session: &Session, input: &str, output: &str) -> Vec<f32> {
    let picture = Tensor::of(input, &[1, 1, 8, 8], &[0.5_f32; 64]);
    let outputs = session.run(0, &[picture], &[output]);
    outputs.unwrap().remove(0).values()
}

#[test]
fn names_of_nodes_mean_the_same_tensors_as_those_of_the_signature() {
    if PLUGIN.describe()["ready"] != true {
        skipped("tf", &PLUGIN.describe()["missing"].to_string());
        return;
    }
    let folder = trained("digits-8x8");
    let closed = |path: &Path| {
        let mut session = Session::new();
        if path.is_dir() {
            session.add_folder(path);
        } else {
            session.add_files(&[path]);
        }
        session
    };
    let open = |path: &Path| {
        let session = closed(path);
        session.load(0, "").unwrap();
        session
    };
    let saved = open(&folder.join("savedmodel"));
    let by_signature = run(&saved, "input", "logits");
    assert_eq!(by_signature.len(), 10);
    let by_node = run(
        &saved,
        "serving_default_input:0",
        "StatefulPartitionedCall:0",
    );
    assert_eq!(by_signature, by_node);
    // A frozen graph has nodes alone: with and without the number of the output.
    let frozen = open(&folder.join("graphdef/model.pb"));
    let name = frozen.info(0).unwrap().outputs[0].clone();
    let name = name.split(": ").next().unwrap();
    assert_eq!(
        run(&frozen, "input", name),
        run(&frozen, "input:0", &format!("{name}:0"))
    );
    let other = closed(&folder.join("savedmodel"));
    let other = other.load(0, "signature=other").unwrap_err();
    assert!(other.1.contains("serving_default"), "{other:?}");
}
