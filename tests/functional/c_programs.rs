//! C programs, compiled with gcc against the staged prefix.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use vaccel_tests::{Agent, Program, repository, sample, stage};

fn make(folder: &str, target: &str, out: &Path) -> String {
    let argument = |key: &str, value: &Path| format!("{key}={}", value.display());
    Program::at(Path::new("make"))
        .args(["--no-print-directory", "-s", "-C"])
        .arg(repository().join(folder))
        .arg(argument("PREFIX", &stage().unwrap()))
        .arg(argument("OUT", out))
        .arg(target)
        .output()
        .unwrap_or_else(|error| panic!("make -C {folder} {target}: {error:#}"))
}

fn out(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn headers_layouts_and_behaviour_hold_in_c_and_cpp() {
    print!("{}", make("tests/c", "check", &out("c-check")));
}

#[test]
fn c_tests_and_examples_are_clean_under_valgrind() {
    print!("{}", make("tests/c", "check-valgrind", &out("c-valgrind")));
}

#[test]
fn a_c_program_gives_the_same_answer_here_and_over_unix_and_tcp() {
    let prefix = stage().unwrap();
    make("examples/c", "all", &out("examples"));
    let program = out("examples").join("classify");
    let picture = sample("classify").unwrap();
    let run = |plugin: &str, address: &str| {
        Program::at(&program)
            .env("LD_LIBRARY_PATH", prefix.join("lib"))
            .env("VACCEL_PLUGINS", plugin)
            .env("VACCEL_RPC_ADDRESS", address)
            .arg(&picture)
            .output()
            .unwrap()
    };
    // The name of the annotated picture differs: it is a new file each time.
    let answer = |text: String| -> Vec<String> {
        text.lines()
            .filter(|line| line.contains('%'))
            .map(String::from)
            .collect()
    };
    let local = answer(run("onnx", ""));
    assert!(!local.is_empty());
    let agent = Agent::start(
        &prefix,
        "onnx",
        &["tcp://127.0.0.1:0", "tcp://[::1]:0"],
        &[],
    )
    .unwrap();
    assert_eq!(agent.addresses().len(), 3);
    for address in agent.addresses() {
        assert_eq!(answer(run("rpc", address)), local, "{address}");
    }
}

#[test]
fn a_plugin_written_in_c_builds_loads_and_runs() {
    let folder = out("plugin-c");
    print!("{}", make("examples/plugin-c", "check", &folder));
}
