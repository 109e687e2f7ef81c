//! How workers are locked in: what is asked for, and what this machine has for it.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use vaccel_jail::groups::Groups;
use vaccel_jail::namespaces::Plan;
use vaccel_jail::{JailOptions, Mode, Part, probe};

use crate::options::{Options, bytes};
use crate::{debug, warn};

/// Descriptors of a worker, where nothing is said.
const FILES: u64 = 65_536;
/// Processes and threads of a worker, where nothing is said.
pub(crate) const PROCESSES: u64 = 4096;

/// Options of the command line.
#[derive(Debug, Clone, Default, Args)]
pub struct JailArguments {
    /// How workers are locked in: `on` as well as this machine can, with a warning for
    /// each part that it lacks; `strict` all of it, or nobody is served; `off` for debugging.
    #[arg(long, value_enum, value_name = "MODE", default_value_t)]
    pub jail: JailMode,

    /// File or folder that workers may read, beside libraries, plugins and models; may be
    /// given several times.
    #[arg(long, value_name = "PATH")]
    pub jail_read: Vec<PathBuf>,

    /// File or folder that workers may change; may be given several times.
    #[arg(long, value_name = "PATH")]
    pub jail_write: Vec<PathBuf>,

    /// Private memory of a worker.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub jail_memory: Option<u64>,

    /// All that a worker maps, private or not. Not for backends with devices.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub jail_address_space: Option<u64>,

    /// Descriptors that a worker may have open [default: 65536, or fewer where the agent's
    /// own limit is lower].
    #[arg(long, value_name = "N")]
    pub jail_files: Option<u64>,

    /// Each worker is the first process of a PID namespace of its own: all that it started ends with
    /// it. Needs root.
    #[arg(long)]
    pub jail_pid_namespace: bool,

    /// Where each worker has a control group (cgroup v2) of its own, whose memory, processors and
    /// processes the kernel bounds as the policy says: `own` for within the agent's group, which the
    /// service manager has delegated to it, or the folder of a delegated group [default: none].
    #[arg(long, value_name = "GROUP")]
    pub cgroup: Option<PathBuf>,

    /// Workers may start programs, whatever their plugins need.
    #[arg(long)]
    pub jail_spawn: bool,

    /// Workers may make sockets, whatever their plugins need.
    #[arg(long)]
    pub jail_network: bool,

    /// Workers may make memory executable, whatever their plugins need.
    #[arg(long)]
    pub jail_jit: bool,
}

/// How it is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum JailMode {
    /// As well as this machine can.
    #[default]
    On,
    /// All of it, or nobody is served.
    Strict,
    /// Not at all.
    Off,
}

impl JailArguments {
    /// What is asked for.
    #[must_use]
    pub fn options(&self) -> JailOptions {
        JailOptions {
            mode: match self.jail {
                JailMode::On => Mode::On,
                JailMode::Strict => Mode::Strict,
                JailMode::Off => Mode::Off,
            },
            read: self.jail_read.clone(),
            write: self.jail_write.clone(),
            known: vec![],
            memory: self.jail_memory,
            address_space: self.jail_address_space,
            processes: None,
            files: self.jail_files,
            file_size: None,
            jit: self.jail_jit.then_some(true),
            network: self.jail_network.then_some(true),
            spawn: self.jail_spawn.then_some(true),
        }
    }
}

/// The namespaces of a worker: one whose plugins reach others by the network has that. Which
/// those are is a matter of its tenant, and of no other.
#[must_use]
pub fn namespaces_for(plan: &Plan, plugins: &[String]) -> Plan {
    let network = plugins.iter().any(|plugin| {
        let name = crate::worker::jail::plugin_name(plugin);
        vaccel_jail::Profile::of(name).calls.network
    });
    match network {
        true => plan.with_network_shared(),
        false => plan.clone(),
    }
}

/// A jail for the workers of an agent.
#[derive(Debug, Clone, Default)]
pub struct Prepared {
    /// For the worker itself.
    pub options: JailOptions,
    /// For its start.
    pub namespaces: Plan,
    /// For its start, too.
    pub pid_namespace: bool,
    /// Where each has a control group.
    pub groups: Option<Groups>,
}

impl Prepared {
    /// For the worker's command line.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Texts, numbers and paths that came as texts.
        serde_json::to_string(&self.options).unwrap_or_else(|_| "{}".to_owned())
    }

    /// Workers are locked in at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.options.mode != Mode::Off
    }
}

