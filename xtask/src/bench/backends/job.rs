//! A process that measures one backend: it has no other runtime in it, and when it dies the others
//! are measured all the same.

use super::pair::{self, Pair, Times};
use super::{clients, products};
use crate::bench::sample::open_library;
use crate::process::{OWN, command, target_dir};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use vaccel::Config;

/// What the C library is told: to keep what is freed. Otherwise it gives the memory of one of the two
/// back after each run, which one is luck, and that takes 3 to 8 % of a run of ResNet-50 with rten.
const KEEPING: [(&str, &str); 3] = [
    ("MALLOC_TRIM_THRESHOLD_", "1073741824"),
    ("MALLOC_MMAP_THRESHOLD_", "33554432"),
    ("MALLOC_TOP_PAD_", "67108864"),
];

/// What such a process does.
#[derive(Args, Clone, Debug)]
pub(crate) struct Job {
    /// The plugin.
    #[arg(long)]
    pub(super) backend: String,
    /// File or folder of a model; none for products of matrices.
    #[arg(long)]
    pub(super) model: Option<PathBuf>,
    /// Shape of the model's only input.
    #[arg(long, value_delimiter = ',')]
    pub(super) shape: Vec<usize>,
    /// The runtime that is called directly, when it is not the backend's own.
    #[arg(long)]
    pub(super) beside: Option<String>,
    /// The model for that one.
    #[arg(long)]
    pub(super) beside_model: Option<PathBuf>,
    /// Measure so long.
    #[arg(long, default_value_t = 1.0)]
    pub(super) seconds: f64,
    /// Load the model directly first, and through vaccel then.
    #[arg(long)]
    pub(super) direct_first: bool,
    /// So many clients of an agent, none to measure without one.
    #[arg(long, default_value_t = 0)]
    pub(super) clients: usize,
    /// Options of the model for these.
    #[arg(long, default_value = "")]
    pub(super) options: String,
    /// The installation.
    #[arg(long)]
    pub(super) prefix: PathBuf,
}

/// What came of it.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub(super) enum Outcome {
    /// Why the backend cannot run here, and what to do about it.
    Skipped(String),
    Pair(Times),
    Products(products::Rates),
    Load(clients::Load),
}

impl Job {
    /// A job of a backend.
    pub(super) fn new(backend: &str, prefix: &Path) -> Self {
        Self {
            backend: backend.into(),
            model: None,
            shape: Vec::new(),
            beside: None,
            beside_model: None,
            seconds: 1.0,
            direct_first: false,
            clients: 0,
            options: String::new(),
            prefix: prefix.into(),
        }
    }

    /// Does it in a process of its own, with these variables set.
    pub(super) fn start(&self, variables: &[(&str, &str)]) -> Result<Outcome> {
        let mut command = command(OWN);
        command.args(["bench-backend", "--backend", &self.backend]);
        command.arg("--prefix").arg(&self.prefix);
        command.args(["--seconds", &self.seconds.to_string()]);
        if let Some(model) = &self.model {
            command.arg("--model").arg(model);
        }
        if let Some(beside) = &self.beside {
            command.args(["--beside", beside]);
        }
        if let Some(model) = &self.beside_model {
            command.arg("--beside-model").arg(model);
        }
        if !self.shape.is_empty() {
            let shape: Vec<String> = self.shape.iter().map(usize::to_string).collect();
            command.args(["--shape", &shape.join(",")]);
        }
        if self.clients > 0 {
            command.args(["--clients", &self.clients.to_string()]);
            command.args(["--options", &self.options]);
        }
        if self.direct_first {
            command.arg("--direct-first");
        }
        if std::env::var_os("VACCEL_RUNTIMES").is_none() {
            command.env("VACCEL_RUNTIMES", target_dir().join("runtimes"));
        }
        command.envs(KEEPING).envs(variables.iter().copied());
        let output = command
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("cannot start the process of {}", self.backend))?;
        if !output.status.success() {
            bail!("the process of {} failed: {}", self.backend, output.status);
        }
        // Runtimes may print what they like before.
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().last().unwrap_or_default();
        serde_json::from_str(line).with_context(|| format!("{} said `{line}`", self.backend))
    }
}

/// What such a process does.
pub(crate) fn child(job: &Job) -> Result<()> {
    open_library(&job.prefix)?;
    let mut plugins = vec![job.backend.clone()];
    plugins.extend(job.beside.clone());
    vaccel::bootstrap_with(&Config {
        plugins,
        ..Config::default()
    })?;
    if job.clients > 0 {
        let model = job.model.as_deref().context("no model for the clients")?;
        let load = Outcome::Load(clients::load(job, model)?);
        println!("{}", serde_json::to_string(&load)?);
        return Ok(());
    }
    let outcome = match (runtime(&job.backend)?, &job.beside) {
        (Err(why), _) => Outcome::Skipped(why),
        (Ok(name), None) => measure(job, &name, &name)?,
        (Ok(name), Some(beside)) => match runtime(beside)? {
            Ok(other) => measure(job, &name, &other)?,
            Err(why) => Outcome::Skipped(why),
        },
    };
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}

fn measure(job: &Job, name: &str, direct: &str) -> Result<Outcome> {
    let Some(model) = &job.model else {
        return products::measure(name).map(Outcome::Products);
    };
    let times = pair::measure(&Pair {
        model,
        shape: &job.shape,
        name,
        direct: job.beside.as_deref().unwrap_or(&job.backend),
        direct_model: job.beside_model.as_deref().unwrap_or(model),
        direct_runtime: direct,
        same: job.beside.is_none(),
        seconds: job.seconds,
        direct_first: job.direct_first,
    })?;
    Ok(Outcome::Pair(times))
}

/// Name, version and file of a backend's runtime; else what is missing and the remedy.
fn runtime(backend: &str) -> Result<Result<String, String>> {
    let about = vaccel::describe()?;
    let plugins = about["plugins"].as_array().context("no list of plugins")?;
    let plugin = plugins.iter().find(|plugin| plugin["name"] == backend);
    let about = &plugin.with_context(|| format!("{backend} was not loaded"))?["ext"];
    Ok(match (&about["runtime"], &about["ready"]) {
        (serde_json::Value::String(runtime), _) => Ok(runtime.clone()),
        _ => Err(format!(
            "skipped: {}",
            about["missing"].as_str().unwrap_or("it is not ready")
        )),
    })
}
