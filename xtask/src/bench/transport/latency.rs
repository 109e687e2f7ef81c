//! The empty operation, beside bare round trips with the same placement.

use super::{CALLS, Placement, ROUNDS, Way};
use crate::bench::figure::Figure;
use crate::bench::floor::{Kind, Memory, PingPong, Wait};
use crate::bench::sample::{Summary, bounded};
use anyhow::{Context, Result};
use std::path::Path;
use vaccel::Session;
use vaccel_tests::Agent;

/// Most that a call over a socket may take, in round trips of a bare one.
const SOCKET: f64 = 1.15;
/// Most that a call through shared memory may take that is waited for with open eyes: microseconds,
/// and round trips of bare memory.
const SPINNING: (f64, f64) = (2.0, 8.0);

pub(super) fn run(prefix: &Path) -> Result<Vec<Figure>> {
    let mut figures = placed(prefix, "one CPU", &Placement::one()?)?;
    match Placement::two()? {
        Some(placement) => figures.extend(placed(prefix, "two CPUs", &placement)?),
        None => figures.push(Figure::missing(
            "empty op, two CPUs",
            "us",
            "this machine has one processor",
        )),
    }
    Ok(figures)
}

fn placed(prefix: &Path, name: &str, placement: &Placement) -> Result<Vec<Figure>> {
    let mut figures = sockets(prefix, name, placement)?;
    let memory = |mode, wait| memory(prefix, placement, mode, wait);
    let title = |mode: &str| format!("empty op, unix+shm, {mode}, {name}");
    if name != "two CPUs" {
        let (call, floor) = memory("low-cpu", Wait::Futex)?;
        figures.push(plain(&title("low-cpu"), call, floor));
        return Ok(figures);
    }
    let (call, floor) = memory("latency", Wait::Spin)?;
    figures.push(
        Figure::at_most(&title("latency"), call.p50, "us", SPINNING.0)
            .with_floor(floor.p50)
            .wanted(
                format!("<= {} x floor", SPINNING.1),
                call.p50 <= SPINNING.1 * floor.p50,
            )
            .with_p99(call.p99),
    );
    // What everybody gets who sets nothing, and what costs the least.
    for mode in ["balanced", "low-cpu"] {
        let (call, floor) = memory(mode, Wait::Futex)?;
        figures.push(plain(&title(mode), call, floor));
    }
    Ok(figures)
}

fn plain(title: &str, call: Summary, floor: Summary) -> Figure {
    Figure::plain(title, call.p50, "us")
        .with_floor(floor.p50)
        .with_p99(call.p99)
}

fn sockets(prefix: &Path, name: &str, placement: &Placement) -> Result<Vec<Figure>> {
    let agent = placement.start(|| Agent::start(prefix, "noop", &["tcp://127.0.0.1:0"], &[]))?;
    let [unix, tcp] = agent.addresses() else {
        anyhow::bail!("the agent has other addresses than it was told");
    };
    let mut figures = Vec::new();
    for (way, kind) in [
        (Way::unix(unix), Kind::Unix),
        (Way::new("tcp", tcp), Kind::Tcp),
    ] {
        let mut floor = placement.start(|| PingPong::start(kind, 64))?;
        let session = way.open()?;
        let (call, floor) = beside(&session, || floor.measure(CALLS))?;
        let title = format!("empty op, {}, {name}", way.name);
        figures.push(Figure::ratio(&title, call.p50, "us", floor.p50, SOCKET).with_p99(call.p99));
    }
    Ok(figures)
}

fn memory(
    prefix: &Path,
    placement: &Placement,
    mode: &str,
    wait: Wait,
) -> Result<(Summary, Summary)> {
    let agent = placement.start_free(|| Agent::start(prefix, "noop", &[], &["--mode", mode]))?;
    let session = Way::shared("unix+shm", &agent.address(), mode).open()?;
    placement.settle(&agent)?;
    beside(&session, || {
        // Not kept: one that spins takes the processor from the worker.
        placement.start(|| Memory::start(wait))?.measure(CALLS)
    })
}

/// The empty operation and its floor, taking turns.
fn beside(
    session: &Session,
    mut floor: impl FnMut() -> Result<Vec<f64>>,
) -> Result<(Summary, Summary)> {
    let (mut floors, mut calls) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        floors.push(floor().context("the floor")?);
        calls.push(bounded(CALLS, || Ok(session.noop()?))?);
    }
    Ok((Summary::of(&calls), Summary::of(&floors)))
}
