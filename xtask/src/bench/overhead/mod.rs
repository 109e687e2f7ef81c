//! What vaccel costs beside the model: pictures classified without it, with it in process, and
//! through the agent.
//!
//! Each way is a process of its own, several times. They take turns, picture by picture, so that
//! whatever slows the machine down slows all of them; nothing is filtered out. "Native" is the same decoder, the same preprocessing and the same
//! engine, called by this program directly.

mod native;
mod page;
mod pictures;
mod runner;
mod vsock;

pub(crate) use page::machine;
pub(crate) use runner::{Job, child};

use super::figure::{Figure, Line};
use super::sample::quantile;
use crate::nets;
use crate::process::target_dir;
use anyhow::Result;
use runner::Runner;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use vaccel_tests::Agent;

/// Most that a remote call of ResNet-50 may cost over one in process.
const RESNET_LIMIT: f64 = 1.01;

/// Lots of processes, each of which does a part of the iterations.
const LOTS: usize = 8;

/// How often each way is measured, for each picture and model.
pub(crate) const ITERATIONS: usize = 1000;

/// The times of one way, milliseconds.
#[derive(Serialize, Deserialize, Clone, Debug)]
struct Times {
    /// `native`, `in process`, or the transport to the agent.
    way: String,
    mean: f64,
    p50: f64,
    p99: f64,
}

/// One model and picture, in every way.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub(crate) struct Row {
    net: String,
    kilobytes: usize,
    /// Native first, then in process.
    ways: Vec<Times>,
}

/// What to write, and what of.
pub(crate) struct Page<'a> {
    pub(crate) folder: &'a Path,
    /// Figures of the transport suite.
    pub(crate) transport: &'a [Line],
}

impl Page<'_> {
    /// Writes the page and its drawings.
    pub(crate) fn write(&self, rows: &[Row], iterations: usize) -> Result<()> {
        let vsock = vsock::probe().err().map(|error| format!("{error:#}"));
        page::write(self, rows, iterations, vsock.as_deref())
    }
}

/// Measures; what came of it is in target/bench/overhead.json, too.
pub(crate) fn run(prefix: &Path, iterations: usize) -> Result<Vec<Row>> {
    anyhow::ensure!(iterations > 0, "no iterations");
    let folder = target_dir().join("bench");
    let pictures = pictures::make(&folder.join("pictures"))?;
    // All sizes with the small net, where they show most; fewer with those that take long.
    let plan: [(&'static str, PathBuf, &[usize]); 3] = [
        (
            "classify",
            prefix.join("share/vaccel/models/classify"),
            &[0, 1, 2, 3],
        ),
        (
            "mobilenetv2",
            nets::folder(&folder, "mobilenetv2")?,
            &[0, 3],
        ),
        ("resnet50", nets::folder(&folder, "resnet50")?, &[0]),
    ];
    let vsock = vsock::probe();
    let mut addresses = vec!["tcp://127.0.0.1:0".to_string()];
    match &vsock {
        Ok(port) => addresses.push(format!("vsock://any:{port}")),
        Err(error) => eprintln!("no rows for vsock: {error:#}"),
    }
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let agent = Agent::start(prefix, "onnx", &addresses, &[])?;
    let mut rows = Vec::new();
    for (net, model, sizes) in &plan {
        for &size in *sizes {
            let picture = &pictures[size];
            eprintln!("{net}, {} KB", picture.kilobytes);
            let start = || -> Result<Vec<Runner>> {
                let runner = |name: &str, address: Option<&str>| {
                    Runner::start(prefix, model, &picture.path, name, address)
                };
                let mut ways = vec![runner("native", None)?, runner("in process", None)?];
                for address in agent.addresses() {
                    let name = address.split(':').next().unwrap_or("?");
                    // This machine is its own host.
                    let address = match &vsock {
                        Ok(port) if name == "vsock" => format!("vsock://1:{port}"),
                        _ => address.clone(),
                    };
                    ways.push(runner(name, Some(&address))?);
                }
                Ok(ways)
            };
            rows.push(Row {
                net: (*net).to_string(),
                kilobytes: picture.kilobytes,
                ways: measure(start, iterations)?,
            });
        }
    }
    let all = serde_json::to_string_pretty(&rows)?;
    std::fs::write(folder.join("overhead.json"), all)?;
    Ok(rows)
}

/// Each way beside native.
pub(crate) fn figures(rows: &[Row]) -> Vec<Figure> {
    rows.iter().flat_map(row_figures).collect()
}

/// All ways, in several lots of processes one after the other: where a process happens to have its
/// memory makes it a few percent faster or slower for as long as it runs.
fn measure(start: impl Fn() -> Result<Vec<Runner>>, iterations: usize) -> Result<Vec<Times>> {
    let mut all: Vec<(String, Vec<f64>)> = Vec::new();
    for lot in 0..LOTS {
        let mut ways = start()?;
        let share = iterations * (lot + 1) / LOTS - iterations * lot / LOTS;
        let times = take_turns(&mut ways, share)?;
        all.resize_with(ways.len(), Default::default);
        for ((name, all), (way, times)) in all.iter_mut().zip(ways.iter().zip(times)) {
            way.name().clone_into(name);
            all.extend(times);
        }
    }
    let summaries = all.into_iter().map(|(way, times)| summary(&way, times));
    Ok(summaries.collect())
}

/// Milliseconds of each way; they take turns, and the first tenth warms up.
fn take_turns(ways: &mut [Runner], iterations: usize) -> Result<Vec<Vec<f64>>> {
    let answers = ways
        .iter_mut()
        .map(Runner::answer)
        .collect::<Result<Vec<_>>>()?;
    anyhow::ensure!(
        answers.windows(2).all(|pair| pair[0] == pair[1]),
        "other answers in other ways: {answers:?}"
    );
    let mut times = vec![Vec::with_capacity(iterations); ways.len()];
    let warm = (iterations / 10).max(1);
    for round in 0..iterations + warm {
        for turn in 0..ways.len() {
            // Not always the same order: one warms the caches for the next.
            let way = (turn + round) % ways.len();
            let taken = ways[way].time()?;
            if round >= warm {
                times[way].push(taken);
            }
        }
    }
    Ok(times)
}

fn summary(way: &str, mut times: Vec<f64>) -> Times {
    times.sort_by(f64::total_cmp);
    Times {
        way: way.into(),
        mean: times.iter().sum::<f64>() / times.len() as f64,
        p50: quantile(&times, 0.5),
        p99: quantile(&times, 0.99),
    }
}

fn row_figures(row: &Row) -> Vec<Figure> {
    let [native, others @ ..] = &row.ways[..] else {
        return Vec::new();
    };
    others
        .iter()
        .map(|times| {
            let name = format!("{}, {} KB, {}", row.net, row.kilobytes, times.way);
            let figure = if row.net == "resnet50" && times.way != "in process" {
                Figure::ratio(&name, times.p50, "ms", native.p50, RESNET_LIMIT)
            } else {
                Figure::plain(&name, times.p50, "ms").with_floor(native.p50)
            };
            figure.with_p99(times.p99)
        })
        .collect()
}
