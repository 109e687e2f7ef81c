//! The headers as generators of bindings see them, and the library from Python.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use vaccel_plugin::testing::skipped;
use vaccel_tests::{Program, repository, stage};

/// A Python that has cffi: the one that `cargo xtask test` makes, or the system's.
fn python() -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../python/bin/python");
    [own, PathBuf::from("python3")].into_iter().find(|python| {
        Program::at(python)
            .args(["-c", "import cffi"])
            .run()
            .is_ok_and(|run| run.code == Some(0))
    })
}

#[test]
fn cffi_parses_the_headers_and_python_calls_the_library() {
    let Some(python) = python() else {
        skipped(
            "cffi",
            "no Python with cffi; `cargo xtask test` makes one where PyPI is reached",
        );
        return;
    };
    let text = Program::at(&python)
        .arg(repository().join("tests/cffi/bindings.py"))
        .arg(stage().unwrap())
        .arg("cc")
        .env("VACCEL_PLUGINS", "noop")
        .output()
        .unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(text.matches("\nok - ").count() + 1, 20, "{text}");
    assert!(!text.contains("not ok"), "{text}");
}
