//! How long calls that hang outlive the deadline of their tenant.

use super::{is_alive, ms, wait};
use crate::bench::figure::Figure;
use anyhow::{Result, ensure};
use std::path::Path;
use std::time::{Duration, Instant};
use vaccel_tests::hostile::Governed;

/// Most that a call may outlive its deadline: milliseconds.
const LIMIT: f64 = 50.0;
const CALLS: usize = 40;
const DEADLINE: Duration = Duration::from_millis(200);

pub(super) fn run(prefix: &Path) -> Result<Vec<Figure>> {
    let quota = format!(
        "deadline = \"{}ms\", grace = \"100ms\", crashes = 100000",
        DEADLINE.as_millis()
    );
    let mut figures = Vec::new();
    for worker in ["connection", "tenant"] {
        let governed = Governed::start(prefix, worker, &quota, &[])?;
        let mut over = Vec::with_capacity(CALLS / 2);
        for round in 0..CALLS / 2 {
            let client = governed.connect("a", round % 2 == 0)?;
            let process = governed.host.worker_of(client.number())?;
            let function = ["loop_forever", "sleep_for"][round / 2 % 2];
            let begin = Instant::now();
            // The client itself would wait longer.
            let result = client.exec(function, &60_000_u32.to_le_bytes(), 8, None);
            over.push(ms(begin.elapsed().saturating_sub(DEADLINE)));
            ensure!(result.is_err(), "a call of a minute ended in {DEADLINE:?}");
            drop(client);
            // A worker that hangs is replaced; nothing of it may slow down the next round.
            wait("the worker that hangs ends", || !is_alive(process))?;
        }
        let worst = over.iter().copied().fold(0.0, f64::max);
        let name =
            format!("hung call outlives its tenant's deadline, worst, worker = \"{worker}\"");
        figures.push(
            Figure::at_most(&name, worst, "ms", LIMIT)
                .with_note(format!("of {}, with and without shared memory", over.len())),
        );
    }
    Ok(figures)
}
