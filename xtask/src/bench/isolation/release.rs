//! How soon all that a connection had is free after its end.

use super::{PATIENCE, WORKERS, ms};
use crate::bench::figure::Figure;
use anyhow::{Result, ensure};
use std::path::Path;
use std::time::Instant;
use vaccel_tests::hostile::{Governed, Honest};

/// Most that it may take: milliseconds.
const LIMIT: f64 = 1000.0;
const ROUNDS: usize = 20;
/// Sessions and files of the connection; its tenant may have one more.
const HELD: usize = 39;

pub(super) fn run(prefix: &Path) -> Result<Vec<Figure>> {
    let quota = format!("sessions = {0}, resources = {0}", HELD + 1);
    WORKERS
        .iter()
        .map(|worker| {
            let mut governed = Governed::start(prefix, worker, &quota, &[])?;
            let stays = governed.connect("a", true)?;
            // One worker more is always started ahead.
            let before = governed.host.at_rest(2)?;
            let mut worst: f64 = 0.0;
            for _ in 0..ROUNDS {
                let leaves = governed.connect("a", true)?;
                for i in 0..HELD {
                    if i > 0 {
                        leaves.open_session()?;
                    }
                    leaves.leave_file(100_000)?;
                }
                ensure!(governed.host.held().files > before.files, "nothing was sent");
                ensure!(stays.open_session().is_err(), "the tenant has more than it may");
                drop(leaves);
                let begin = Instant::now();
                // What processes hold, and what of the tenant's quota is counted.
                governed.host.settles(before, PATIENCE)?;
                while !all_free(&stays)? {
                    ensure!(begin.elapsed() < PATIENCE, "the quota is not free again");
                }
                worst = worst.max(ms(begin.elapsed()));
            }
            let name = format!("all that a connection had is free, worst, worker = \"{worker}\"");
            Ok(Figure::at_most(&name, worst, "ms", LIMIT).with_note(format!(
                "{HELD} sessions and {HELD} files of 100 kB, {ROUNDS} times; processes, descriptors, files, memory, quota"
            )))
        })
        .collect()
}

/// Whether the tenant can have all of its sessions.
fn all_free(client: &Honest) -> Result<bool> {
    let opened: Vec<i64> = (0..HELD)
        .map_while(|_| client.open_session().ok())
        .collect();
    for session in &opened {
        client.close_session(*session)?;
    }
    Ok(opened.len() == HELD)
}
