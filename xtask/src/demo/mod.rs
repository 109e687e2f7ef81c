//! `cargo xtask demo`: a sandboxed program classifies real pictures on the host.
//!
//! The agent runs on the host. The application, the `vaccel` command, runs in
//! namespaces of its own with nothing but a socket, and is given the sample
//! pictures of every task. The same pictures go through the same program in
//! process; answers are compared with the truth, and times with each other.

mod picture;
mod report;
pub(crate) mod sandbox;
pub(crate) mod truth;

use crate::process::{OWN, command, target_dir};
use crate::stage;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The image operations, in the order they are shown.
pub(crate) const TASKS: &[&str] = &["classify", "detect", "segment", "pose", "depth"];
/// Local and remote runs take turns this many times, so that both meet the same noise.
const ROUNDS: usize = 5;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Print one JSON object {total, correct, local_ms, remote_ms, overhead_pct}.
    #[arg(long)]
    json: bool,
    /// Use this staged installation instead of building one.
    #[arg(long, value_name = "DIR")]
    prefix: Option<PathBuf>,
}

/// What the `vaccel` command prints with `--json`.
#[derive(Deserialize)]
pub(crate) struct Answers {
    pub(crate) files: Vec<Answer>,
}

/// One picture of it.
#[derive(Deserialize, Clone)]
pub(crate) struct Answer {
    pub(crate) file: PathBuf,
    pub(crate) result: serde_json::Value,
    pub(crate) ms: Vec<f64>,
    pub(crate) picture: Option<PathBuf>,
    pub(crate) map: Option<PathBuf>,
}

/// One line of the table.
#[derive(Serialize)]
pub(crate) struct Row {
    pub(crate) task: &'static str,
    pub(crate) file: String,
    pub(crate) truth: String,
    pub(crate) answer: String,
    pub(crate) confidence: Option<f64>,
    pub(crate) correct: bool,
    pub(crate) local_ms: f64,
    pub(crate) remote_ms: f64,
    #[serde(skip)]
    pub(crate) picture: PathBuf,
}

/// One task: its score against the truth.
#[derive(Serialize)]
pub(crate) struct Score {
    pub(crate) task: &'static str,
    pub(crate) metric: String,
    pub(crate) value: f64,
    pub(crate) threshold: f64,
    pub(crate) passed: bool,
    pub(crate) pictures: usize,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Summary<'a> {
    total: usize,
    correct: usize,
    local_ms: f64,
    remote_ms: f64,
    overhead_pct: f64,
    namespaces: bool,
    tasks: &'a [Score],
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let prefix = match &options.prefix {
        Some(prefix) => fs::canonicalize(prefix)
            .with_context(|| format!("no installation at {}", prefix.display()))?,
        None => {
            eprintln!("building and staging (release)");
            let prefix = target_dir().join("stage/release");
            stage::install(&prefix, "release")?;
            fs::canonicalize(prefix)?
        }
    };
    let out = target_dir().join("demo");
    let _ = fs::remove_dir_all(&out);
    fs::create_dir_all(&out)?;
    let out = fs::canonicalize(out)?;

    let agent = vaccel_tests::Agent::start(&prefix, "onnx", &[], &[])?;
    let namespaces = sandbox_permitted(&prefix)?;
    if namespaces {
        eprintln!(
            "the application runs in user, net, mount, pid, ipc and uts namespaces of its own"
        );
    } else {
        eprintln!("the kernel permits no namespaces here: the application runs as a plain process");
    }

    let mut rows = Vec::new();
    let mut scores = Vec::new();
    for &task in TASKS {
        eprintln!("{task}");
        let samples = prefix
            .join("share/vaccel/models")
            .join(task)
            .join("samples");
        let truth = truth::Truth::read(&samples)?;
        let pictures = truth.files();
        let mut local: Vec<Answer> = Vec::new();
        let mut remote: Vec<Answer> = Vec::new();
        for _ in 0..ROUNDS {
            merge(
                &mut local,
                run_local(&prefix, task, &samples, &pictures, &out)?,
            )?;
            merge(
                &mut remote,
                run_remote(&prefix, task, &samples, &pictures, &out, &agent, namespaces)?,
            )?;
        }
        for (a, b) in local.iter().zip(&remote) {
            if a.result != b.result {
                bail!(
                    "{}: the answers differ\nlocal  {}\nremote {}",
                    a.file.display(),
                    a.result,
                    b.result
                );
            }
        }
        let (score, judged) = truth.judge(task, &remote)?;
        scores.push(score);
        for ((judgement, local), remote) in judged.into_iter().zip(&local).zip(&remote) {
            rows.push(Row {
                task,
                file: file_name(&remote.file),
                truth: judgement.truth,
                answer: judgement.answer,
                confidence: judgement.confidence,
                correct: judgement.correct,
                local_ms: median(&local.ms),
                remote_ms: median(&remote.ms),
                picture: remote
                    .picture
                    .clone()
                    .unwrap_or_else(|| samples.join(&remote.file)),
            });
        }
    }
    drop(agent);

