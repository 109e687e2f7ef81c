//! Real agents: processes of `vaccel-agent` with their workers.

use super::until;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use vaccel_plugin::testing::built_library;

/// A running agent on a Unix socket; killed when dropped.
pub(crate) struct Process {
    child: Child,
    folder: tempfile::TempDir,
}

/// The folder of the programs, which are built where they are missing.
fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let folder = built_library("vaccel_rpc").parent().unwrap().to_owned();
        let folder = match folder.ends_with("deps") {
            true => folder.parent().unwrap().to_owned(),
            false => folder,
        };
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "-p", "vaccel-agent", "-p", "vaccel-ffi"]);
        cargo.args(["-p", "vaccel-plugin-noop", "-p", "vaccel-plugin-exec"]);
        if folder.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success());
        assert!(folder.join("vaccel-agent").exists(), "{folder:?}");
        folder
    })
}

impl Process {
    pub(crate) fn start(plugins: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = spawn(folder.path(), plugins);
        Self { child, folder }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("agent.sock")
    }

    pub(crate) fn address(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn workers(&self) -> Vec<u32> {
        children(self.id())
    }

    /// Kills the agent; its workers die with it.
    pub(crate) fn kill(&mut self) {
        let workers = self.workers();
        signal(self.id(), libc::SIGKILL);
        self.child.wait().unwrap();
        until("the workers are gone", || {
            workers.iter().all(|w| !is_alive(*w))
        });
    }

    /// Starts it again in the same place.
    pub(crate) fn start_again(&mut self, plugins: &str) {
        self.child = spawn(self.folder.path(), plugins);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(folder: &Path, plugins: &str) -> Child {
    let mut child = Command::new(programs().join("vaccel-agent"))
        .arg("-a")
        .arg(format!("unix://{}", folder.join("agent.sock").display()))
        .arg("--run-dir")
        .arg(folder.join("run"))
        .args(["--plugins", plugins, "--log-level", "error"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    assert!(line.starts_with("listening on unix://"), "{line}");
    child
}

/// Sends a signal to a process that a test started.
pub(crate) fn signal(process: u32, signal: i32) {
    // SAFETY: a plain system call; tests name only their own processes.
    assert_eq!(unsafe { libc::kill(process.cast_signed(), signal) }, 0);
}

pub(crate) fn is_alive(process: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z "))
}

fn children(process: u32) -> Vec<u32> {
    let tasks = format!("/proc/{process}/task/{process}/children");
    if let Ok(list) = std::fs::read_to_string(tasks) {
        return list
            .split_whitespace()
            .map(|p| p.parse().unwrap())
            .collect();
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<u32>().ok());
        if parent == Some(process) && !stat.contains(") Z ") {
            found.push(pid);
        }
    }
    found
}

/// Processes of the workers, once there are so many.
pub(crate) fn workers_of(agent: &Process, least: usize) -> Vec<u32> {
    let mut workers = Vec::new();
    until("workers run", || {
        workers = agent.workers();
        workers.len() >= least
    });
    workers
}
