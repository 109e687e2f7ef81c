//! A running `vaccel-agent`.

use crate::Program;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// An agent of a staged installation, on a Unix socket of its own; ended when dropped.
pub struct Agent {
    child: Child,
    addresses: Vec<String>,
    folder: tempfile::TempDir,
}

impl Agent {
    /// Starts an agent with these plugins, on its Unix socket and on further
    /// addresses, and waits until it listens.
    ///
    /// # Errors
    /// When the agent does not start.
    pub fn start(
        prefix: &Path,
        plugins: &str,
        addresses: &[&str],
        options: &[&str],
    ) -> Result<Self> {
        Self::start_with(prefix, plugins, addresses, options, &[])
    }

    /// [`start`](Self::start) with variables, which its workers have too.
    ///
    /// # Errors
    /// When the agent does not start.
    pub fn start_with(
        prefix: &Path,
        plugins: &str,
        addresses: &[&str],
        options: &[&str],
        env: &[(&str, &str)],
    ) -> Result<Self> {
        // Not below target/: the path of a socket has at most 107 bytes.
        let folder = tempfile::Builder::new().prefix("vaccel-").tempdir()?;
        let mut command = Command::new(prefix.join("bin/vaccel-agent"));
        command
            .arg("--address")
            .arg(format!(
                "unix://{}",
                folder.path().join("agent.sock").display()
            ))
            .args(["--plugins", plugins, "--log-level", "warn"])
            .arg("--cache")
            .arg(folder.path().join("cache"))
            .args(options)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        for address in addresses {
            command.args(["--address", address]);
        }
        let mut child = command.spawn().context("cannot start vaccel-agent")?;
        let stdout = child.stdout.take().context("the agent has no output")?;
        let mut agent = Self {
            child,
            addresses: Vec::new(),
            folder,
        };
        let mut lines = BufReader::new(stdout).lines();
        while agent.addresses.len() <= addresses.len() {
            let Some(line) = lines.next().transpose()? else {
                bail!("vaccel-agent ended before it listened; its messages are above");
            };
            if let Some(address) = line.trim().strip_prefix("listening on ") {
                agent.addresses.push(address.to_string());
            }
        }
        // The pipe must stay open, and may not fill up.
        std::thread::spawn(move || for _ in lines {});
        Ok(agent)
    }

    /// The Unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("agent.sock")
    }

    /// The address of the Unix socket.
    #[must_use]
    pub fn address(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// All addresses, the Unix socket first, with real port numbers.
    #[must_use]
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Process number of the agent.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Process numbers of its workers.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn workers(&self) -> Result<Vec<u32>> {
        let mut workers = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let Ok(pid) = entry?.file_name().to_string_lossy().parse::<u32>() else {
                continue;
            };
            // "pid (name) state parent ...": the name may hold anything, so from the last ')'.
            let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
                continue;
            };
            let parent = stat
                .rsplit(')')
                .next()
                .and_then(|rest| rest.split_whitespace().nth(1));
            let alive = !stat.contains(") Z ");
            if alive && parent == Some(&self.id().to_string()) {
                workers.push(pid);
            }
        }
        Ok(workers)
    }

    /// True while the agent runs.
    ///
    /// # Errors
    /// When its state cannot be asked for.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Asks the agent to end, and waits for it.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        Ok(self.child.wait()?)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// `strict` where this machine can lock workers in wholly, which is when nothing is left open.
///
/// # Errors
/// When `vaccel info` does not say.
pub fn strictest_jail(prefix: &Path) -> Result<&'static str> {
    let report = Program::new(prefix, "vaccel")
        .args(["info", "--security", "--json"])
        .output()?;
    let report: serde_json::Value = serde_json::from_str(&report)?;
    Ok(match report["strict"] == true {
        true => "strict",
        false => "on",
    })
}
