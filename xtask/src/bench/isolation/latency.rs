//! The empty operation in a jailed worker of one's own, beside an unjailed one and a shared one.

use crate::bench::figure::Figure;
use crate::bench::sample::{Summary, bind, bounded, median, processors};
use anyhow::Result;
use std::path::Path;
use vaccel_tests::hostile::{Honest, Host};

/// Most that a call may take, of what it takes without isolation.
const LIMIT: f64 = 1.03;
/// Turns of each way, and calls of a turn: many short ones, so that what slows the machine down
/// for a while meets all ways.
const TURNS: usize = 1001;
const CALLS: usize = 100;

pub(super) fn run(prefix: &Path) -> Result<Vec<Figure>> {
    let all = processors()?;
    let other = if all.len() > 1 { 1 } else { 0 };
    let mut figures = Vec::new();
    for (name, share_memory) in [("unix", false), ("unix+shm", true)] {
        // Where the two ends run changes a round trip manifold: each keeps to its place.
        bind(&all[other..=other])?;
        let ways = [
            ["--jail", "on", "--isolation", "connection"],
            ["--jail", "off", "--isolation", "connection"],
            ["--jail", "on", "--isolation", "shared"],
        ];
        let hosts = ways
            .iter()
            .map(|options| Host::start(prefix, "noop,exec", options, ""))
            .collect::<Result<Vec<_>>>();
        bind(&all[..1])?;
        let done = hosts.and_then(|hosts| measure(name, &hosts, share_memory));
        bind(&all)?;
        figures.extend(done?);
    }
    Ok(figures)
}

fn measure(name: &str, hosts: &[Host], share_memory: bool) -> Result<Vec<Figure>> {
    let clients = hosts
        .iter()
        .map(|host| Honest::connect(&host.address(), 0, share_memory))
        .collect::<Result<Vec<_>>>()?;
    let mut turns = vec![Vec::with_capacity(TURNS); clients.len()];
    for turn in 0..TURNS {
        for i in 0..clients.len() {
            // Not always the same order: one warms the caches for the next.
            let way = (i + turn) % clients.len();
            turns[way].push(bounded(CALLS, || Ok(clients[way].noop()?))?);
        }
    }
    let own = Summary::of(&turns[0]);
    let beside = |what: &str, others: &[Vec<f64>]| {
        let floor = Summary::of(others);
        let title = format!("empty op, {name}, jailed worker of one's own beside {what}");
        Figure::ratio(&title, own.p50, "us", floor.p50, LIMIT)
            .with_p99(own.p99)
            .with_note(format!(
                "median of {TURNS} turns of {CALLS} calls; median ratio of turns {:.3}",
                ratio_of_turns(&turns[0], others)
            ))
    };
    Ok(vec![
        beside("an unjailed one", &turns[1]),
        beside("a shared one", &turns[2]),
    ])
}

/// The median of what each turn's median is over the other's in the same turn.
fn ratio_of_turns(own: &[Vec<f64>], others: &[Vec<f64>]) -> f64 {
    let middle = |turn: &Vec<f64>| turn[turn.len() / 2];
    let pairs = own.iter().zip(others);
    median(
        &mut pairs
            .map(|(a, b)| middle(a) / middle(b))
            .collect::<Vec<_>>(),
    )
}
