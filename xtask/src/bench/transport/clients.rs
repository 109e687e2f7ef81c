//! Many clients at once: each a process with a connection of its own.

use super::client::{Client, Floor, now};
use super::{Placement, ROUNDS, Way};
use crate::bench::figure::Figure;
use crate::bench::sample::{bind, median};
use anyhow::Result;
use std::path::Path;
use vaccel_tests::Agent;

const COUNTS: [usize; 4] = [1, 4, 16, 64];
/// Nanoseconds that all clients run before a round counts, and that it lasts.
const WINDOW: (u64, u64) = (100_000_000, 500_000_000);
/// Calls a second that 64 clients shall be able to make.
const WANTED: f64 = 100_000.0;

pub(super) fn run(prefix: &Path) -> Result<Vec<Figure>> {
    let placement = Placement::apart()?;
    // What is promised is promised for two processors, and for those of small machines.
    bind(&placement.all[..placement.all.len().min(2)])?;
    let mut figures = Vec::new();
    for isolation in ["connection", "shared"] {
        let agent = Agent::start(
            prefix,
            "noop",
            &["tcp://127.0.0.1:0"],
            &["--isolation", isolation],
        )?;
        let [unix, tcp] = agent.addresses() else {
            anyhow::bail!("the agent has other addresses than it was told");
        };
        let mut ways = vec![Way::new("unix+shm", unix)];
        if isolation == "connection" {
            ways.push(Way::new("tcp", tcp));
        }
        for way in ways {
            let target = isolation == "connection" && way.name == "unix+shm";
            let name = match isolation {
                "connection" => way.name.to_string(),
                _ => format!("{}, one worker for all", way.name),
            };
            figures.extend(scaling(prefix, &way, &name, target)?);
        }
    }
    Ok(figures)
}

fn scaling(prefix: &Path, way: &Way, name: &str, target: bool) -> Result<Vec<Figure>> {
    let most = COUNTS.into_iter().max().unwrap_or(1);
    let rates = rates(|| Client::start(prefix, way))?;
    let floor = match way.name {
        "tcp" => Floor::Tcp,
        _ => Floor::Futex,
    };
    let floors = floor_rates(prefix, floor)?;
    let four = rates[1];
    Ok(COUNTS
        .into_iter()
        .zip(rates)
        .zip(floors)
        .map(|((count, rate), floor)| {
            let title = format!("empty ops of {count} clients, {name}");
            let figure = Figure::plain(&title, rate, "/s").with_floor(floor);
            if count != most {
                return figure;
            }
            let steady = format!(">= with 4 clients ({four:.0} /s)");
            let figure = figure.wanted(steady, rate >= four);
            if target {
                figure.wanted(format!(">= {WANTED} /s"), rate >= WANTED)
            } else {
                figure
            }
        })
        .collect())
}

/// Bare round trips of as many pairs of processes.
fn floor_rates(prefix: &Path, floor: Floor) -> Result<[f64; COUNTS.len()]> {
    rates(|| Client::bare(prefix, floor))
}

/// Calls a second of 1, 4, 16 and 64 processes.
fn rates(start: impl Fn() -> Result<Client>) -> Result<[f64; COUNTS.len()]> {
    let most = COUNTS.into_iter().max().unwrap_or(1);
    let mut clients = (0..most).map(|_| start()).collect::<Result<Vec<_>>>()?;
    // All are connected when all have answered; those without work wait for their input.
    for client in &mut clients {
        client.calls(1)?;
    }
    let mut rates = [const { Vec::new() }; COUNTS.len()];
    for _ in 0..ROUNDS {
        for (count, rates) in COUNTS.into_iter().zip(&mut rates) {
            rates.push(rate(&mut clients[..count])?);
        }
    }
    Ok(rates.map(|mut rates| median(&mut rates)))
}

/// Calls a second of all together, within one window of time.
fn rate(clients: &mut [Client]) -> Result<f64> {
    let begin = now() + WINDOW.0;
    let line = format!("window {begin} {}", begin + WINDOW.1);
    for client in &mut *clients {
        client.tell(&line)?;
    }
    let mut calls = 0;
    for client in clients {
        calls += client.answer()?;
    }
    Ok(calls as f64 / (WINDOW.1 as f64 / 1e9))
}
