//! What vaccel costs beside the model: pictures classified without it, with it in process, and
//! through the agent.
//!
//! The ways take turns, picture by picture, so that whatever slows the machine down slows all of
//! them; nothing is filtered out. "Native" is the same decoder, the same preprocessing and the same
//! engine, called by this program directly.

mod native;
mod page;
mod pictures;

use super::figure::Figure;
use super::sample::quantile;
use crate::nets;
use crate::process::{OWN, command, output, target_dir};
use anyhow::{Context, Result};
use clap::Args;
use native::Native;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Instant;
use vaccel::{Config, Resource, ResourceType, Session};
use vaccel_tests::Agent;

/// Most that a remote call of ResNet-50 may cost over one in process.
const RESNET_LIMIT: f64 = 1.01;

/// How often each way is measured, for each picture and model.
pub(crate) const ITERATIONS: usize = 1000;

/// What one process measures.
#[derive(Args, Clone)]
pub(crate) struct Job {
    /// Folder of the model.
    #[arg(long)]
    model: PathBuf,
    /// The picture.
    #[arg(long)]
    picture: PathBuf,
    /// Address of the agent.
    #[arg(long)]
    address: String,
    #[arg(long)]
    iterations: usize,
    /// The installation.
    #[arg(long)]
    prefix: PathBuf,
}

/// The times of one way, milliseconds.
#[derive(Serialize, Deserialize, Clone, Copy)]
struct Times {
    mean: f64,
    p50: f64,
    p99: f64,
}

/// What one process measured.
#[derive(Serialize, Deserialize, Clone, Copy)]
struct Measured {
    native: Times,
    local: Times,
    remote: Times,
}

/// One line of the table.
struct Row {
    net: &'static str,
    picture: pictures::Sample,
    transport: &'static str,
    times: Measured,
}

pub(crate) fn run(prefix: &Path, iterations: usize, page: Option<&Path>) -> Result<Vec<Figure>> {
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
        ("resnet50", nets::folder(&folder, "resnet50")?, &[0, 3]),
    ];
    let agent = Agent::start(prefix, "onnx", &["tcp://127.0.0.1:0"], &[])?;
    let mut rows = Vec::new();
    for (net, model, sizes) in &plan {
        for &size in *sizes {
            for address in agent.addresses() {
                let transport = if address.starts_with("unix") {
                    "unix"
                } else {
                    "tcp"
                };
                let picture = pictures[size].clone();
                eprintln!("{net}, {} KB, {transport}", picture.kilobytes);
                let job = Job {
                    model: model.clone(),
                    picture: picture.path.clone(),
                    address: address.clone(),
                    iterations,
                    prefix: prefix.to_path_buf(),
                };
                let times = in_own_process(&job)?;
                rows.push(Row {
                    net,
                    picture,
                    transport,
                    times,
                });
            }
        }
    }
    if let Some(page) = page {
        page::write(page, &rows, iterations)?;
    }
    Ok(rows.iter().flat_map(figures).collect())
}

fn figures(row: &Row) -> Vec<Figure> {
    let name = |way: &str| format!("{}, {} KB, {way}", row.net, row.picture.kilobytes);
    let times = &row.times;
    let local =
        Figure::plain(&name("in process"), times.local.p50, "ms").with_floor(times.native.p50);
    let way = format!("over {}", row.transport);
    let remote = if row.net == "resnet50" {
        Figure::ratio(
            &name(&way),
            times.remote.p50,
            "ms",
            times.native.p50,
            RESNET_LIMIT,
        )
    } else {
        Figure::plain(&name(&way), times.remote.p50, "ms").with_floor(times.native.p50)
    };
    if row.transport == "unix" {
        vec![local, remote]
    } else {
        vec![remote]
    }
}

/// The library knows one agent in a process.
fn in_own_process(job: &Job) -> Result<Measured> {
    let text = output(
        command(OWN)
            .arg("bench-overhead")
            .arg("--model")
            .arg(&job.model)
            .arg("--picture")
            .arg(&job.picture)
            .args(["--address", &job.address])
            .args(["--iterations", &job.iterations.to_string()])
            .arg("--prefix")
            .arg(&job.prefix),
    )?;
    let line = text.lines().last().context("no figures came back")?;
    Ok(serde_json::from_str(line)?)
}

/// Measures, and prints the times as JSON.
pub(crate) fn child(job: &Job) -> Result<()> {
    super::sample::open_library(&job.prefix)?;
    // SAFETY: this program has no other thread yet.
    unsafe { std::env::set_var("VACCEL_RPC_ADDRESS", &job.address) };
    vaccel::bootstrap_with(&Config {
        plugins: vec!["onnx".into(), "rpc".into()],
        ..Config::default()
    })?;
    let jpeg = std::fs::read(&job.picture)?;
    let native = Native::load(&job.model)?;
    let ways = [Session::new()?, Session::with_hint(vaccel::hint::REMOTE)?];
    anyhow::ensure!(
        !ways[0].is_remote() && ways[1].is_remote(),
        "the sessions are mixed up"
    );
    let mut resources = Vec::new();
    for session in &ways {
        let resource = Resource::open(&job.model, ResourceType::Model)?;
        resource.register(session)?;
        resources.push(resource);
    }
    let answer = native.classify(&jpeg)?;
    for session in &ways {
        let text = session.image_classify(&jpeg)?.text;
        anyhow::ensure!(text == answer, "other answers: {text:?} and {answer:?}");
    }
    let mut times = [const { Vec::new() }; 3];
    // The first tenth warms up.
    for round in 0..job.iterations + job.iterations / 10 {
        let mut taken = [0.0; 3];
        for turn in 0..3 {
            // Not always the same order: one warms the caches for the next.
            let way = (turn + round) % 3;
            let begin = Instant::now();
            match way {
                0 => drop(std::hint::black_box(native.classify(&jpeg)?)),
                way => drop(std::hint::black_box(ways[way - 1].image_classify(&jpeg)?)),
            }
            taken[way] = begin.elapsed().as_secs_f64() * 1e3;
        }
        if round >= job.iterations / 10 {
            times
                .iter_mut()
                .zip(taken)
                .for_each(|(list, time)| list.push(time));
        }
    }
    let [native, local, remote] = times.map(summary);
    println!(
        "{}",
        serde_json::to_string(&Measured {
            native,
            local,
            remote
        })?
    );
    Ok(())
}

fn summary(mut times: Vec<f64>) -> Times {
    times.sort_by(f64::total_cmp);
    Times {
        mean: times.iter().sum::<f64>() / times.len() as f64,
        p50: quantile(&times, 0.5),
        p99: quantile(&times, 0.99),
    }
}
