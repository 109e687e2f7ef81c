//! What a call costs on its way through the agent.

use super::Figure;
use super::pingpong::PingPong;
use super::sample::{bind, each_microseconds, median, processors, quantile};
use anyhow::Result;
use std::path::Path;
use vaccel::{Config, Session};
use vaccel_tests::Agent;

const ROUNDS: usize = 5;
const CALLS: usize = 20_000;

pub(crate) fn run(prefix: &Path) -> Result<Vec<Figure>> {
    let all = processors()?;
    let mut figures = Vec::new();
    figures.extend(placed(prefix, "one CPU", &all[..1], &all[..1])?);
    if all.len() > 1 {
        figures.extend(placed(prefix, "two CPUs", &all[..1], &all[1..2])?);
    }
    bind(&all)?;
    Ok(figures)
}

/// Measures with this process and the others bound to processors: where the two
/// ends run changes a round trip fivefold, and may not differ from the floor's.
fn placed(prefix: &Path, name: &str, own: &[usize], other: &[usize]) -> Result<Vec<Figure>> {
    bind(other)?;
    let agent = Agent::start(prefix, "noop", &["tcp://127.0.0.1:0"], &[])?;
    let mut floor = PingPong::start()?;
    bind(own)?;
    let mut figures = Vec::new();
    for address in agent.addresses() {
        // SAFETY: this program has no other thread that uses the environment now.
        unsafe { std::env::set_var("VACCEL_RPC_ADDRESS", address) };
        vaccel::bootstrap_with(&Config {
            plugins: vec!["rpc".into()],
            ..Config::default()
        })?;
        let session = Session::with_hint(vaccel::hint::REMOTE)?;
        let (mut floors, mut p50, mut p99) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            floors.push(quantile(&floor.measure(CALLS)?, 0.5));
            let times = each_microseconds(CALLS, || Ok(session.noop()?))?;
            p50.push(quantile(&times, 0.5));
            p99.push(quantile(&times, 0.99));
        }
        let (floor, p50, p99) = (median(&mut floors), median(&mut p50), median(&mut p99));
        let kind = address.split(':').next().unwrap_or("?");
        if kind == "unix" {
            figures.push(Figure::ratio(
                &format!("noop over unix, {name}"),
                p50,
                "us",
                floor,
                1.5,
            ));
        } else {
            figures.push(
                Figure::plain(&format!("noop over {kind}, {name}"), p50, "us").with_floor(floor),
            );
        }
        figures.push(Figure::plain(
            &format!("noop over {kind}, {name}, p99"),
            p99,
            "us",
        ));
    }
    Ok(figures)
}
