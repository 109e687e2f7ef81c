//! `cargo xtask cross`: does it build for arm64 and armv7, and do the tests pass where pointers
//! have 32 bits?
//!
//! Cargo needs the standard library of the other processor. Where the toolchain has none, a Debian
//! folder with one is made below target/ and cargo runs in it.

use crate::process::{self, cargo, command, exists, output, root, target_dir};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask cross                       compile for all, run the tests for armv7\n  \
    cargo xtask cross --target aarch64-unknown-linux-gnu --build-only")]
pub(crate) struct Options {
    /// Only this one.
    #[arg(long, value_parser = TARGETS)]
    target: Option<String>,
    /// Run no tests.
    #[arg(long)]
    build_only: bool,
}

const TARGETS: [&str; 2] = ["aarch64-unknown-linux-gnu", "armv7-unknown-linux-gnueabihf"];

/// Tests run for this one only: an emulator is slow, and this is where sizes differ.
const NARROW: &str = "armv7-unknown-linux-gnueabihf";

/// The crates whose arithmetic on sizes and bytes counts.
const TESTED: [&str; 4] = [
    "vaccel-abi",
    "vaccel-core",
    "vaccel-wire",
    "vaccel-transport",
];

pub(crate) fn run(options: &Options) -> Result<()> {
    let targets: Vec<&str> = match &options.target {
        Some(target) => vec![target],
        None => TARGETS.to_vec(),
    };
    let debian = if targets.iter().all(|target| has_library(target)) {
        None
    } else {
        Some(Debian::prepare()?)
    };
    for target in targets {
        check(debian.as_ref(), target)?;
        if target == NARROW && !options.build_only {
            test(debian.as_ref(), target)?;
        }
    }
    Ok(())
}

fn check(debian: Option<&Debian>, target: &str) -> Result<()> {
    let begin = Instant::now();
    let arguments = [
        "check",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--locked",
    ];
    run_cargo(debian, &arguments, target).with_context(|| format!("compiling for {target}"))?;
    eprintln!("{target}: compiles ({} s)", begin.elapsed().as_secs());
    Ok(())
}

fn test(debian: Option<&Debian>, target: &str) -> Result<()> {
    let begin = Instant::now();
    let mut arguments = vec!["test", "--quiet", "--locked"];
    for package in TESTED {
        arguments.extend(["--package", package]);
    }
    run_cargo(debian, &arguments, target).with_context(|| format!("testing for {target}"))?;
    eprintln!("{target}: tests pass ({} s)", begin.elapsed().as_secs());
    Ok(())
}

fn run_cargo(debian: Option<&Debian>, arguments: &[&str], target: &str) -> Result<()> {
    let mut command = match debian {
        Some(debian) => debian.cargo()?,
        None => cargo(),
    };
    process::run(command.args(arguments).args(["--target", target]))
}

/// True when the toolchain at hand has the standard library for a target.
fn has_library(target: &str) -> bool {
    output(command("rustc").args(["--print", "target-libdir", "--target", target]))
        .is_ok_and(|folder| Path::new(folder.trim()).is_dir())
}

/// A Debian folder in which cargo can compile for other processors.
struct Debian {
    root: PathBuf,
}

impl Debian {
    fn prepare() -> Result<Self> {
        let remedy = "add the targets to your toolchain: `rustup target add aarch64-unknown-linux-gnu \
                      armv7-unknown-linux-gnueabihf`";
        if !rustix::process::geteuid().is_root() {
            bail!("a Debian folder can only be made as root; or {remedy}");
        }
        if !exists("debootstrap") {
            if !exists("apt-get") {
                bail!("debootstrap is missing; install it, or {remedy}");
            }
            process::run(command("apt-get").args(["-qq", "update"]))?;
            process::run(command("apt-get").args(["-qq", "install", "--yes", "debootstrap"]))?;
        }
        let root = target_dir().join("cross/root");
        if !root.join("ready").exists() {
            eprintln!("making {} (2 GB, a minute or two)", root.display());
            let script = process::root().join("xtask/cross/make-root.sh");
            output(command(script).arg(&root))?;
        }
        Ok(Self { root })
    }

    /// Cargo inside, without network: what it needs is fetched before.
    fn cargo(&self) -> Result<Command> {
        process::run(cargo().args(["fetch", "--quiet", "--locked"]))?;
        let home = std::env::var_os("CARGO_HOME").map_or_else(
            || std::env::home_dir().map(|home| home.join(".cargo")),
            |home| Some(home.into()),
        );
        let home = home.context("neither CARGO_HOME nor HOME is set")?;
        let mut command = command("unshare");
        command
            .args(["--mount", "--pid", "--fork"])
            .arg(process::root().join("xtask/cross/enter-root.sh"))
            .arg(&self.root)
            .arg(root())
            .arg(home)
            .arg(target_dir().join("cross/output"))
            .arg("--offline");
        Ok(command)
    }
}