    let classified: Vec<&Row> = rows.iter().filter(|row| row.task == "classify").collect();
    let local_ms = median(&classified.iter().map(|r| r.local_ms).collect::<Vec<_>>());
    let remote_ms = median(&classified.iter().map(|r| r.remote_ms).collect::<Vec<_>>());
    let summary = Summary {
        total: classified.len(),
        correct: classified.iter().filter(|r| r.correct).count(),
        local_ms,
        remote_ms,
        overhead_pct: (remote_ms / local_ms - 1.0) * 100.0,
        namespaces,
        tasks: &scores,
    };
    picture::contact_sheet(&rows, &out.join("contact-sheet.png"))?;
    report::html(&rows, &scores, &out.join("index.html"))?;
    if options.json {
        println!("{}", serde_json::to_string(&summary)?);
    } else {
        report::table(&rows, &scores);
        println!(
            "\nclassify: {} of {} right; median {:.3} ms in process, {:.3} ms through the agent: {:+.1} %",
            summary.correct, summary.total, local_ms, remote_ms, summary.overhead_pct
        );
        println!("pictures: {}", out.join("contact-sheet.png").display());
        println!("page:     {}", out.join("index.html").display());
    }
    if let Some(score) = scores.iter().find(|score| !score.passed) {
        bail!(
            "{}: {} is {:.3}, which misses {:.3}",
            score.task,
            score.metric,
            score.value,
            score.threshold
        );
    }
    Ok(())
}

/// The application in process: the same program, with the backend instead of the transport.
fn run_local(
    prefix: &Path,
    task: &str,
    samples: &Path,
    pictures: &[String],
    out: &Path,
) -> Result<Answers> {
    let out = out.join(task).join("local");
    fs::create_dir_all(&out)?;
    let mut program = command(prefix.join("bin/vaccel"));
    program
        .args([task, "--json"])
        .args(map_option(task))
        .arg("--output")
        .arg(&out);
    program.args(pictures.iter().map(|name| samples.join(name)));
    answers(&mut program)
}

/// Classes and distances of every pixel are judged from the map.
fn map_option(task: &str) -> Option<&'static str> {
    ["segment", "depth"].contains(&task).then_some("--map")
}

/// The application in the sandbox.
fn run_remote(
    prefix: &Path,
    task: &str,
    samples: &Path,
    pictures: &[String],
    out: &Path,
    agent: &vaccel_tests::Agent,
    namespaces: bool,
) -> Result<Answers> {
    let out = out.join(task).join("remote");
    fs::create_dir_all(&out)?;
    let arguments = |socket: &str, out: &str, pictures: Vec<String>| {
        let mut arguments: Vec<String> = ["--remote", socket, task, "--json", "--output", out]
            .map(String::from)
            .to_vec();
        arguments.extend(map_option(task).map(String::from));
        arguments.extend(pictures);
        arguments
    };
    if !namespaces {
        let mut program = command(prefix.join("bin/vaccel"));
        program.args(arguments(
            &agent.address(),
            &out.display().to_string(),
            pictures
                .iter()
                .map(|name| samples.join(name).display().to_string())
                .collect(),
        ));
        return answers(&mut program);
    }
    let mut program = sandboxed(prefix)?;
    program
        .arg(format!("--bind={}:/pictures", samples.display()))
        .arg(format!(
            "--bind-rw={}:/run/vaccel.sock",
            agent.socket().display()
        ))
        .arg(format!("--bind-rw={}:/out", out.display()))
        .args(["--", "/app/bin/vaccel"])
        .args(arguments(
            "unix:///run/vaccel.sock",
            "/out",
            pictures
                .iter()
                .map(|name| format!("/pictures/{name}"))
                .collect(),
        ));
    let mut answers = answers(&mut program)?;
    // What the application calls /out is `out` here.
    for answer in &mut answers.files {
        for path in [&mut answer.picture, &mut answer.map].into_iter().flatten() {
            if let Ok(rest) = path.strip_prefix("/out") {
                *path = out.join(rest);
            }
        }
    }
    Ok(answers)
}

/// `xtask sandbox` with the program, the library, the transport plugin and the
/// system libraries they need: nothing else of the host is there.
fn sandboxed(prefix: &Path) -> Result<Command> {
    let mut program = command(OWN);
    let root = target_dir().join("demo/root");
    fs::create_dir_all(&root)?;
    program.arg("sandbox").arg("--root").arg(&root);
    let own = [
        ("bin/vaccel", "/app/bin/vaccel"),
        ("lib/libvaccel.so.0", "/app/lib/libvaccel.so.0"),
        ("lib/libvaccel-rpc.so", "/app/lib/libvaccel-rpc.so"),
    ];
    for (file, inside) in own {
        program.arg(format!("--bind={}:{inside}", prefix.join(file).display()));
    }
    let mut system = std::collections::BTreeSet::new();
    for (file, _) in own {
        system.extend(system_libraries(&prefix.join(file))?);
    }
    for library in system {
        program.arg(format!("--bind={library}:{library}"));
    }
    Ok(program)
}

/// Absolute paths of the libraries that the loader would take.
fn system_libraries(file: &Path) -> Result<Vec<String>> {
    let text = crate::process::output(command("ldd").arg(file))?;
    Ok(text
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(String::from)
        .collect())
}

fn sandbox_permitted(prefix: &Path) -> Result<bool> {
    let output = sandboxed(prefix)?
        .args(["--", "/app/bin/vaccel", "--version"])
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        return Ok(true);
    }
    let message = String::from_utf8_lossy(&output.stderr);
    if message.contains(sandbox::REFUSED) {
        return Ok(false);
    }
    bail!("the sandbox does not work: {message}")
}

fn answers(program: &mut Command) -> Result<Answers> {
    let text = crate::process::output(program)?;
    serde_json::from_str(&text).with_context(|| format!("not the expected JSON: {text}"))
}

/// Adds the times of a further round to what is known of each picture.
fn merge(all: &mut Vec<Answer>, round: Answers) -> Result<()> {
    if all.is_empty() {
        *all = round.files;
        return Ok(());
    }
    for (known, new) in all.iter_mut().zip(round.files) {
        if known.result != new.result {
            bail!(
                "{}: two rounds gave different answers",
                known.file.display()
            );
        }
        known.ms.extend(new.ms);
    }
    Ok(())
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(crate) fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}
