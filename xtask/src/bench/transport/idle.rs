//! Connections on which nothing happens: what one costs, and whether 10 000 can be held.

use super::client::Client;
use super::raw::RawConnection;
use super::{Placement, Way};
use crate::bench::figure::Figure;
use crate::bench::sample::bind;
use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vaccel_tests::Agent;

const HELD: usize = 10_000;
/// How many of them are there when memory is measured.
const MEASURED: usize = 1000;
/// KiB of agent and worker memory that a connection may take.
const MEMORY: f64 = 32.0;
/// How long nothing may happen.
const QUIET: Duration = Duration::from_secs(2);
/// Longest wait for processes to become quiet.
const LIMIT: Duration = Duration::from_secs(30);
/// Threads that served a connection wait 10 s for the next one, and are none of its own.
const REST: Duration = Duration::from_secs(11);
/// Longest that it may take to open all connections.
const OPENING: Duration = Duration::from_secs(120);
/// Client processes with shared memory that are measured.
const CLIENTS: usize = 32;

pub(super) fn run(prefix: &Path) -> Result<Vec<Figure>> {
    let placement = Placement::apart()?;
    bind(&placement.all)?;
    more_files()?;
    let most = (HELD + 100).to_string();
    let agent = Agent::start(
        prefix,
        "noop",
        &[],
        &["--isolation", "shared", "--max-connections", &most],
    )?;
    let mut figures = held(&agent)?;
    drop(agent);
    let agent = Agent::start(prefix, "noop", &[], &["--isolation", "shared"])?;
    figures.extend(shared(prefix, &agent)?);
    Ok(figures)
}

/// Each connection is a descriptor here and one there; the agent inherits the limit.
fn more_files() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).context("cannot raise the number of open files")
}

/// As many as are wanted, or as can be had.
fn held(agent: &Agent) -> Result<Vec<Figure>> {
    let mut open = Opening {
        connections: Vec::new(),
        socket: agent.socket(),
        begun: Instant::now(),
        stopped: None,
    };
    // The first connection pays for what all share.
    open.until(1);
    let before = quiet_memory(agent)?;
    let workers = agent.workers()?;
    open.until(MEASURED);
    let memory = (quiet_memory(agent)? - before) / (MEASURED - 1) as f64;
    open.begun = Instant::now();
    open.until(HELD);
    let per_open = open.begun.elapsed().as_secs_f64() * 1e6 / (HELD - MEASURED) as f64;
    let count = open.connections.len();
    settle(agent)?;
    let woken = switches_while_quiet(agent)?;
    let mut alive = 0;
    for connection in &mut open.connections {
        alive += usize::from(connection.noop().is_ok());
    }
    let mut all = Figure::plain("idle connections held, unix", alive as f64, "")
        .wanted(format!(">= {HELD}"), alive >= HELD);
    let (name, wakeups, opened) = (
        "memory of an idle connection, unix",
        "wakeups of idle connections, unix",
        "connection and session opened, unix",
    );
    let of_memory = || {
        Figure::at_most(name, memory, "KiB", MEMORY).with_note(format!(
            "anonymous and shared memory (PSS) of agent and worker, {MEASURED} connections"
        ))
    };
    let Some(why) = open.stopped else {
        return Ok(vec![
            of_memory(),
            woken_figure(wakeups, woken)
                .with_note(format!("all threads of both, {count} connections")),
            all,
            Figure::plain(opened, per_open, "us"),
        ]);
    };
    all = all.with_note(format!("number {} failed: {why}", count + 1));
    // Processes that are not the same ones say nothing.
    let same = agent.workers()? == workers;
    Ok(vec![
        if count >= MEASURED {
            of_memory()
        } else {
            Figure::missing(name, "KiB", &why)
        },
        if same {
            woken_figure(wakeups, woken)
        } else {
            Figure::missing(wakeups, "", "the worker died")
        },
        all,
    ])
}

/// Connections being opened.
struct Opening {
    connections: Vec<RawConnection>,
    socket: PathBuf,
    begun: Instant,
    /// Why there are no more.
    stopped: Option<String>,
}

