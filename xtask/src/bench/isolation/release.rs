//! How soon all that a connection had is free after its end.

use super::{PATIENCE, WORKERS, ms};
use crate::bench::figure::Figure;
use anyhow::{Result, ensure};
use std::fmt;
use std::path::Path;
use std::time::Instant;
use vaccel_tests::hostile::{Governed, Held, Honest, Host};

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
            let governed = Governed::start(prefix, worker, &quota, &[])?;
            let stays = governed.connect("a", true)?;
            // One worker more is always started ahead.
            let before = governed.host.at_rest(2)?;
            let mut worst = Freed::default();
            for _ in 0..ROUNDS {
                let leaves = governed.connect("a", true)?;
                for i in 0..HELD {
                    if i > 0 {
                        leaves.open_session()?;
                    }
                    leaves.leave_file(100_000)?;
                }
                ensure!(
                    governed.host.held().files > before.files,
                    "nothing was sent"
                );
                ensure!(
                    stays.open_session().is_err(),
                    "the tenant has more than it may"
                );
                drop(leaves);
                let freed = Freed::since(Instant::now(), &governed.host, before, &stays)?;
                if freed.all() > worst.all() {
                    worst = freed;
                }
            }
            let name = format!("all that a connection had is free, worst, worker = \"{worker}\"");
            Ok(Figure::at_most(&name, worst.all(), "ms", LIMIT).with_note(format!(
                "{HELD} sessions and {HELD} files of 100 kB, {ROUNDS} times; of the worst: {worst}"
            )))
        })
        .collect()
}

/// When each kind of what a connection had was free: milliseconds after its end.
#[derive(Default)]
struct Freed {
    processes: f64,
    descriptors: f64,
    files: f64,
    memory: f64,
    quota: f64,
}

impl Freed {
    /// Looks until the agent holds no more than before, but for 4 MiB of memory.
    fn since(end: Instant, host: &Host, before: Held, tenant: &Honest) -> Result<Self> {
        let mut freed = [None; 5];
        loop {
            let held = host.held();
            let free = [
                held.workers <= before.workers,
                held.descriptors <= before.descriptors,
                held.files <= before.files,
                held.memory <= before.memory + (4 << 10),
                freed[4].is_some() || all_free(tenant)?,
            ];
            for (at, free) in freed.iter_mut().zip(free) {
                // What is there again later counts from then.
                *at = if free {
                    at.or(Some(ms(end.elapsed())))
                } else {
                    None
                };
            }
            if let [
                Some(processes),
                Some(descriptors),
                Some(files),
                Some(memory),
                Some(quota),
            ] = freed
            {
                return Ok(Self {
                    processes,
                    descriptors,
                    files,
                    memory,
                    quota,
                });
            }
            ensure!(
                end.elapsed() < PATIENCE,
                "not everything is free after {PATIENCE:?}: {held:?}, before {before:?}"
            );
        }
    }

    fn all(&self) -> f64 {
        let all = [
            self.processes,
            self.descriptors,
            self.files,
            self.memory,
            self.quota,
        ];
        all.into_iter().fold(0.0, f64::max)
    }
}

impl fmt::Display for Freed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "processes {:.0}, descriptors {:.0}, files {:.0}, memory {:.0}, quota {:.0} ms",
            self.processes, self.descriptors, self.files, self.memory, self.quota
        )
    }
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
