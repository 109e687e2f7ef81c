//! Models that a runtime would compute wrongly without an error.
#![allow(clippy::unwrap_used)]

#[path = "../../onnx/tests/support/mod.rs"]
mod support;

use std::path::Path;

use support::{PLUGIN, Session};
use vaccel_plugin::code;
use vaccel_plugin::testing::skipped;

#[test]
fn dense_layers_with_scales_per_channel_are_refused_by_runtimes_that_take_the_first() {
    let about = PLUGIN.describe();
    let runtime = about["runtime"].as_str().unwrap_or_default();
    // The pinned one; with a newer one there is nothing to refuse.
    if !runtime.starts_with("TensorFlow Lite 2.9") {
        skipped("tflite", &format!("{runtime} {}", about["missing"]));
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut session = Session::new();
    session.add_files(&[&folder.join("per-channel-dense.tflite")]);
    let (code, text) = session.load(0, "").unwrap_err();
    assert_eq!(code, code::ENOTSUP, "{text}");
    assert!(
        text.contains("2.17") && text.contains("per_channel"),
        "{text}"
    );
}
