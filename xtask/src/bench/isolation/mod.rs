//! What it costs that tenants do not trust each other, and what they have of it: the jail and processes of
//! their own in latency, crashes and hung calls in time, floods in the latency of others.
//!
//! Times are those that clients see, who speak to the agent of a staged installation; what is
//! compared was measured in the same run, in turns.

mod deadline;
mod flood;
mod latency;
mod release;
mod restart;

use super::figure::Figure;
use anyhow::{Context, Result};
use std::path::Path;
use std::time::Duration;

/// Whose process a worker is: the kinds that a policy knows.
const WORKERS: [&str; 3] = ["connection", "tenant", "shared"];

/// So long for what should have happened long before; only what hangs needs it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A group of figures.
type Group = fn(&Path) -> Result<Vec<Figure>>;

const GROUPS: [(&str, Group); 5] = [
    ("latency", latency::run),
    ("restart", restart::run),
    ("deadline", deadline::run),
    ("release", release::run),
    ("flood", flood::run),
];

/// A file system in memory, as `/run` is, where agents have their folders.
const MEMORY: &str = "/dev/shm";

/// Runs all groups.
pub(crate) fn run(prefix: &Path) -> Vec<Figure> {
    // Not how long a disk takes to remove files is measured, unless that is asked for.
    if std::env::var_os("TMPDIR").is_none() && tempfile::tempdir_in(MEMORY).is_ok() {
        // SAFETY: called before this program has a second thread.
        unsafe { std::env::set_var("TMPDIR", MEMORY) };
    }
    let mut figures = Vec::new();
    for (name, group) in GROUPS {
        eprintln!("isolation: {name}");
        match group(prefix).with_context(|| format!("group {name}")) {
            Ok(done) => figures.extend(done),
            // The other groups are worth having all the same; this one has missed.
            Err(error) => figures.push(Figure::missing(name, "-", format!("{error:#}"))),
        }
    }
    figures
}

/// Waits until something is so.
fn wait(what: &str, condition: impl FnMut() -> bool) -> Result<()> {
    vaccel_tests::wait_until(what, PATIENCE, condition)
}

/// Milliseconds.
fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// True while a process is there and has not ended.
fn is_alive(process: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z "))
}