/// The JSON of [`Prepared::to_json`].
///
/// # Errors
/// Where it is none.
pub fn parse(json: &str) -> Result<JailOptions, String> {
    serde_json::from_str(json).map_err(|e| e.to_string())
}

/// Tries what this machine has, warns once of each part that it lacks, and fills in limits.
/// Called with one thread.
///
/// # Errors
/// In strict mode, when a part is missing; paths that are none.
pub fn prepare(options: &Options) -> Result<Prepared> {
    let mut asked = options.jail.options();
    for path in asked.read.iter_mut().chain(&mut asked.write) {
        *path = std::path::absolute(&*path)?;
        if path.to_str().is_none() {
            bail!("--jail-read, --jail-write: {} is not UTF-8", path.display());
        }
    }
    if asked.mode == Mode::Off {
        warn!(
            "--jail off: workers are NOT locked in; whoever may connect can do what this user \
             can, through any fault of a plugin. For debugging only"
        );
        return Ok(Prepared {
            options: asked,
            ..Prepared::default()
        });
    }
    // Content that is kept comes as a descriptor, which plugins open once more by its name in
    // /proc; files are named by the hash of what is in them.
    if let Some(folder) = options.cache_folder() {
        asked
            .known
            .push(std::path::absolute(folder)?.join("objects"));
    }
    let report = probe::report();
    if let (Mode::Strict, Some(lacks)) = (asked.mode, report.lacks()) {
        bail!("--jail strict: this machine cannot lock workers in: {lacks}");
    }
    for held in report.missing() {
        match held.part {
            // Nothing can be started where system calls are filtered, so this one is no danger
            // by itself.
            Part::Processes => debug!("jail: {}: {}", held.part, held.detail),
            // Told of where they are asked for.
            Part::PidNamespace | Part::ControlGroup => {}
            _ => warn!("jail: workers go without {}: {}", held.part, held.detail),
        }
    }
    let pid_namespace = options.jail.jail_pid_namespace && {
        let held = report
            .parts
            .iter()
            .find(|held| held.part == Part::PidNamespace);
        let lacks = held
            .filter(|held| !held.holds)
            .map(|held| held.detail.clone());
        go_without(asked.mode, "--jail-pid-namespace", lacks)?
    };
    let groups = groups(options.jail.cgroup.as_deref(), asked.mode)?;
    let namespaces = match Plan::find().unwrap_or_default() {
        plan if asked.network == Some(true) => plan.with_network_shared(),
        plan => plan,
    };
    let largest = options.max_resources.max(options.max_frame);
    asked
        .file_size
        .get_or_insert(largest.max(options.max_shared));
    asked.files.get_or_insert(FILES);
    if namespaces.counts_processes() {
        asked.processes.get_or_insert(PROCESSES);
    }
    Ok(Prepared {
        options: asked,
        namespaces,
        pid_namespace,
        groups,
    })
}

/// Whether what an option asks for is to be had; one warning where it is not.
///
/// # Errors
/// In strict mode, where it is not.
fn go_without(mode: Mode, option: &str, lacks: Option<String>) -> Result<bool> {
    match (mode, lacks) {
        (_, None) => Ok(true),
        (Mode::Strict, Some(why)) => bail!("{option}, with --jail strict: {why}"),
        (_, Some(why)) => {
            warn!("{option}: workers go without: {why}");
            Ok(false)
        }
    }
}

/// Where workers have control groups, as `--cgroup` says.
fn groups(asked: Option<&Path>, mode: Mode) -> Result<Option<Groups>> {
    let Some(asked) = asked else {
        return Ok(None);
    };
    let found = match asked.to_str() {
        Some("none") => return Ok(None),
        Some("own") => Groups::own(),
        _ => Ok(std::path::absolute(asked)?),
    };
    let (lacks, groups) = match found.and_then(|folder| Groups::open(&folder)) {
        Ok((groups, missing)) if missing.is_empty() => (None, Some(groups)),
        Ok((groups, missing)) => (Some(missing.join("; ")), Some(groups)),
        Err(why) => (Some(why), None),
    };
    // What there is of it is used all the same.
    go_without(mode, "--cgroup", lacks)?;
    Ok(groups)
}
