//! `cargo xtask abi`: guards the binary interface of `libvaccel.so.0`.
//!
//! `abi/libvaccel.so.0.txt` says which functions the library exports, with their
//! prototypes, and what every public structure and enumeration looks like, as a
//! C compiler sees the headers on x86-64. What is described may never change;
//! what is new has to be added to the description on purpose.

mod freeze;
mod layout;
mod prototype;

use crate::process::{command, output, root, run as run_command, target_dir};
use crate::stage;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Add what is new to the description; what changed or went is refused all the same.
    #[arg(long)]
    accept: bool,
    /// Keep the headers of this release in tests/abi, where programs are built with them for good.
    #[arg(long)]
    freeze: bool,
    /// Use this staged installation instead of building one.
    #[arg(long, value_name = "DIR")]
    prefix: Option<PathBuf>,
}

const DESCRIPTION: &str = "abi/libvaccel.so.0.txt";
const TITLE: &str =
    "# Binary interface of libvaccel.so.0 on x86-64; made and checked by `cargo xtask abi`.\n";

pub(crate) fn run(options: &Options) -> Result<()> {
    if options.freeze {
        return freeze::freeze();
    }
    if !cfg!(target_arch = "x86_64") {
        eprintln!("the description is of x86-64; nothing is compared here");
        return Ok(());
    }
    let prefix = match &options.prefix {
        Some(prefix) => prefix.clone(),
        None => {
            let prefix = target_dir().join("stage/debug");
            stage::install(&prefix, "dev")?;
            prefix
        }
    };
    let now = describe(&fs::canonicalize(prefix)?)?;
    let path = root().join(DESCRIPTION);
    let text = fs::read_to_string(&path).unwrap_or_default();
    let then: BTreeSet<String> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(String::from)
        .collect();

    let gone: Vec<&String> = then.difference(&now).collect();
    let new: Vec<&String> = now.difference(&then).collect();
    if !gone.is_empty() {
        for line in &gone {
            eprintln!("- {line}");
        }
        for line in &new {
            eprintln!("+ {line}");
        }
        bail!(
            "{} lines of {DESCRIPTION} no longer hold: binaries in use would break",
            gone.len()
        );
    }
    if !new.is_empty() && !options.accept {
        for line in &new {
            eprintln!("+ {line}");
        }
        bail!(
            "{} things are new; if they are meant to stay, run `cargo xtask abi --accept`",
            new.len()
        );
    }
    if !new.is_empty() {
        let lines: Vec<String> = now.iter().cloned().collect();
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, format!("{TITLE}{}\n", lines.join("\n")))?;
    }
    eprintln!(
        "{} lines of {DESCRIPTION} hold, {} are new",
        then.len(),
        new.len()
    );
    Ok(())
}

/// Compares a staged installation with the description.
pub(crate) fn check_staged(prefix: &Path) -> Result<()> {
    run(&Options {
        accept: false,
        freeze: false,
        prefix: Some(prefix.to_path_buf()),
    })
}

/// Every line that is true of a staged installation.
fn describe(prefix: &Path) -> Result<BTreeSet<String>> {
    let library = prefix.join("lib/libvaccel.so.0");
    let symbols = output(
        command("nm")
            .args(["-D", "--defined-only", "--format=posix"])
            .arg(&library),
    )?;
    let exported: BTreeSet<&str> = symbols
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    if exported.is_empty() {
        bail!("{} exports nothing", library.display());
    }

    let folder = target_dir().join("abi");
    fs::create_dir_all(&folder)?;
    let source = folder.join("headers.c");
    fs::write(
        &source,
        "#include <slog.h>\n#include <vaccel.h>\n#include <vaccel/plugin.h>\n",
    )?;
    let (prototypes, object) = (folder.join("prototypes"), folder.join("headers.so"));
    run_command(
        command("gcc")
            // Without this the compiler leaves out what no function uses.
            .args([
                "-g",
                "-fno-eliminate-unused-debug-types",
                "-shared",
                "-fPIC",
                "-aux-info",
            ])
            .arg(&prototypes)
            .arg("-I")
            .arg(prefix.join("include"))
            .arg("-o")
            .arg(&object)
            .arg(&source),
    )?;
    let prototypes = fs::read_to_string(&prototypes).context("the compiler wrote no prototypes")?;
    let mut lines = prototype::lines(&prototypes, &exported);
    lines.extend(layout::lines(&object)?);
    Ok(lines)
}
