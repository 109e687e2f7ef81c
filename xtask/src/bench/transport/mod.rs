//! What a call costs on its way through the agent: every row of the table of targets.

mod bulk;
pub(crate) mod client;
mod clients;
mod costs;
mod idle;
mod latency;
mod mixed;
mod raw;
mod remote;
pub(crate) mod resources;
mod syscalls;
mod tls;
mod watchdog;

use super::figure::Figure;
use super::sample::{bind, bind_thread, processors};
use anyhow::{Context, Result};
use clap::ValueEnum;
use remote::Way;
use std::path::Path;
use std::time::Duration;
use vaccel_tests::Agent;
use watchdog::Watchdog;

/// Rounds of every figure; what is reported is the median.
const ROUNDS: usize = 5;
/// Calls of a round.
const CALLS: usize = 20_000;
/// Longest that a group may take; one that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(300);

/// A part of the suite.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Group {
    /// The empty operation over every transport and placement.
    Latency,
    /// 1 MB and 64 MB in.
    Bulk,
    /// 1, 4, 16 and 64 client processes.
    Clients,
    /// What a connection costs on which nothing happens; 10 000 of them.
    Idle,
    /// An empty operation beside a large reply on the same connection.
    Mixed,
    /// Models that the agent has.
    Resources,
    /// Sessions and resources.
    Costs,
    /// System calls of a call, on either side.
    Syscalls,
    /// TLS beside TCP.
    Tls,
}

/// Where things run.
pub(super) struct Placement {
    /// The processors of this process.
    own: Vec<usize>,
    /// Those of the agent, its workers, and the other ends of floors.
    other: Vec<usize>,
    all: Vec<usize>,
}

impl Placement {
    fn one() -> Result<Self> {
        let all = processors()?;
        Ok(Self {
            own: all[..1].to_vec(),
            other: all[..1].to_vec(),
            all,
        })
    }

    /// `None` where there is one processor only.
    fn two() -> Result<Option<Self>> {
        let all = processors()?;
        Ok((all.len() > 1).then(|| Self {
            own: all[..1].to_vec(),
            other: all[1..2].to_vec(),
            all,
        }))
    }

    /// Two processors, or all on one where there is no other.
    fn apart() -> Result<Self> {
        match Self::two()? {
            Some(placement) => Ok(placement),
            None => Self::one(),
        }
    }

    /// Starts something on the other side; where the two ends run changes a round trip
    /// fivefold, and may not differ from the floor's.
    fn start<T>(&self, start: impl FnOnce() -> Result<T>) -> Result<T> {
        bind(&self.other)?;
        let started = start();
        bind(&self.own)?;
        started
    }

    /// As [`start`](Self::start), but with all processors, until [`settle`](Self::settle): a side that
    /// has one processor only when a connection is made does not look for the other's answers.
    fn start_free<T>(&self, start: impl FnOnce() -> Result<T>) -> Result<T> {
        bind(&self.all)?;
        start()
    }

    /// Binds this thread, and all threads of an agent and its workers, once they are connected.
    fn settle(&self, agent: &Agent) -> Result<()> {
        let mut processes = agent.workers()?;
        processes.push(agent.id());
        for process in processes {
            for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
                let name = thread?.file_name();
                let thread: i32 = name.to_string_lossy().parse()?;
                // One that has ended meanwhile needs no processor.
                let _ = bind_thread(thread, &self.other);
            }
        }
        bind(&self.own)
    }
}

impl Drop for Placement {
    fn drop(&mut self) {
        let _ = bind(&self.all);
    }
}

/// Runs all groups, or those that are named.
pub(crate) fn run(prefix: &Path, only: &[Group]) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for group in Group::value_variants() {
        if !only.is_empty() && !only.contains(group) {
            continue;
        }
        eprintln!("transport: {group:?}");
        let name = format!("{group:?}");
        let _watchdog = Watchdog::start(&name, LIMIT)?;
        let done = match group {
            Group::Latency => latency::run(prefix),
            Group::Bulk => bulk::run(prefix),
            Group::Clients => clients::run(prefix),
            Group::Idle => idle::run(prefix),
            Group::Mixed => mixed::run(prefix),
            Group::Resources => resources::run(prefix),
            Group::Costs => costs::run(prefix),
            Group::Syscalls => syscalls::run(prefix),
            Group::Tls => tls::run(prefix),
        };
        match done.with_context(|| format!("group {name}")) {
            Ok(done) => figures.extend(done),
            // The other groups are worth having all the same; this one has missed.
            Err(error) => figures.push(Figure::missing(&name, "-", format!("{error:#}"))),
        }
    }
    Ok(figures)
}
