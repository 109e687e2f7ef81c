//! `cargo xtask bench`: figures that anyone can measure again, each beside its floor.

pub(crate) mod backends;
mod dispatch;
pub(crate) mod figure;
pub(crate) mod floor;
mod isolation;
pub(crate) mod overhead;
mod peers;
pub(crate) mod sample;
pub(crate) mod transport;

use crate::process::{self, cargo, command, target_dir};
use crate::stage;
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use figure::Line;
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
    /// Write the figures as a JSON array of {name, value, unit, floor, ratio, target, ok}; those of
    /// other libraries are {name, peer, value, unit}.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only these groups of the transport suite.
    #[arg(long, value_enum, value_name = "GROUP", value_delimiter = ',')]
    only: Vec<transport::Group>,
    /// Build the peers (ttrpc, tonic, iceoryx2; benches/peers) and measure them in the same run.
    #[arg(long)]
    peers: bool,
    /// Use this staged installation instead of building one.
    #[arg(long, value_name = "DIR")]
    prefix: Option<PathBuf>,
    /// Only these of the backends suite: `onnxruntime`, `openvino`, `onnx`, `tflite`, `tf`, `torch`,
    /// `blas`, `vision`, `batching` (clients of an agent).
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    backend: Vec<String>,
    /// Iterations of each way in the overhead suite.
    #[arg(long, default_value_t = overhead::ITERATIONS)]
    iterations: usize,
    /// Write performance.md and its drawings into this folder, from the overhead suite and the
    /// figures of the transport, which are measured too unless --transport names them; or the table
    /// of speeds in backends.md, from the backends suite.
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
    /// Figures of the transport for --write: a file of `bench transport --peers --json`.
    #[arg(long, value_name = "FILE", requires = "write")]
    transport: Option<PathBuf>,
    /// For --write: times of an earlier run of the overhead suite (target/bench/overhead.json),
    /// instead of measuring them anew.
    #[arg(long, value_name = "FILE", requires = "write")]
    overhead: Option<PathBuf>,
    /// Report missed targets without failing.
    #[arg(long)]
    no_fail: bool,
    /// Measure with this very build of the tool, slow as it may be: to try it out.
    #[arg(long, hide = true)]
    as_built: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// Calls inside one process.
    Dispatch,
    /// Calls through the agent.
    Transport,
    /// Pictures classified without vaccel, with it, and through the agent; takes a quarter of an hour.
    Overhead,
    /// Models and products of matrices through vaccel, beside their runtimes called directly; takes
    /// some minutes.
    Backends,
    /// Tenants beside each other: what jail and workers of one's own cost, how soon what crashes
    /// is replaced, what hangs is ended, and what a flood costs others; takes some minutes.
    Isolation,
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
    if cfg!(debug_assertions) && !options.as_built {
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
    let mut others = Vec::new();
    sample::open_library(&prefix)?;
    // Whoever asks for groups of one suite does not mean the other.
    if wanted(Suite::Dispatch) && options.only.is_empty() && !options.peers {
        figures.extend(dispatch::run()?);
    }
    if wanted(Suite::Transport) {
        figures.extend(transport::run(&prefix, &options.only)?);
        if options.peers {
            others.extend(peers::run()?);
        }
    }
    // These take long: only when asked for by name.
    if options.suite == Some(Suite::Isolation) {
        figures.extend(isolation::run(&prefix));
    }
    if options.suite == Some(Suite::Backends) {
        figures.extend(backends::run(&prefix, &options.backend)?);
        if let Some(folder) = &options.write {
            backends::write(folder, &figures)?;
        }
    }
    if options.suite == Some(Suite::Overhead) {
        let transport = match (&options.write, &options.transport) {
            (None, _) => Vec::new(),
            (Some(_), Some(file)) => read(file)?,
            (Some(_), None) => {
                let lines = transport::run(&prefix, &[])?.into_iter().map(Line::Figure);
                lines
                    .chain(peers::run()?.into_iter().map(Line::Peer))
                    .collect()
            }
        };
        let page = options.write.as_deref().map(|folder| overhead::Page {
            folder,
            transport: &transport,
        });
        let rows = match &options.overhead {
            Some(file) => read(file)?,
            None => overhead::run(&prefix, options.iterations)?,
        };
        if let Some(page) = &page {
            page.write(&rows, options.iterations)?;
        }
        figures.extend(overhead::figures(&rows));
    }
    let missed = figures.iter().filter(|figure| !figure.ok).count();
    let all = figures.len();
    let mut lines: Vec<Line> = figures.into_iter().map(Line::Figure).collect();
    lines.extend(others.into_iter().map(Line::Peer));
    figure::print(&lines);
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_string_pretty(&lines)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if missed > 0 && !options.no_fail {
        bail!("{missed} of {all} targets missed");
    }
    Ok(())
}

/// Figures of an earlier run.
fn read<T: serde::de::DeserializeOwned>(file: &std::path::Path) -> Result<Vec<T>> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} is not of this benchmark", file.display()))
}
