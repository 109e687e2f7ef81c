//! Many clients of one model in an agent's shared worker, with and without batching.

use super::job::{Job, Outcome};
use crate::bench::figure::Figure;
use crate::bench::sample::{median, quantile};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};
use vaccel::{Model, Resource, ResourceType, Session, Tensor, hint};
use vaccel_tests::Agent;

/// Rounds in which with and without take turns.
const ROUNDS: usize = 3;
/// Options of the model with batching, whose clients' requests fit into one run.
const BATCHED: &str = "max_batch=32,batch_window_us=2000";

/// What clients of one process got.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub(super) struct Load {
    /// Requests a second, of all of them.
    rate: f64,
    /// Milliseconds of a request.
    p50: f64,
    p99: f64,
}

/// Throughput and latency of 8 and 32 clients; the floor is the same without batching.
pub(super) fn run(prefix: &Path, net: &str, model: &Path, shape: &[usize]) -> Result<Vec<Figure>> {
    let agent = Agent::start(prefix, "onnx", &[], &["--isolation", "shared"])?;
    let address = agent
        .addresses()
        .first()
        .context("the agent has no address")?;
    let mut figures = Vec::new();
    for clients in [8, 32] {
        let job = Job {
            model: Some(model.to_owned()),
            shape: shape.to_vec(),
            seconds: 2.0,
            clients,
            ..Job::new("rpc", prefix)
        };
        let (mut plain, mut batched) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            for (options, to) in [("", &mut plain), (BATCHED, &mut batched)] {
                let job = Job {
                    options: options.into(),
                    ..job.clone()
                };
                match job.start(&[("VACCEL_RPC_ADDRESS", address)])? {
                    Outcome::Load(load) => to.push(load),
                    other => anyhow::bail!("not a load: {other:?}"),
                }
            }
        }
        let of = |loads: &[Load], value: fn(&Load) -> f64| {
            median(&mut loads.iter().map(value).collect::<Vec<_>>())
        };
        let name = format!("{net}, {clients} clients of a worker, batching");
        let note = format!("{BATCHED}; the floor is the same clients without it");
        figures.push(
            Figure::plain(&name, of(&batched, |l| l.rate), "/s")
                .with_floor(of(&plain, |l| l.rate))
                .with_note(&note),
        );
        figures.push(
            Figure::plain(&format!("{name}, latency"), of(&batched, |l| l.p50), "ms")
                .with_floor(of(&plain, |l| l.p50))
                .with_p99(of(&batched, |l| l.p99))
                .with_note(format!("{note}: p99 {:.3} ms", of(&plain, |l| l.p99))),
        );
    }
    Ok(figures)
}

/// Clients with a session each, who ask as soon as they are answered.
pub(super) fn load(job: &Job, model: &Path) -> Result<Load> {
    let values = vec![0.5_f32; job.shape.iter().product()];
    let input = Tensor::new(&job.shape, values)?;
    let ready = Barrier::new(job.clients);
    let time = Duration::from_secs_f64(job.seconds);
    let client = || -> Result<(Vec<f64>, Duration)> {
        let opened = (|| {
            let session = Session::with_hint(hint::REMOTE)?;
            let resource = Resource::open(model, ResourceType::Model)?;
            let model = Model::load(&session, &resource, &job.options)?;
            for _ in 0..5 {
                model.run(&[("", &input)])?;
            }
            anyhow::Ok(model)
        })();
        // Also one that failed: the others wait for it.
        ready.wait();
        let model = opened?;
        let mut times = Vec::new();
        let begun = Instant::now();
        while begun.elapsed() < time {
            let begin = Instant::now();
            model.run(&[("", &input)])?;
            times.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        Ok((times, begun.elapsed()))
    };
    let all = thread::scope(|scope| {
        let clients: Vec<_> = (0..job.clients).map(|_| scope.spawn(client)).collect();
        let all = clients.into_iter().map(thread::ScopedJoinHandle::join);
        all.map(|joined| joined.map_err(|_| anyhow::anyhow!("a client panicked"))?)
            .collect::<Result<Vec<_>>>()
    })?;
    let seconds = all.iter().map(|(_, took)| took.as_secs_f64());
    let seconds = seconds.fold(0.0, f64::max);
    let mut times: Vec<f64> = all.into_iter().flat_map(|(times, _)| times).collect();
    ensure!(!times.is_empty(), "nobody was answered");
    times.sort_by(f64::total_cmp);
    Ok(Load {
        rate: times.len() as f64 / seconds,
        p50: quantile(&times, 0.5),
        p99: quantile(&times, 0.99),
    })
}
