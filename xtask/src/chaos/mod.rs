//! `cargo xtask chaos`: everything that goes wrong at once, and what must still hold.
//!
//! Each case is a function in a table with the promise that it holds. After each the answers
//! of honest tenants must all have been right, and no process, descriptor, memory or file may
//! be left (counted through /proc).

mod faults;
mod limits;
mod plugins;
mod speed;

use crate::bench::figure::{self, Figure, Line};
use crate::process::target_dir;
use crate::stage;
use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vaccel_tests::hostile::{Held, Host, Watch};

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask chaos --json chaos.json          everything, some minutes\n  \
    cargo xtask chaos --quick                    fewer rounds of each, below two minutes\n  \
    cargo xtask chaos --only full_disk           one case\n  \
    cargo xtask chaos --list")]
pub(crate) struct Options {
    /// Write cases and figures to a file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Only these cases; a part of a name will do.
    #[arg(long)]
    only: Vec<String>,
    /// Fewer rounds.
    #[arg(long)]
    quick: bool,
    /// Say which cases there are.
    #[arg(long)]
    list: bool,
    /// A staged installation; one is made when it is left out.
    #[arg(long)]
    prefix: Option<PathBuf>,
}

/// What the cases are given.
pub(crate) struct Chaos {
    /// The staged installation.
    prefix: PathBuf,
    /// Fewer rounds.
    quick: bool,
    figures: Vec<Figure>,
}

/// One case: name, promise, function.
type Case = (&'static str, &'static str, fn(&mut Chaos) -> Result<()>);

const CASES: &[Case] = &[
    (
        "worker_killed",
        "A killed worker fails its own call, and no other.",
        faults::worker_killed,
    ),
    (
        "worker_segv",
        "So does one with a segmentation fault.",
        faults::worker_segv,
    ),
    (
        "worker_stopped",
        "A stopped worker's client has its error by its deadline.",
        faults::worker_stopped,
    ),
    (
        "client_killed",
        "What a killed client had is given back.",
        faults::client_killed,
    ),
    (
        "client_stopped",
        "A stopped client holds up nobody else.",
        faults::client_stopped,
    ),
    (
        "agent_killed",
        "A killed agent takes its workers with it; another one serves.",
        faults::agent_killed,
    ),
    (
        "agent_stopped",
        "A stopped agent serves those who are there, and then who came meanwhile.",
        faults::agent_stopped,
    ),
    (
        "connections_cut",
        "Connections that are cut anywhere leave nothing.",
        faults::connections_cut,
    ),
    (
        "bytes_dripping",
        "Clients that drip or stall hold up nobody else.",
        faults::bytes_dripping,
    ),
    (
        "giant_frames",
        "Half-sent giant frames take no memory that was not sent.",
        faults::giant_frames,
    ),
    (
        "connects",
        "10 000 connects and disconnects leave nothing.",
        faults::connects,
    ),
    (
        "plugin_abort",
        "A plugin that aborts ends its own worker only.",
        plugins::abort,
    ),
    ("plugin_exit", "So does one that calls exit.", plugins::exit),
    (
        "plugin_throw",
        "So does one whose C++ exception escapes.",
        plugins::throw,
    ),
    (
        "plugin_stack",
        "So does one that overflows the stack.",
        plugins::stack,
    ),
    (
        "plugin_writes",
        "So does one that writes out of bounds.",
        plugins::writes,
    ),
    (
        "plugin_claims",
        "An output longer than its room is an error.",
        plugins::claims,
    ),
    (
        "plugin_closes",
        "A plugin that closes all descriptors harms its own client only.",
        plugins::closes,
    ),
    (
        "plugin_leaks",
        "What a plugin leaks goes with its client.",
        plugins::leaks,
    ),
    (
        "plugin_loops",
        "A plugin that loops ends with its client.",
        plugins::loops,
    ),
    (
        "plugin_crashes",
        "1000 of 1000 crashes are survived, and a worker is there again at once.",
        plugins::crashes,
    ),
    (
        "full_disk",
        "A full disk is an error for who fills it.",
        limits::full_disk,
    ),
    (
        "read_only_rundir",
        "A run-time folder that cannot be written to refuses new clients, until it can.",
        limits::read_only,
    ),
    (
        "out_of_memory",
        "A request for which there is no memory is an error.",
        limits::out_of_memory,
    ),
    (
        "no_descriptors",
        "Out of descriptors, those who are there are served.",
        limits::no_descriptors,
    ),
    (
        "clock_jumps",
        "The wall clock may jump.",
        limits::clock_jumps,
    ),
    (
        "memory_quota",
        "A hostile client holds no more memory than its quota and 10 %.",
        limits::memory_quota,
    ),
    (
        "deadlines",
        "No call outlives its deadline by more than 50 ms.",
        speed::deadlines,
    ),
    (
        "foreign_bytes",
        "Random scripts of hostile clients read no byte of others.",
        speed::foreign_bytes,
    ),
    (
        "mutated_frames",
        "10^7 mutated frames end no agent and no worker.",
        speed::mutated_frames,
    ),
];

