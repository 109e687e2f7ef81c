//! How long a worker takes to be there: the first time, and after it was killed.

use super::{WORKERS, ms, wait};
use crate::bench::figure::Figure;
use crate::bench::sample::percentile;
use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::time::Instant;
use vaccel_tests::hostile::{Governed, Honest, Host};

/// Most that a start, or a replacement, may take: milliseconds.
const LIMIT: f64 = 100.0;
const STARTS: usize = 41;
const KILLS: usize = 100;

pub(super) fn run(prefix: &Path) -> Result<Vec<Figure>> {
    let mut figures = vec![started(prefix)?];
    for worker in WORKERS {
        figures.push(replaced(prefix, worker)?);
    }
    Ok(figures)
}

/// From a client's coming to its first answer where no worker is kept ready, so that one has to start.
fn started(prefix: &Path) -> Result<Figure> {
    let hosts = [
        Host::start(prefix, "noop,exec", &["--pool", "0", "--jail", "on"], "")?,
        Host::start(prefix, "noop,exec", &["--pool", "0", "--jail", "off"], "")?,
    ];
    let mut times = [const { Vec::new() }; 2];
    for round in 0..=STARTS {
        for (host, times) in hosts.iter().zip(&mut times) {
            wait("no worker is left", || {
                host.workers().is_empty() || round == 0
            })?;
            let begin = Instant::now();
            let client = Honest::connect(&host.address(), 0, true)?;
            client.noop()?;
            // The first worker is there before the agent says that it listens.
            if round > 0 {
                times.push(ms(begin.elapsed()));
            }
        }
    }
    let [jailed, free] = &mut times;
    let name = "first answer of a worker that has to start, jailed";
    Ok(Figure::at_most(name, percentile(jailed, 50), "ms", LIMIT)
        .with_floor(percentile(free, 50))
        .with_p99(percentile(jailed, 99))
        .with_note(format!(
            "medians of {STARTS} starts; the floor is an unjailed worker"
        )))
}

/// From the kill of a worker to the first answer to a client that comes again.
fn replaced(prefix: &Path, worker: &str) -> Result<Figure> {
    let governed = Governed::start(prefix, worker, "crashes = 100000", &[])?;
    let mut times = Vec::with_capacity(KILLS);
    for _ in 0..KILLS {
        let client = governed.connect("a", true)?;
        client.noop()?;
        let process = governed.host.worker_of(client.number())?;
        let pid = Pid::from_raw(process.cast_signed()).context("0 is no process")?;
        let begin = Instant::now();
        kill_process(pid, Signal::KILL)?;
        // As a client does: it sees that the worker has gone, and comes again.
        while client.noop().is_ok() {}
        governed.connect("a", true)?.noop()?;
        times.push(ms(begin.elapsed()));
    }
    let p50 = percentile(&mut times, 50);
    let name = format!("worker killed to served again, p99, worker = \"{worker}\"");
    Ok(
        Figure::at_most(&name, percentile(&mut times, 99), "ms", LIMIT)
            .with_note(format!("median {p50:.1} ms, of {KILLS}")),
    )
}
