//! Plugins in a program that carries the library inside its executable.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::process::Command;
use vaccel_plugin::testing::built_example;

#[test]
fn a_plugin_finds_the_library_that_is_part_of_the_program() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    // Symbols of the executable are visible to plugins with -rdynamic.
    let compiled = Command::new("cc")
        .args(["-Wall", "-Werror", "-rdynamic", "-o"])
        .arg(&program)
        .arg(here.join("tests/c/program.c"))
        .arg("-I")
        .arg(here.join("../../include"))
        .arg(common::libvaccel().join("libvaccel.a"))
        .args(["-lpthread", "-ldl", "-lm", "-lgcc_s"])
        .status()
        .unwrap();
    assert!(compiled.success());
    let run = Command::new(&program)
        .env("VACCEL_PLUGINS", built_example("misbehaves"))
        .env_remove("VACCEL_LOG_FILE")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{text}");
    // The error text and the session's resources come from the library.
    assert!(
        text.contains("14 noop: misbehaves: the plugin panicked: a static text\n"),
        "{text}"
    );
    assert!(text.contains("0 false true\n"), "{text}");
}
