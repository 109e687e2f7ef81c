//! `cargo xtask fuzz`: libFuzzer on everything that reads bytes of others.
//!
//! The flags that `cargo fuzz` gives the compiler for coverage are stable ones, so that no
//! nightly toolchain and no installed `cargo-fuzz` is needed; only AddressSanitizer
//! (`--asan`) is asked for as an unstable flag, by `RUSTC_BOOTSTRAP`. `cargo fuzz run TARGET`
//! works too, for those who have both.

use crate::process::{cargo, output, root, target_dir};
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::io::{BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask fuzz --seconds 60                  every target for a minute\n  \
    cargo xtask fuzz --target frames --seconds 600\n  \
    cargo xtask fuzz --target frames --input fuzz/artifacts/frames/crash-...   run a finding again\n  \
    cargo xtask fuzz --asan --seconds 60           with AddressSanitizer")]
pub(crate) struct Options {
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Only this one; may be given several times.
    #[arg(long)]
    target: Vec<String>,
    /// Targets that run at the same time; as many as processors unless said.
    #[arg(long)]
    jobs: Option<usize>,
    /// Write the figures to a file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Run one input once, and show what happens.
    #[arg(long, requires = "target")]
    input: Option<PathBuf>,
    /// Build with AddressSanitizer.
    #[arg(long)]
    asan: bool,
    /// Say which targets there are.
    #[arg(long)]
    list: bool,
}

/// Coverage as libFuzzer reads it: counters, their places, and what is compared with what.
const COVERAGE: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    // Without it the linker drops tables of functions that were merged.
    "-Ccodegen-units=1",
    "--cfg=fuzzing",
];

/// One line of the table and of the file.
#[derive(Serialize, Debug, Default)]
struct Outcome {
    name: String,
    executions: u64,
    per_second: u64,
    /// Edges of the program that have been reached.
    coverage: u64,
    /// Inputs that are kept because they reach something new.
    corpus: u64,
    seconds: f64,
    ok: bool,
    /// What was found, with the command that shows it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    finding: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let all = targets()?;
    if options.list {
        all.iter().for_each(|target| println!("{target}"));
        return Ok(());
    }
    let wanted: Vec<String> = if options.target.is_empty() {
        all.clone()
    } else {
        options.target.clone()
    };
    if let Some(unknown) = wanted.iter().find(|target| !all.contains(target)) {
        bail!(
            "there is no target `{unknown}`; there are {}",
            all.join(", ")
        );
    }
    let programs = build(&wanted, options.asan)?;
    if let (Some(input), [target]) = (&options.input, &wanted[..]) {
        return again(&programs.join(target), input);
    }
    let outcomes = all_of(&wanted, &programs, options)?;
    print_table(&outcomes);
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&outcomes)?;
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let found: Vec<&str> = outcomes
        .iter()
        .filter_map(|outcome| outcome.finding.as_deref())
        .collect();
    if !found.is_empty() {
        bail!(
            "{} of {} targets failed:\n{}",
            found.len(),
            outcomes.len(),
            found.join("\n")
        );
    }
    Ok(())
}

/// The targets there are: one file each.
fn targets() -> Result<Vec<String>> {
    let folder = root().join("fuzz/fuzz_targets");
    let entries =
        std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if let Some(name) = path.file_stem() {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Builds the targets; the folder they are in.
fn build(wanted: &[String], asan: bool) -> Result<PathBuf> {
    let version = output(Command::new("rustc").arg("-vV"))?;
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc does not say for which machine it compiles")?;
    let mut flags = COVERAGE.join(" ");
    let mut command = cargo();
    if asan {
        flags.push_str(" -Zsanitizer=address");
        command.env("RUSTC_BOOTSTRAP", "1");
    }
    let folder = target_dir().join(if asan { "fuzz-asan" } else { "fuzz" });
    eprintln!(
        "building {} targets with coverage{}",
        wanted.len(),
        if asan { " and AddressSanitizer" } else { "" }
    );
    command
        .current_dir(root().join("fuzz"))
        .args(["build", "--release", "--quiet", "--target", host])
        .args(wanted.iter().flat_map(|target| ["--bin", target]))
        .env("RUSTFLAGS", flags)
        .env("CARGO_TARGET_DIR", &folder);
    crate::process::run(&mut command)?;
    Ok(folder.join(host).join("release"))
}

/// Runs one input once.
fn again(program: &Path, input: &Path) -> Result<()> {
    crate::process::run(Command::new(program).arg(input))?;
    eprintln!("{} does no harm", input.display());
    Ok(())
}

fn all_of(wanted: &[String], programs: &Path, options: &Options) -> Result<Vec<Outcome>> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = options.jobs.unwrap_or(processors).clamp(1, wanted.len());
    let next = AtomicUsize::new(0);
    let outcomes: Mutex<Vec<Outcome>> = Mutex::default();
    let live = std::io::stderr().is_terminal();
    std::thread::scope(|scope| {
        let works: Vec<_> = (0..jobs)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    while let Some(name) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let outcome = one(name, programs, options, live)?;
                        let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
                        outcomes.push(outcome);
                        let (done, last) = (outcomes.len(), &outcomes[outcomes.len() - 1]);
                        let clear = if live { "\r\x1b[K" } else { "" };
                        eprintln!("{clear}[{done}/{}] {}", wanted.len(), line(last));
                    }
                    Ok(())
                })
            })
            .collect();
        for work in works {
            work.join()
                .map_err(|_| anyhow::anyhow!("a thread of the fuzzer panicked"))??;
        }
        anyhow::Ok(())
    })?;
    let mut outcomes = outcomes
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(outcomes)
}

