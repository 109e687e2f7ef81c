//! One way, in a process of its own that is told when it is its turn.
//!
//! Each line on its input is a turn; it answers with the milliseconds that it took. The first line that
//! it says by itself is its answer to the picture.

use super::native::Native;
use crate::bench::sample::open_library;
use crate::process::{OWN, command};
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Instant;
use vaccel::{Config, Resource, ResourceType, Session};

/// What such a process does.
#[derive(Args)]
pub(crate) struct Job {
    /// `native`, `in process`, or anything else with an address.
    #[arg(long)]
    way: String,
    /// Folder of the model.
    #[arg(long)]
    model: PathBuf,
    /// The picture.
    #[arg(long)]
    picture: PathBuf,
    /// Address of the agent.
    #[arg(long)]
    address: Option<String>,
    /// The installation.
    #[arg(long)]
    prefix: PathBuf,
}

/// The process; it ends when this is dropped.
pub(super) struct Runner {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Runner {
    pub(super) fn start(
        prefix: &Path,
        model: &Path,
        picture: &Path,
        way: &str,
        address: Option<&str>,
    ) -> Result<Self> {
        let mut command = command(OWN);
        command.args(["bench-overhead", "--way", way]);
        command.arg("--model").arg(model);
        command.arg("--picture").arg(picture);
        command.arg("--prefix").arg(prefix);
        if let Some(address) = address {
            command.args(["--address", address]);
        }
        // What measured the transport before has left its settings behind.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("VACCEL_RPC_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start the way {way}"))?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("it has no output")?;
        Ok(Self {
            name: way.into(),
            child,
            input,
            output: BufReader::new(output),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What it says about the picture.
    pub(super) fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        let bytes = self.output.read_line(&mut line)?;
        ensure!(
            bytes > 0,
            "the way {} failed; its message is above",
            self.name
        );
        Ok(serde_json::from_str(&line)?)
    }

    /// Milliseconds of one picture.
    pub(super) fn time(&mut self) -> Result<f64> {
        let input = self.input.as_mut().context("it has no input")?;
        input.write_all(b"\n")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let text = line.trim();
        text.parse()
            .with_context(|| format!("the way {} said `{text}`", self.name))
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}

/// What such a process does.
pub(crate) fn child(job: &Job) -> Result<()> {
    let jpeg = std::fs::read(&job.picture)?;
    if job.way == "native" {
        let native = Native::load(&job.model)?;
        return turns(|| native.classify(&jpeg));
    }
    open_library(&job.prefix)?;
    if let Some(address) = &job.address {
        // SAFETY: this program has no other thread yet.
        unsafe { std::env::set_var("VACCEL_RPC_ADDRESS", address) };
    }
    let (plugin, hint) = match job.address {
        Some(_) => ("rpc", vaccel::hint::REMOTE),
        None => ("onnx", vaccel::hint::ANY),
    };
    vaccel::bootstrap_with(&Config {
        plugins: vec![plugin.into()],
        ..Config::default()
    })?;
    let session = Session::with_hint(hint)?;
    ensure!(
        session.is_remote() == job.address.is_some(),
        "the session is of the wrong kind"
    );
    let resource = Resource::open(&job.model, ResourceType::Model)?;
    resource.register(&session)?;
    // No annotated picture: the native way makes none either.
    turns(|| Ok(session.image_labels(&jpeg)?.text))
}

fn turns(classify: impl Fn() -> Result<String>) -> Result<()> {
    // Text of several lines, as one.
    println!("{}", serde_json::to_string(&classify()?)?);
    for line in std::io::stdin().lines() {
        line?;
        let begin = Instant::now();
        black_box(classify()?);
        println!("{:.6}", begin.elapsed().as_secs_f64() * 1e3);
    }
    Ok(())
}
