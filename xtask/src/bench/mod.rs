//! `cargo xtask bench`: figures that anyone can measure again, each beside its floor.

mod dispatch;
pub(crate) mod overhead;
mod pingpong;
pub(crate) mod resources;
mod sample;
mod transport;

use crate::process::{self, cargo, command, target_dir};
use crate::stage;
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

#[derive(Args)]
#[command(
    after_help = "Figures are medians of several rounds; floors are measured in the same run.\n\
    Exit code 1 when a target is missed."
)]
pub(crate) struct Options {
    /// What to measure [default: dispatch and transport].
    #[arg(value_enum)]
    suite: Option<Suite>,
    /// Write the figures as a JSON array of {name, value, unit, floor, ratio, target, ok}.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Use this staged installation instead of building one.
    #[arg(long, value_name = "DIR")]
    prefix: Option<PathBuf>,
    /// Iterations of each way in the overhead suite.
    #[arg(long, default_value_t = overhead::ITERATIONS)]
    iterations: usize,
    /// Write performance.md and its drawing into this folder, from the overhead suite.
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
    /// Report missed targets without failing.
    #[arg(long)]
    no_fail: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// Calls inside one process.
    Dispatch,
    /// Calls through the agent.
    Transport,
    /// Pictures classified without vaccel, with it, and through the agent; takes half an hour.
    Overhead,
}

/// Options of the other end of a ping-pong.
#[derive(Args)]
pub(crate) struct PeerOptions {
    /// Unix socket to connect to.
    socket: PathBuf,
}

/// One figure.
#[derive(Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// What it cannot be better than, measured in the same run.
    pub(crate) floor: Option<f64>,
    /// `value / floor`.
    pub(crate) ratio: Option<f64>,
    /// What is wanted, in words.
    pub(crate) target: Option<String>,
    pub(crate) ok: bool,
}

impl Figure {
    /// A figure that may be at most `limit`.
    pub(crate) fn at_most(name: &str, value: f64, unit: &'static str, limit: f64) -> Self {
        Self {
            name: name.into(),
            value,
            unit,
            floor: None,
            ratio: None,
            target: Some(format!("<= {limit} {unit}")),
            ok: value <= limit,
        }
    }

    /// A figure that may be at most `limit` times its floor.
    pub(crate) fn ratio(
        name: &str,
        value: f64,
        unit: &'static str,
        floor: f64,
        limit: f64,
    ) -> Self {
        let ratio = value / floor;
        Self {
            name: name.into(),
            value,
            unit,
            floor: Some(floor),
            ratio: Some(ratio),
            target: Some(format!("<= {limit} x floor")),
            ok: ratio <= limit,
        }
    }

    /// A figure to know, without a target.
    pub(crate) fn plain(name: &str, value: f64, unit: &'static str) -> Self {
        Self {
            name: name.into(),
            value,
            unit,
            floor: None,
            ratio: None,
            target: None,
            ok: true,
        }
    }

    pub(crate) fn with_floor(mut self, floor: f64) -> Self {
        self.floor = Some(floor);
        self.ratio = Some(self.value / floor);
        self
    }
}

/// Runs the same command with a release build of this program: floors are measured
/// in it, and must be as fast as what they are compared with.
fn in_release() -> Result<()> {
    process::run(cargo().args(["build", "--quiet", "--release", "--package", "xtask"]))?;
    let program = target_dir().join("release/xtask");
    let error = command(&program).args(std::env::args_os().skip(1)).exec();
    Err(error).with_context(|| format!("cannot start {}", program.display()))
}

pub(crate) fn run(options: &Options) -> Result<()> {
    if cfg!(debug_assertions) {
        return in_release();
    }
    let prefix = match &options.prefix {
        Some(prefix) => std::fs::canonicalize(prefix)
            .with_context(|| format!("no installation at {}", prefix.display()))?,
        None => {
            let prefix = target_dir().join("stage/release");
            stage::install(&prefix, "release")?;
            std::fs::canonicalize(prefix)?
        }
    };
    let wanted = |suite| options.suite.is_none_or(|only| only == suite);
    let mut figures = Vec::new();
    sample::open_library(&prefix)?;
    if wanted(Suite::Dispatch) {
        figures.extend(dispatch::run()?);
    }
    if wanted(Suite::Transport) {
        figures.extend(transport::run(&prefix)?);
        figures.extend(resources::run(&prefix)?);
    }
    // It takes long: only when asked for by name.
    if options.suite == Some(Suite::Overhead) {
        figures.extend(overhead::run(
            &prefix,
            options.iterations,
            options.write.as_deref(),
        )?);
    }
    print(&figures);
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_string_pretty(&figures)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let missed = figures.iter().filter(|figure| !figure.ok).count();
    if missed > 0 && !options.no_fail {
        bail!("{missed} of {} targets missed", figures.len());
    }
    Ok(())
}

/// The other end of the raw ping-pong; started by the transport suite.
pub(crate) fn peer(options: &PeerOptions) -> Result<()> {
    pingpong::peer(&options.socket)
}

fn print(figures: &[Figure]) {
    println!(
        "{:<44} {:>12} {:<4} {:>12} {:>7}  target",
        "figure", "value", "", "floor", "ratio"
    );
    for f in figures {
        let number = |value: Option<f64>| value.map_or_else(|| "-".into(), |v| format!("{v:.2}"));
        println!(
            "{:<44} {:>12.2} {:<4} {:>12} {:>7}  {}{}",
            f.name,
            f.value,
            f.unit,
            number(f.floor),
            number(f.ratio),
            f.target.as_deref().unwrap_or("-"),
            if f.ok { "" } else { "  MISSED" },
        );
    }
}