/// One case's end.
#[derive(Serialize)]
struct Outcome {
    case: &'static str,
    promise: &'static str,
    seconds: f64,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let wanted: Vec<&Case> = CASES
        .iter()
        .filter(|case| options.only.is_empty() || options.only.iter().any(|o| case.0.contains(o)))
        .collect();
    if options.list || wanted.is_empty() {
        CASES
            .iter()
            .for_each(|(name, promise, _)| println!("{name:<18} {promise}"));
        ensure!(
            options.list,
            "no case has a name like that; the names are above"
        );
        return Ok(());
    }
    let prefix = match &options.prefix {
        Some(prefix) => std::fs::canonicalize(prefix)
            .with_context(|| format!("nothing is staged at {}", prefix.display()))?,
        None => {
            let prefix = target_dir().join("stage/release");
            stage::install(&prefix, "release")?;
            prefix
        }
    };
    let outcomes = all(&wanted, prefix, options.quick)?;
    let (outcomes, figures) = outcomes;
    figure::print(
        &figures
            .iter()
            .cloned()
            .map(Line::Figure)
            .collect::<Vec<_>>(),
    );
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(
            &serde_json::json!({ "cases": outcomes, "figures": figures }),
        )?;
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let failed: Vec<&str> = outcomes.iter().filter(|o| !o.ok).map(|o| o.case).collect();
    let missed: Vec<&str> = figures
        .iter()
        .filter(|f| !f.ok)
        .map(|f| f.name.as_str())
        .collect();
    println!(
        "{} of {} cases hold",
        outcomes.len() - failed.len(),
        outcomes.len()
    );
    if !failed.is_empty() {
        bail!("these cases failed: {}", failed.join(", "));
    }
    if !missed.is_empty() {
        bail!("these figures miss their target: {}", missed.join("; "));
    }
    Ok(())
}

fn all(wanted: &[&Case], prefix: PathBuf, quick: bool) -> Result<(Vec<Outcome>, Vec<Figure>)> {
    let mut chaos = Chaos {
        prefix,
        quick,
        figures: Vec::new(),
    };
    let mut outcomes = Vec::new();
    for (i, (name, promise, case)) in wanted.iter().enumerate() {
        let begin = Instant::now();
        let result = case(&mut chaos);
        let seconds = begin.elapsed().as_secs_f64();
        let verdict = if result.is_ok() { "ok" } else { "FAILED" };
        eprintln!(
            "[{}/{}] {name:<18} {verdict:<7} {seconds:>6.1} s",
            i + 1,
            wanted.len()
        );
        let why = result.err().map(|error| format!("{error:#}"));
        if let Some(why) = &why {
            eprintln!("    {promise}\n    {why}");
        }
        outcomes.push(Outcome {
            case: name,
            promise,
            seconds,
            ok: why.is_none(),
            why,
        });
    }
    Ok((outcomes, chaos.figures))
}

/// An agent, an honest tenant that calls it all the time, and what was held before.
pub(crate) struct Scene {
    host: Host,
    watch: Watch,
    before: Held,
}

/// What agents of all cases are told: short deadlines, so that what hangs ends soon.
const OPTIONS: [&str; 4] = ["--deadline", "2s", "--log-level", "info"];

impl Chaos {
    /// How many rounds.
    fn rounds(&self, all: usize, quick: usize) -> usize {
        if self.quick { quick } else { all }
    }

    fn scene(&self, options: &[&str]) -> Result<Scene> {
        self.scene_with(options, "")
    }

    /// A scene whose agent is prepared by a line of shell.
    fn scene_with(&self, options: &[&str], prepare: &str) -> Result<Scene> {
        let options: Vec<&str> = OPTIONS.iter().chain(options).copied().collect();
        let host = Host::start(&self.prefix, "noop,exec", &options, prepare)?;
        let watch = Watch::start(&host.address(), 2)?;
        // The worker that takes the place of the one that was given away.
        let expected = if options.contains(&"shared") {
            1
        } else {
            1 + if options.contains(&"--pool") { 2 } else { 1 }
        };
        Ok(Scene {
            before: host.at_rest(expected)?,
            host,
            watch,
        })
    }
}

impl Scene {
    /// The end of a case: what was held is given back, and all answers were right.
    fn ends(mut self) -> Result<Host> {
        self.host
            .settles(self.before, Duration::from_secs(25))
            .context("not everything is given back")?;
        self.goes_on()?;
        self.watch.finish()?;
        Ok(self.host)
    }

    /// The honest tenant is being served.
    fn goes_on(&self) -> Result<()> {
        let calls = self.watch.calls();
        wait("the honest tenant is served", || self.watch.calls() > calls)
    }

    /// Workers that have come since `known`.
    fn new_workers(&self, known: &[u32]) -> Vec<u32> {
        let mut workers = self.host.workers();
        workers.retain(|worker| !known.contains(worker));
        workers
    }
}

/// Waits until something is so; 20 s are always enough.
fn wait(what: &str, condition: impl FnMut() -> bool) -> Result<()> {
    vaccel_tests::wait_until(what, Duration::from_secs(20), condition)
}

/// Memory of a process that no other has, KiB.
fn memory_of(process: u32) -> u64 {
    let text = std::fs::read_to_string(
        Path::new("/proc")
            .join(process.to_string())
            .join("smaps_rollup"),
    );
    text.unwrap_or_default()
        .lines()
        .filter_map(|line| line.strip_prefix("Pss:"))
        .filter_map(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_has_a_name_of_its_own() {
        for (i, case) in CASES.iter().enumerate() {
            assert!(
                CASES[..i].iter().all(|other| other.0 != case.0),
                "{}",
                case.0
            );
        }
    }
}
