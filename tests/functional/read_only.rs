//! Programs where no file system can be written to.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use vaccel_plugin::testing::skipped;
use vaccel_tests::{Program, Run, repository, stage};

/// Makes every mount of a new namespace read-only, then runs the arguments; 77
/// when something can be written after all.
const SCRIPT: &str = "for mount in $(cut -d' ' -f5 /proc/self/mountinfo); do \
    mount -o remount,ro,bind \"$mount\" 2>/dev/null || mount --bind -o ro \"$mount\" \"$mount\" 2>/dev/null; \
    done; mkdir /tmp/writable.$$ 2>/dev/null && rmdir /tmp/writable.$$ && exit 77; exec \"$@\"";

fn read_only(plugins: &str, program: &Path, args: &[&str]) -> Option<Run> {
    let run = Program::at(Path::new("unshare"))
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            SCRIPT,
            "sh",
        ])
        .arg(program)
        .args(args)
        .env("VACCEL_PLUGINS", plugins)
        .run()
        .ok()?;
    if run.stderr.starts_with("unshare") || run.code == Some(77) {
        skipped(
            "read-only folders",
            &format!("no read-only namespace can be made here: {run:?}"),
        );
        return None;
    }
    Some(run)
}

#[test]
fn operations_models_and_libraries_work_without_a_place_for_files() {
    let prefix = stage().unwrap();
    let bin = |name: &str| prefix.join("bin").join(name);
    let library = bin("libmytestlib.so");
    let library = library.to_str().unwrap();
    let model = prefix.join("share/vaccel/models/digits-8x8/model.onnx");
    let picture = prefix.join("share/vaccel/models/classify/samples/01.jpg");

    for (plugins, program, args, text) in [
        ("noop", "noop", vec!["2"], "noop: 2 calls"),
        ("blas", "sgemm", vec!["3", "4", "5"], "is right"),
        (
            "onnx",
            "model",
            vec![model.to_str().unwrap()],
            "values: -1.35988",
        ),
        (
            "exec",
            "exec_with_resource",
            vec![library],
            "mytestfunc(10) = 20",
        ),
    ] {
        let Some(run) = read_only(plugins, &bin(program), &args) else {
            return;
        };
        let output = run.success().unwrap();
        assert!(output.contains(text), "{program}: {output}");
    }
    // What is a file says so.
    let run = read_only("onnx", &bin("detect"), &[picture.to_str().unwrap()]).unwrap();
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("no folder"), "{run:?}");
}

#[test]
fn libraries_in_memory_are_loaded_without_a_place_for_links() {
    let prefix = stage().unwrap();
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("read-only");
    let program = out.join("exec");
    Program::at(Path::new("make"))
        .args(["--no-print-directory", "-s", "-C"])
        .arg(repository().join("tests/c"))
        .arg(format!("PREFIX={}", prefix.display()))
        .arg(format!("OUT={}", out.display()))
        .arg(&program)
        .output()
        .unwrap();
    let library = prefix.join("bin/libmytestlib.so");
    if let Some(run) = read_only("exec", &program, &[library.to_str().unwrap()]) {
        let text = run.success().unwrap();
        assert!(text.contains("ok - ") && !text.contains("not ok"), "{text}");
    }
}
