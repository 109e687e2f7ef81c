//! Starting and ending the processes of a staged installation.
//!
//! The tests of this package run against the tree that `cargo xtask install`
//! makes, named by `VACCEL_STAGE`: the programs and libraries that a user gets.

mod agent;
pub mod hostile;
mod meter;
mod program;

pub use agent::{Agent, strictest_jail};
pub use meter::Meter;
pub use program::{Program, Run, Running};

use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The staged installation.
///
/// # Errors
/// When there is none, with the command that makes it.
pub fn stage() -> Result<PathBuf> {
    let folder = std::env::var_os("VACCEL_STAGE").map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../target/stage/debug"
            ))
        },
        PathBuf::from,
    );
    std::fs::canonicalize(&folder).with_context(|| {
        format!(
            "nothing is staged at {}; run `cargo xtask test`, or `cargo xtask install --profile dev --prefix {0}`",
            folder.display()
        )
    })
}

/// The plugin whose answers are known beforehand, as the build left it beside the tests.
///
/// # Errors
/// When it was not built.
pub fn reference_plugin() -> Result<PathBuf> {
    let mut folder = std::env::current_exe()?;
    // Tests are in deps/, programs are not.
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let plugin = folder.join("libvaccel_reference.so");
    if !plugin.exists() {
        bail!(
            "{} is missing; build it: cargo build -p vaccel-reference",
            plugin.display()
        );
    }
    Ok(plugin)
}

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// A sample picture of a task.
///
/// # Errors
/// When the installation has none.
pub fn sample(task: &str) -> Result<PathBuf> {
    let folder = stage()?
        .join("share/vaccel/models")
        .join(task)
        .join("samples");
    let mut pictures: Vec<PathBuf> = std::fs::read_dir(&folder)
        .with_context(|| format!("no samples at {}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            path.extension().is_some_and(|e| e == "jpg" || e == "png") && !name.contains("-mask")
        })
        .collect();
    pictures.sort();
    pictures.into_iter().next().context("no sample picture")
}

/// Waits until a condition holds.
///
/// # Errors
/// When it does not within `limit`.
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + limit;
    while !condition() {
        if Instant::now() > deadline {
            bail!("{what}: not within {} s", limit.as_secs_f32());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
