//! The agent of the demo and of the benchmarks: started, waited for, ended.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running agent; ended when dropped.
pub(crate) struct Agent {
    child: Child,
    addresses: Vec<String>,
    folder: PathBuf,
}

impl Agent {
    /// Starts an agent with the embedded backend on a Unix socket of its own.
    pub(crate) fn start(prefix: &Path) -> Result<Self> {
        Self::start_with(prefix, "onnx", &[], &[])
    }

    /// Starts an agent with these plugins, on a Unix socket and further addresses.
    pub(crate) fn start_with(
        prefix: &Path,
        plugins: &str,
        addresses: &[&str],
        options: &[&str],
    ) -> Result<Self> {
        // Not below target/: the path of a socket has at most 107 bytes.
        let folder = std::env::temp_dir().join(format!("vaccel-xtask-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let mut command = Command::new(prefix.join("bin/vaccel-agent"));
        command
            .arg("--address")
            .arg(format!("unix://{}", folder.join("agent.sock").display()))
            .args(["--plugins", plugins])
            .args(options)
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
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("agent.sock")
    }

    /// The address of the Unix socket.
    pub(crate) fn address(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// All addresses, with real port numbers.
    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
