//! Sessions and resources.

use super::{Placement, ROUNDS, Way};
use crate::bench::figure::Figure;
use crate::bench::sample::{Summary, bounded};
use anyhow::Result;
use std::path::Path;
use vaccel::{Resource, ResourceType};
use vaccel_tests::Agent;

/// Calls of a round.
const CYCLES: usize = 1000;

pub(super) fn run(prefix: &Path) -> Result<Vec<Figure>> {
    let placement = Placement::apart()?;
    let agent = placement.start(|| Agent::start(prefix, "noop", &["tcp://127.0.0.1:0"], &[]))?;
    let [unix, tcp] = agent.addresses() else {
        anyhow::bail!("the agent has other addresses than it was told");
    };
    let mut figures = Vec::new();
    for way in [
        Way::new("unix+shm", unix),
        Way::unix(unix),
        Way::new("tcp", tcp),
    ] {
        figures.extend(over(&way)?);
    }
    Ok(figures)
}

fn over(way: &Way) -> Result<Vec<Figure>> {
    // Keeps the connection open, and is what resources are registered with.
    let session = way.open()?;
    let rounds = |call: &mut dyn FnMut() -> Result<()>| -> Result<Summary> {
        let rounds = (0..ROUNDS).map(|_| bounded(CYCLES, &mut *call));
        Ok(Summary::of(&rounds.collect::<Result<Vec<_>>>()?))
    };
    let empty = rounds(&mut || Ok(session.noop()?))?;
    let sessions = rounds(&mut || {
        drop(way.session()?);
        Ok(())
    })?;
    let mut figures = vec![
        Figure::plain(
            &format!("session opened and closed, {}", way.name),
            sessions.p50,
            "us",
        )
        // One call each way at least.
        .with_floor(2.0 * empty.p50)
        .with_p99(sessions.p99),
    ];
    for (name, bytes) in [("1 KB", 1 << 10), ("1 MB", 1 << 20)] {
        let resource = Resource::from_bytes(vec![1; bytes], ResourceType::Data, "bench")?;
        let cycle = rounds(&mut || {
            resource.register(&session)?;
            resource.unregister(&session)?;
            Ok(())
        })?;
        figures.push(
            Figure::plain(
                &format!("{name} resource registered and released, {}", way.name),
                cycle.p50,
                "us",
            )
            .with_p99(cycle.p99),
        );
    }
    Ok(figures)
}