impl Opening {
    /// Opens until there are so many, each with a session that has been used.
    fn until(&mut self, count: usize) {
        while self.connections.len() < count && self.stopped.is_none() {
            let one = RawConnection::open(&self.socket).and_then(|mut connection| {
                connection.noop()?;
                Ok(connection)
            });
            match one {
                Ok(connection) => self.connections.push(connection),
                Err(error) => self.stopped = Some(format!("{error:#}")),
            }
            if self.begun.elapsed() > OPENING {
                self.stopped = Some(format!("not within {OPENING:?}"));
            }
        }
    }
}

/// Real clients, whose connections have shared memory.
fn shared(prefix: &Path, agent: &Agent) -> Result<Vec<Figure>> {
    let way = Way::new("unix+shm", &agent.address());
    let start = || -> Result<Client> {
        let mut client = Client::start(prefix, &way)?;
        client.calls(100)?;
        Ok(client)
    };
    let mut clients = vec![start()?];
    let before = quiet_memory(agent)?;
    for _ in 0..CLIENTS {
        clients.push(start()?);
    }
    let memory = (quiet_memory(agent)? - before) / CLIENTS as f64;
    let woken = switches_while_quiet(agent)?;
    Ok(vec![
        Figure::at_most(
            "memory of an idle connection, unix+shm",
            memory,
            "KiB",
            MEMORY,
        )
        .with_note(format!(
            "anonymous and shared memory (PSS) of agent and worker, {CLIENTS} client processes"
        )),
        woken_figure("wakeups of idle connections, unix+shm", woken),
    ])
}

fn woken_figure(name: &str, switches: u64) -> Figure {
    Figure::plain(name, switches as f64, "")
        .wanted(format!("0 context switches in {QUIET:?}"), switches == 0)
}

fn processes(agent: &Agent) -> Result<Vec<u32>> {
    let mut all = agent.workers()?;
    all.push(agent.id());
    Ok(all)
}

/// KiB of agent and workers, shared memory divided among those who share it. Pages of files are
/// not counted: the more processes map a library, the less of it would be each one's.
fn memory(agent: &Agent) -> Result<f64> {
    let mut sum = 0.0;
    for pid in processes(agent)? {
        let path = format!("/proc/{pid}/smaps_rollup");
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        for name in ["Pss_Anon:", "Pss_Shmem:"] {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.trim().strip_suffix("kB"));
            let number: f64 = number
                .and_then(|number| number.trim().parse().ok())
                .with_context(|| format!("no {name} in {path}"))?;
            sum += number;
        }
    }
    Ok(sum)
}

/// The memory once nothing runs any more.
fn quiet_memory(agent: &Agent) -> Result<f64> {
    settle(agent)?;
    memory(agent)
}

/// Waits until nothing runs any more. An agent that never rests shows in the figure of wakeups.
fn settle(agent: &Agent) -> Result<()> {
    std::thread::sleep(REST);
    let begun = Instant::now();
    let mut last = switches(agent)?;
    loop {
        std::thread::park_timeout(Duration::from_millis(500));
        let now = switches(agent)?;
        if now == last || begun.elapsed() > LIMIT {
            return Ok(());
        }
        last = now;
    }
}

/// How often any thread of agent and workers was given a processor.
fn switches(agent: &Agent) -> Result<u64> {
    let mut sum = 0;
    for pid in processes(agent)? {
        for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            // A thread may end meanwhile.
            let Ok(status) = std::fs::read_to_string(thread?.path().join("status")) else {
                continue;
            };
            sum += status
                .lines()
                .filter_map(|line| line.split_once("ctxt_switches:"))
                .filter_map(|(_, number)| number.trim().parse::<u64>().ok())
                .sum::<u64>();
        }
    }
    Ok(sum)
}

fn switches_while_quiet(agent: &Agent) -> Result<u64> {
    let before = switches(agent)?;
    let begun = Instant::now();
    while begun.elapsed() < QUIET {
        std::thread::park_timeout(QUIET.saturating_sub(begun.elapsed()));
    }
    // A thread that ended took its count with it.
    Ok(switches(agent)?.abs_diff(before))
}