/// Runs one target.
fn one(name: &str, programs: &Path, options: &Options, live: bool) -> Result<Outcome> {
    // What is found goes on from the last time; the seeds of the repository stay as they are.
    let found = target_dir().join("fuzz-corpus").join(name);
    let artifacts = root().join("fuzz/artifacts").join(name);
    for folder in [&found, &artifacts] {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let begin = Instant::now();
    let mut child = Command::new(programs.join(name))
        .arg(format!("-max_total_time={}", options.seconds))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        // An input that takes longer, or more memory, is a finding too.
        .args([
            "-timeout=20",
            "-rss_limit_mb=2048",
            "-max_len=65536",
            "-print_final_stats=1",
        ])
        .arg(&found)
        .arg(root().join("fuzz/corpus").join(name))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start the target {name}"))?;
    let mut outcome = Outcome {
        name: name.to_owned(),
        ..Outcome::default()
    };
    let mut artifact = None;
    let mut said = Vec::new();
    let errors = child.stderr.take().context("the target has no output")?;
    for text in BufReader::new(errors).split(b'\n') {
        let text = String::from_utf8_lossy(&text?).into_owned();
        outcome.take(&text);
        if let Some((_, file)) = text.split_once("Test unit written to ") {
            artifact = Some(PathBuf::from(file.trim()));
        }
        if live && text.starts_with('#') {
            eprint!("\r\x1b[K{}", line(&outcome));
        }
        said.push(text);
        if said.len() > 400 {
            said.drain(..200);
        }
    }
    let status = child.wait()?;
    outcome.seconds = begin.elapsed().as_secs_f64();
    outcome.per_second = (outcome.executions as f64 / outcome.seconds.max(0.001)) as u64;
    outcome.ok = status.success();
    if !outcome.ok {
        let log = artifacts.join("last.txt");
        std::fs::write(&log, said.join("\n"))?;
        let way = match artifact {
            Some(file) => format!(
                "again: cargo xtask fuzz --target {name}{} --input {}",
                if options.asan { " --asan" } else { "" },
                file.strip_prefix(root()).unwrap_or(&file).display()
            ),
            None => "it left no input".into(),
        };
        outcome.finding = Some(format!("{name}: {status}; log: {}; {way}", log.display()));
    }
    Ok(outcome)
}

impl Outcome {
    /// Reads a line of libFuzzer: `#123 NEW cov: 4 ft: 5 corp: 6/7b ...`, or a final figure.
    fn take(&mut self, text: &str) {
        if let Some(rest) = text.strip_prefix('#') {
            let words: Vec<&str> = rest.split_whitespace().collect();
            if let Some(count) = words.first().and_then(|n| n.parse().ok()) {
                self.executions = count;
            }
            for pair in words.windows(2) {
                match pair[0] {
                    "cov:" => self.coverage = pair[1].parse().unwrap_or(self.coverage),
                    "corp:" => {
                        let count = pair[1].split('/').next().unwrap_or_default();
                        self.corpus = count.parse().unwrap_or(self.corpus);
                    }
                    _ => {}
                }
            }
        } else if let Some(count) = text.strip_prefix("stat::number_of_executed_units:") {
            self.executions = count.trim().parse().unwrap_or(self.executions);
        }
    }
}

fn line(outcome: &Outcome) -> String {
    format!(
        "{}: {} inputs, {} edges, {} kept{}",
        outcome.name,
        outcome.executions,
        outcome.coverage,
        outcome.corpus,
        if outcome.finding.is_some() {
            ", FAILED"
        } else {
            ""
        }
    )
}

fn print_table(outcomes: &[Outcome]) {
    println!(
        "{:<14} {:>12} {:>9} {:>7} {:>6}  result",
        "target", "inputs", "per s", "edges", "kept"
    );
    for o in outcomes {
        println!(
            "{:<14} {:>12} {:>9} {:>7} {:>6}  {}",
            o.name,
            o.executions,
            o.per_second,
            o.coverage,
            o.corpus,
            if o.ok { "ok" } else { "FAILED" }
        );
    }
    let total: u64 = outcomes.iter().map(|o| o.executions).sum();
    println!("{:<14} {total:>12}", "all");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_libfuzzer_are_read() {
        let mut outcome = Outcome::default();
        outcome
            .take("#4096\tpulse  cov: 310 ft: 900 corp: 40/5kb lim: 4096 exec/s: 2048 rss: 40Mb");
        assert_eq!(
            (outcome.executions, outcome.coverage, outcome.corpus),
            (4096, 310, 40)
        );
        outcome.take("stat::number_of_executed_units: 5000");
        outcome.take("INFO: nothing");
        assert_eq!(outcome.executions, 5000);
    }
}
