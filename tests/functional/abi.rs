//! The guard of the binary interface, and programs and plugins of past releases.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use vaccel_tests::{Program, Run, repository, stage};

fn out(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Compares an installation with the description.
fn guard(prefix: &Path) -> Run {
    Program::at(Path::new(env!("CARGO")))
        .args(["run", "--quiet", "--manifest-path"])
        .arg(repository().join("Cargo.toml"))
        .args(["--package", "xtask", "--", "abi", "--prefix"])
        .arg(prefix)
        .run()
        .unwrap()
}

/// An installation like the staged one, in which one text of one file is another.
fn changed(name: &str, file: &str, from: &str, to: &str) -> PathBuf {
    let (stage, prefix) = (stage().unwrap(), out(name));
    for folder in [
        "include/vaccel",
        "include/vaccel/ops",
        "include/vaccel/utils",
        "lib",
    ] {
        fs::create_dir_all(prefix.join(folder)).unwrap();
    }
    for folder in [
        "include",
        "include/vaccel",
        "include/vaccel/ops",
        "include/vaccel/utils",
    ] {
        for entry in fs::read_dir(stage.join(folder)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                let to = prefix.join(folder).join(entry.file_name());
                symlink(entry.path(), to).unwrap();
            }
        }
    }
    symlink(
        stage.join("lib/libvaccel.so.0"),
        prefix.join("lib/libvaccel.so.0"),
    )
    .unwrap();
    let file = prefix.join(file);
    let mut bytes = fs::read(&file).unwrap();
    let at: Vec<usize> = (0..bytes.len() - from.len())
        .filter(|&i| bytes[i..].starts_with(from.as_bytes()))
        .collect();
    assert!(!at.is_empty(), "{from:?} is not in {}", file.display());
    for i in at.into_iter().rev() {
        bytes.splice(i..i + from.len(), to.bytes());
    }
    fs::remove_file(&file).unwrap();
    fs::write(&file, bytes).unwrap();
    prefix
}

#[test]
fn a_symbol_that_went_and_a_layout_or_type_that_changed_are_refused() {
    let same = guard(&stage().unwrap());
    assert_eq!(same.code, Some(0), "{}", same.stderr);
    for (name, file, from, to, lost) in [
        (
            "abi-symbol",
            "lib/libvaccel.so.0",
            "\0vaccel_sess_has_resource\0",
            "\0vaccel_sess_has_resourcf\0",
            "function _Bool vaccel_sess_has_resource (",
        ),
        (
            "abi-layout",
            "include/vaccel/blob.h",
            "struct vaccel_blob {",
            "struct vaccel_blob {\n    void *newcomer;",
            "field vaccel_blob.data at ",
        ),
        (
            "abi-size",
            "include/vaccel/id.h",
            "vaccel_id_t;",
            "vaccel_id_t; struct vaccel_nothing;",
            "",
        ),
        (
            "abi-prototype",
            "include/vaccel/ops/noop.h",
            "int vaccel_noop(",
            "long vaccel_noop(",
            "function int vaccel_noop (struct vaccel_session *)",
        ),
        (
            "abi-enum",
            "include/vaccel/op.h",
            "VACCEL_OP_MINMAX = 22",
            "VACCEL_OP_MINMAX = 122",
            "enum VACCEL_OP_MINMAX = 22",
        ),
    ] {
        let run = guard(&changed(name, file, from, to));
        if lost.is_empty() {
            // What changes nothing that compiled programs see is no break.
            assert_eq!(run.code, Some(0), "{name}: {}", run.stderr);
            continue;
        }
        assert_eq!(run.code, Some(1), "{name}: {}", run.stderr);
        assert!(
            run.stderr.contains(&format!("- {lost}")),
            "{name}: {}",
            run.stderr
        );
        assert!(run.stderr.contains("binaries in use would break"), "{name}");
    }
}

/// Writes the headers that `tests/abi/VERSION.txt` holds to a folder.
fn unpack(frozen: &Path, include: &Path) {
    let text = fs::read_to_string(frozen).unwrap();
    for file in text.split("// file: ").skip(1) {
        let (name, header) = file.split_once('\n').unwrap();
        let path = include.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, header).unwrap();
    }
}

#[test]
fn plugins_and_programs_built_with_the_headers_of_past_releases_run() {
    let folder = repository().join("tests/abi").canonicalize().unwrap();
    let mut releases = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        releases += 1;
        let version = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let out = out(&format!("abi-{version}"));
        let include = out.join("include");
        unpack(&path, &include);
        let text = Program::at(Path::new("make"))
            .args(["--no-print-directory", "-s", "-C"])
            .arg(repository().join("tests/c"))
            .arg(format!("PREFIX={}", stage().unwrap().display()))
            .arg(format!("OUT={}", out.join("built").display()))
            .arg(format!("VACCEL_CFLAGS=-I{}", include.display()))
            .arg("check-frozen")
            .output()
            .unwrap_or_else(|error| panic!("headers of {version}: {error:#}"));
        assert!(
            text.contains("ok - every operation without a model was called")
                && text.contains("ok - every operation of a model was called"),
            "{text}"
        );
    }
    assert!(releases > 0, "no release is frozen");
}
