//! `cargo xtask test`: every test there is, in the order of what they cost.

use crate::process::{self, cargo, command, exists, root, target_dir};
use crate::stage;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only the tests of the crates; nothing is staged and no process started.
    #[arg(long)]
    unit: bool,
    /// Do not install missing packages; what needs them then fails and says so.
    #[arg(long)]
    no_install: bool,
}

/// Packages whose tests start processes of an installation.
const STAGED: [&str; 2] = ["vaccel-tests", "vaccel-ttrpc-tests"];

/// Programs that tests need, and the Debian package of each.
const TOOLS: &[(&str, &str)] = &[
    ("gcc", "gcc"),
    ("g++", "g++"),
    ("make", "make"),
    ("pkg-config", "pkg-config"),
    ("valgrind", "valgrind"),
    ("cmake", "cmake"),
    ("python3", "python3-venv"),
];

pub(crate) fn run(options: &Options) -> Result<()> {
    let begin = Instant::now();
    if !options.no_install {
        install_tools()?;
        install_libraries();
        install_cffi();
    }
    let report = Skipped::begin()?;
    let mut installed = crate::runtimes::installed();
    eprintln!("runtimes that are here: {}", installed.join(", "));
    for (name, remedy) in crate::runtimes::missing() {
        eprintln!("{name}: unless the system has it, its tests are skipped; {remedy}");
    }
    if !options.no_install && installed.contains(&"tvm") {
        // Its compiler is none of the runtimes: where it cannot be had, nothing is lost but this.
        if let Err(error) = step("models compiled by TVM", compile_with_tvm) {
            eprintln!("no model could be compiled with TVM, so that it is not tested: {error:#}");
            installed.retain(|&name| name != "tvm");
        }
    }
    let result = all(options, &report, &installed.join(","));
    // Also after a failure: what was not tried may be the reason.
    report.show()?;
    result?;
    eprintln!("all tests passed in {} s", begin.elapsed().as_secs());
    Ok(())
}

/// Every step; `required` are the backends whose tests must not be skipped.
fn all(options: &Options, report: &Skipped, required: &str) -> Result<()> {
    let required = std::env::var("VACCEL_REQUIRE_RUNTIMES").unwrap_or_else(|_| required.to_owned());
    let cargo = || {
        let mut cargo = cargo();
        cargo.env("VACCEL_SKIPPED", &report.file);
        cargo.env("VACCEL_REQUIRE_RUNTIMES", &required);
        cargo
    };
    // Plugins and the library are loaded by path in some tests of the crates.
    step("build", || run_cargo(&["build", "--workspace"]))?;
    step("tests of the crates", || {
        // Whatever fails is told at once, not one a run.
        let mut arguments = vec!["test", "--workspace", "--no-fail-fast"];
        for package in STAGED {
            arguments.extend(["--exclude", package]);
        }
        process::run(cargo().args(&arguments))
    })?;
    step("tests of programs with the library inside", || {
        run_cargo(&["test", "-p", "vaccel", "-F", "static", "--test", "linked"])
    })?;
    if !options.unit {
        let prefix = target_dir().join("stage/debug");
        step("stage", || stage::install(&prefix, "dev"))?;
        step("binary interface", || crate::abi::check_staged(&prefix))?;
        step("end to end", || {
            let mut test = cargo();
            test.args(["test", "--no-fail-fast"])
                .env("VACCEL_STAGE", &prefix);
            for package in STAGED {
                test.args(["--package", package]);
            }
            process::run(&mut test)
        })?;
        step("models", || crate::models::check_staged(&prefix))?;
    }
    Ok(())
}

/// What tests were skipped for want of, which they write to a file.
struct Skipped {
    file: PathBuf,
}

impl Skipped {
    fn begin() -> Result<Self> {
        let file = std::path::absolute(target_dir().join("skipped.tsv"))?;
        match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(Self { file }),
        }
    }

    /// One table: what, for how many tests, why.
    fn show(&self) -> Result<()> {
        let list = match fs::read_to_string(&self.file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("no test was skipped");
                return Ok(());
            }
            list => list?,
        };
        eprintln!("== skipped\n{}", table(&list));
        Ok(())
    }
}

/// Lines of `what<TAB>test<TAB>reason`, as a table of one line for each what and reason.
fn table(list: &str) -> String {
    let mut rows: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for line in list.lines() {
        let mut parts = line.splitn(3, '\t');
        if let (Some(what), Some(test), Some(reason)) = (parts.next(), parts.next(), parts.next()) {
            rows.entry((what, reason)).or_default().insert(test);
        }
    }
    let width = rows.keys().map(|(what, _)| what.len()).max().unwrap_or(0);
    let mut text = format!("{:width$}  tests  why\n", "what");
    for ((what, reason), tests) in rows {
        let _ = writeln!(text, "{what:width$}  {:5}  {reason}", tests.len());
    }
    text
}

fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    eprintln!("== {name}");
    let begin = Instant::now();
    work().with_context(|| format!("step `{name}`"))?;
    eprintln!("== {name}: {} s", begin.elapsed().as_secs());
    Ok(())
}

fn run_cargo(arguments: &[&str]) -> Result<()> {
    process::run(cargo().args(arguments))
}

/// Installs what is missing with apt, where that is possible.
fn install_tools() -> Result<()> {
    let missing: Vec<&str> = TOOLS
        .iter()
        .filter(|(program, _)| !exists(program))
        .map(|&(_, package)| package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !exists("apt-get") || !rustix::process::geteuid().is_root() {
        anyhow::bail!(
            "these packages are needed and missing: {}; install them, for example with `sudo apt-get install {}`",
            missing.join(", "),
            missing.join(" ")
        );
    }
    install(&missing)
}

/// Installs packages of Debian.
fn install(packages: &[&str]) -> Result<()> {
    eprintln!("installing {}", packages.join(", "));
    process::run(command("apt-get").args(["-qq", "update"]))?;
    process::run(
        command("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["-qq", "install", "--no-install-recommends", "--yes"])
            .args(packages),
    )
}

/// Installs the libraries that backends open, where that is possible; where it is not,
/// the tests that want them say that they are skipped.
fn install_libraries() {
    let missing = crate::runtimes::missing_packages();
    if missing.is_empty() {
        return;
    }
    let able = exists("apt-get") && rustix::process::geteuid().is_root();
    if !able || install(&missing).is_err() {
        eprintln!("not installed, so not tested: {}", missing.join(", "));
    }
}

/// What TVM's compiler is installed as; only the tests' models are made with it.
const TVM: [&str; 3] = [
    "apache-tvm==0.27.0",
    "apache-tvm-ffi==0.1.15.post2",
    "onnx==1.23.2",
];

/// Compiles the models of the TVM backend for this processor, where they are not newer than
/// what they are made of, with a Python of their own.
fn compile_with_tvm() -> Result<()> {
    let script = root().join("models/train/compile_tvm.py");
    let folder = std::path::absolute(target_dir().join("tvm-models"))?;
    let changed = |path: &Path| fs::metadata(path).and_then(|about| about.modified());
    let mut sources = Vec::new();
    for entry in fs::read_dir(root().join("models"))? {
        let from = entry?.path();
        let (source, about) = (from.join("model.onnx"), from.join("torchscript/model.toml"));
        let (Some(name), true) = (from.file_name(), about.exists()) else {
            continue;
        };
        // What it takes and gives is as in Torch.
        let to = folder.join(name);
        fs::create_dir_all(&to)?;
        let about = fs::read_to_string(about)?.replace("\"model.pt\"", "\"model.so\"");
        fs::write(to.join("model.toml"), about)?;
        let made = changed(&to.join("model.so"));
        if !made.is_ok_and(|made| {
            [&source, &script]
                .iter()
                .all(|p| changed(p).is_ok_and(|c| c < made))
        }) {
            sources.push(source);
        }
    }
    if sources.is_empty() {
        return Ok(());
    }
    let python = target_dir().join("tvm-python");
    process::run(command("python3").args(["-m", "venv"]).arg(&python))?;
    let python = python.join("bin/python");
    process::run(
        command(&python)
            .args(["-m", "pip", "install", "--quiet"])
            .args(TVM),
    )?;
    process::run(command(&python).arg(script).arg(folder).args(sources))
}

/// Makes a Python with cffi in the target folder; where that fails, the test that
/// wants it says that it was skipped.
fn install_cffi() {
    let folder = target_dir().join("python");
    let python = folder.join("bin/python");
    if python.exists() && process::run(command(&python).args(["-c", "import cffi"])).is_ok() {
        return;
    }
    let made = process::run(command("python3").args(["-m", "venv"]).arg(&folder)).and_then(|()| {
        process::run(command(&python).args(["-m", "pip", "install", "--quiet", "cffi"]))
    });
    if let Err(error) = made {
        eprintln!("no Python with cffi could be made: {error:#}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_skipped_is_one_line_for_each_reason() {
        let list = "tf\ta\tnot there\ntorch\ta\tnot there\ntf\tb\tnot there\ntf\tb\tnot there\n";
        assert_eq!(
            table(list),
            "what   tests  why\n\
             tf         2  not there\n\
             torch      1  not there\n"
        );
    }
}
