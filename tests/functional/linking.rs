//! The ways in which a program takes vaccel in: by pkg-config, by CMake, and as a
//! part of itself.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use vaccel_plugin::testing::skipped;
use vaccel_tests::{Agent, Program, Run, repository, sample, stage};

fn out(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn tool(name: &str, args: &[&str]) -> String {
    Program::at(Path::new(name))
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{name} {args:?}: {error:#}"))
}

/// Builds examples with the library as a part of them; `-static` in `flags`
/// makes that true of the C library as well.
fn build(name: &str, flags: &str, programs: &[&str]) -> PathBuf {
    let folder = out(name);
    for program in programs {
        // The library may be newer than what an earlier run built.
        let _ = std::fs::remove_file(folder.join(program));
    }
    Program::at(Path::new("make"))
        .args(["--no-print-directory", "-s", "-C"])
        .arg(repository().join("examples/c"))
        .arg(format!("PREFIX={}", stage().unwrap().display()))
        .arg(format!("OUT={}", folder.display()))
        .arg("VACCEL=vaccel-static")
        .arg(format!("LDFLAGS={flags}"))
        .args(programs)
        .output()
        .unwrap_or_else(|error| panic!("{programs:?} {flags}: {error:#}"));
    folder
}

/// Runs a program where no library of ours can be found.
fn run(program: &Path, env: &[(&str, &str)], args: &[&str]) -> Run {
    let mut program = Program::at(program).env("LD_LIBRARY_PATH", "").args(args);
    for (key, value) in env {
        program = program.env(key, value);
    }
    program.run().unwrap()
}

/// What an example prints, without the times it took and the paths of new files.
fn answer(run: Run) -> Vec<String> {
    run.success()
        .unwrap()
        .lines()
        .filter(|line| ![" us ", " ms ", "/"].iter().any(|word| line.contains(word)))
        .map(String::from)
        .collect()
}

#[test]
fn the_static_library_shows_the_c_interface_and_nothing_else() {
    let archive = stage().unwrap().join("lib/libvaccel-static.a");
    let text = tool(
        "nm",
        &["--defined-only", "--extern-only", archive.to_str().unwrap()],
    );
    let mut names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2))
        .collect();
    names.sort_unstable();
    let list = std::fs::read_to_string(repository().join("crates/ffi/abi/exports.txt")).unwrap();
    let mut wanted: Vec<&str> = list.lines().collect();
    wanted.sort_unstable();
    assert_eq!(names, wanted);
}

#[test]
fn a_program_with_the_library_inside_answers_as_one_without_over_unix_and_tcp() {
    let prefix = stage().unwrap();
    let agent = Agent::start(&prefix, "onnx", &["tcp://127.0.0.1:0"], &[]).unwrap();
    let picture = sample("classify").unwrap();
    let picture = picture.to_str().unwrap();
    let model = prefix.join("share/vaccel/models/classify/model.onnx");
    let model = model.to_str().unwrap();
    for (name, flags) in [("linked", ""), ("linked-static", "-static")] {
        let folder = build(name, flags, &["classify", "model"]);
        let program = folder.join("classify");
        let headers = tool("readelf", &["-dl", program.to_str().unwrap()]);
        assert!(!headers.contains("libvaccel"), "{headers}");
        assert_eq!(headers.contains("INTERP"), flags.is_empty(), "{headers}");
        for address in agent.addresses() {
            let shared = |name: &str, args: &[&str]| {
                answer(run(
                    &prefix.join("bin").join(name),
                    &[("VACCEL_PLUGINS", "rpc"), ("VACCEL_RPC_ADDRESS", address)],
                    args,
                ))
            };
            // With the transport named, and without.
            for plugins in ["rpc", ""] {
                let env = [
                    ("VACCEL_PLUGINS", plugins),
                    ("VACCEL_RPC_ADDRESS", address.as_str()),
                ];
                let classified = answer(run(&program, &env, &[picture]));
                assert!(!classified.is_empty());
                assert_eq!(classified, shared("classify", &[picture]), "{address}");
                let inferred = answer(run(&folder.join("model"), &env, &[model]));
                assert!(!inferred.is_empty());
                assert_eq!(inferred, shared("model", &[model]), "{address}");
            }
        }
    }
}

#[test]
fn a_static_program_without_an_agent_or_with_a_plugin_in_a_file_says_why_not() {
    let folder = build("linked-alone", "-static", &["noop"]);
    let lib = stage().unwrap().join("lib/libvaccel-noop.so");
    let nowhere = out("linked-alone").join("no.sock");
    let address = format!("unix://{}", nowhere.display());
    for (plugins, words) in [
        ("", "vaccel-agent"),
        (
            "noop",
            "linked statically and loads no files; part of it are: rpc",
        ),
        (
            lib.to_str().unwrap(),
            "linked statically and loads no files",
        ),
    ] {
        let env = [
            ("VACCEL_PLUGINS", plugins),
            ("VACCEL_RPC_ADDRESS", address.as_str()),
        ];
        let run = run(&folder.join("noop"), &env, &["1"]);
        assert_eq!(run.code, Some(1), "{plugins}: {run:?}");
        assert!(run.stderr.contains(words), "{plugins}: {run:?}");
    }
}

#[test]
fn the_package_for_cmake_gives_both_libraries_and_refuses_another_version() {
    if Program::at(Path::new("cmake"))
        .arg("--version")
        .run()
        .is_err()
    {
        skipped(
            "cmake",
            "cmake is not installed; `cargo xtask test` installs it",
        );
        return;
    }
    let prefix = stage().unwrap();
    let folder = out("cmake");
    let _ = std::fs::remove_dir_all(&folder);
    let define = |key: &str, value: &Path| format!("-D{key}={}", value.display());
    Program::at(Path::new("cmake"))
        .arg("-S")
        .arg(repository().join("tests/cmake"))
        .arg("-B")
        .arg(&folder)
        .arg(define("CMAKE_PREFIX_PATH", &prefix))
        .arg(define(
            "EXAMPLES",
            &repository().join("examples/c").canonicalize().unwrap(),
        ))
        .output()
        .unwrap();
    tool("cmake", &["--build", folder.to_str().unwrap()]);

    let ran = run(
        &folder.join("shared"),
        &[("VACCEL_PLUGINS", "noop")],
        &["3"],
    );
    assert!(ran.success().unwrap().contains("noop: 3 calls"));
    let agent = Agent::start(&prefix, "noop", &[], &[]).unwrap();
    let ran = run(
        &folder.join("static"),
        &[("VACCEL_RPC_ADDRESS", &agent.address())],
        &["3"],
    );
    assert!(ran.success().unwrap().contains("noop: 3 calls"));
}

#[test]
fn pkg_config_knows_both_libraries_under_a_version_that_old_builds_accept() {
    let prefix = stage().unwrap();
    let run = |args: &[&str]| {
        Program::at(Path::new("pkg-config"))
            .env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"))
            .args(args)
            .output()
            .unwrap()
    };
    for name in ["vaccel", "vaccel-static"] {
        run(&["--exists", &format!("{name} >= 0.8.0")]);
        assert!(run(&["--cflags", name]).contains("include"));
    }
    assert!(run(&["--libs", "vaccel"]).contains("-lvaccel"));
    assert!(run(&["--libs", "vaccel-static"]).contains("libvaccel-static.a"));
}
