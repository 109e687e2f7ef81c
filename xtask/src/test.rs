//! `cargo xtask test`: every test there is, in the order of what they cost.

use crate::process::{self, cargo, command, exists, target_dir};
use crate::stage;
use anyhow::{Context, Result};
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

/// Libraries that backends open where they are installed, and the Debian package of each.
/// Tests of what is missing say that they are skipped.
const LIBRARIES: &[(&str, &str)] = &[
    ("libOpenCL.so.1", "ocl-icd-libopencl1"),
    ("libpocl.so.2", "pocl-opencl-icd"),
    ("libopenblas.so.0", "libopenblas0-pthread"),
    ("libblis.so.4", "libblis4-pthread"),
    ("libopencv_objdetect.so ", "libopencv-objdetect-dev"),
    ("libopencv_video.so ", "libopencv-video-dev"),
    ("libopencv_imgcodecs.so ", "libopencv-imgcodecs-dev"),
];

pub(crate) fn run(options: &Options) -> Result<()> {
    let begin = Instant::now();
    if !options.no_install {
        install_tools()?;
        install_libraries();
        install_cffi();
    }
    crate::runtimes::say_what_is_missing();
    // Plugins and the library are loaded by path in some tests of the crates.
    step("build", || run_cargo(&["build", "--workspace"]))?;
    step("tests of the crates", || {
        // Whatever fails is told at once, not one a run.
        let mut arguments = vec!["test", "--workspace", "--no-fail-fast"];
        for package in STAGED {
            arguments.extend(["--exclude", package]);
        }
        run_cargo(&arguments)
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
    eprintln!("all tests passed in {} s", begin.elapsed().as_secs());
    Ok(())
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
    let known = process::output(command("ldconfig").arg("-p")).unwrap_or_default();
    let missing: Vec<&str> = LIBRARIES
        .iter()
        .filter(|(library, _)| !known.contains(library))
        .map(|&(_, package)| package)
        .collect();
    if missing.is_empty() {
        return;
    }
    let able = exists("apt-get") && rustix::process::geteuid().is_root();
    if !able || install(&missing).is_err() {
        eprintln!("not installed, so not tested: {}", missing.join(", "));
    }
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
