//! The real library, built when a test needs it.

use std::path::PathBuf;
use std::process::Command;
use vaccel_plugin::testing::built_example;

/// Folder with `libvaccel.so` and `libvaccel.a`, built now if need be.
pub(crate) fn libvaccel() -> PathBuf {
    let example = built_example("misbehaves");
    let target = example.ancestors().nth(2).unwrap();
    let profile = match target.file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        other => other,
    };
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "vaccel-ffi"])
        .args(["--profile", profile])
        .status()
        .unwrap();
    assert!(built.success(), "cargo build -p vaccel-ffi");
    target.to_owned()
}
