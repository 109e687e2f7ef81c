//! An agent that hostile clients come to, and what its processes hold.

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use vaccel_transport::Address;

/// An agent with a folder of its own, and a log in it; ended when dropped.
pub struct Host {
    child: Child,
    /// It has been waited for: its number may be another process's by now.
    over: AtomicBool,
    folder: tempfile::TempDir,
}

/// What the processes of an agent hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Workers.
    pub workers: usize,
    /// Descriptors of the agent itself.
    pub descriptors: usize,
    /// Files and folders below its run-time folder.
    pub files: usize,
    /// Memory of the agent itself, KiB: resident, of no other process.
    pub memory: u64,
}

impl Host {
    /// Starts the agent of a staged installation and waits until it listens.
    ///
    /// `prepare` is a line of shell that comes before the agent in the same process:
    /// limits (`ulimit`), namespaces. In it `$DIR` is the folder, whose `run` is the
    /// agent's, and the agent follows as `"$@"`.
    ///
    /// # Errors
    /// When it does not start, with its log.
    pub fn start(prefix: &Path, plugins: &str, options: &[&str], prepare: &str) -> Result<Self> {
        // Not below target/: the path of a socket has at most 107 bytes.
        let folder = tempfile::Builder::new().prefix("vaccel-").tempdir()?;
        fs::create_dir(folder.path().join("run"))?;
        let child = spawn(&folder, prefix, plugins, options, prepare)?;
        let mut host = Self {
            child,
            over: AtomicBool::new(false),
            folder,
        };
        host.wait_until_it_listens()?;
        Ok(host)
    }

    /// Starts another agent in the same folder; this one has ended.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_again(&mut self, prefix: &Path, plugins: &str, options: &[&str]) -> Result<()> {
        self.end(Signal::KILL);
        self.child = spawn(&self.folder, prefix, plugins, options, "")?;
        self.over.store(false, Ordering::SeqCst);
        self.wait_until_it_listens()
    }

    fn wait_until_it_listens(&mut self) -> Result<()> {
        let stdout = self
            .child
            .stdout
            .take()
            .context("the agent has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        match lines.next().transpose()? {
            Some(text) if text.starts_with("listening on ") => {}
            other => bail!("the agent did not begin: {other:?}\n{}", self.log()),
        }
        // The pipe must stay open, and may not fill up.
        std::thread::spawn(move || for _ in lines {});
        Ok(())
    }

    /// Where it listens.
    ///
    /// # Panics
    /// Never: the path is one that an address can say.
    #[must_use]
    pub fn address(&self) -> Address {
        let text = format!("unix://{}", self.socket().display());
        text.parse().expect("a path without special characters")
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    /// A folder that goes with it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Process number of the agent.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it and its workers have said.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.folder.path().join("log"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// True while it runs.
    pub fn is_running(&mut self) -> bool {
        let runs = matches!(self.child.try_wait(), Ok(None));
        self.over.store(!runs, Ordering::SeqCst);
        runs
    }

    /// Process numbers of its workers.
    #[must_use]
    pub fn workers(&self) -> Vec<u32> {
        children_of(self.id())
    }

    /// The worker that serves a connection, as the log tells.
    ///
    /// # Errors
    /// When the log does not tell within 20 s; the agent must log at `info`.
    pub fn worker_of(&self, connection: u64) -> Result<u32> {
        let mark = format!("connection {connection}: from ");
        let mut found = None;
        crate::wait_until("the log names the worker", Duration::from_secs(20), || {
            let log = self.log();
            found = log
                .lines()
                .filter(|line| line.contains(&mark))
                .find_map(|line| {
                    let (_, rest) = line.split_once("served by worker ")?;
                    let (_, rest) = rest.split_once("(process ")?;
                    rest.split(')').next()?.parse().ok()
                });
            found.is_some()
        })?;
        found.context("no worker")
    }

    /// What its processes hold now.
    #[must_use]
    pub fn held(&self) -> Held {
        let id = self.id();
        let entries = fs::read_dir(format!("/proc/{id}/fd"));
        Held {
            workers: self.workers().len(),
            descriptors: entries.map_or(0, Iterator::count),
            // As the agent sees it, also where its folder is mounted for it alone.
            files: count_below(
                &Path::new(&format!("/proc/{id}/root"))
                    .join(
                        self.folder
                            .path()
                            .strip_prefix("/")
                            .unwrap_or(Path::new("")),
                    )
                    .join("run"),
            ),
            memory: private_memory(id),
        }
    }

    /// What its processes hold once it has so many workers and nothing has changed for a while:
    /// a worker that is starting still makes files.
    ///
    /// # Errors
    /// When that does not happen.
    pub fn at_rest(&self, workers: usize) -> Result<Held> {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut before = self.held();
        let mut calm = 0;
        while calm < 4 {
            if Instant::now() > deadline {
                bail!(
                    "it does not come to rest: {before:?}\n{}",
                    tail(&self.log())
                );
            }
            std::thread::sleep(Duration::from_millis(25));
            let now = self.held();
            let same = (now.workers, now.descriptors, now.files)
                == (before.workers, before.descriptors, before.files);
            calm = if same && now.workers == workers {
                calm + 1
            } else {
                0
            };
            before = now;
        }
        Ok(before)
    }

    /// Waits until it holds no more than `before`, but for 4 MiB of memory.
    ///
    /// # Errors
    /// What it still holds after `limit`, or that it has ended.
    pub fn settles(&mut self, before: Held, limit: Duration) -> Result<Held> {
        let deadline = Instant::now() + limit;
        loop {
            if !self.is_running() {
                bail!("the agent has ended:\n{}", tail(&self.log()));
            }
            let now = self.held();
            if now.workers <= before.workers
                && now.descriptors <= before.descriptors
                && now.files <= before.files
                && now.memory <= before.memory + (4 << 10)
            {
                return Ok(now);
            }
            if Instant::now() > deadline {
                bail!("before {before:?}, after {now:?}\n{}", tail(&self.log()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends the agent a signal.
    pub fn signal(&self, signal: Signal) {
        if !self.over.load(Ordering::SeqCst) {
            signal_to(self.id(), signal);
        }
    }

    /// Ends it by a signal and waits for that.
    pub fn end(&mut self, signal: Signal) {
        self.signal(signal);
        // Stopped processes end only once they go on.
        self.signal(Signal::CONT);
        let _ = self.child.wait();
        self.over.store(true, Ordering::SeqCst);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.end(Signal::TERM);
    }
}

fn spawn(
    folder: &tempfile::TempDir,
    prefix: &Path,
    plugins: &str,
    options: &[&str],
    prepare: &str,
) -> Result<Child> {
    let agent = prefix.join("bin/vaccel-agent");
    let dir = folder.path();
    let script = match prepare {
        "" => "exec \"$@\"".to_owned(),
        prepare if prepare.contains("exec ") => prepare.to_owned(),
        prepare => format!("{prepare} && exec \"$@\""),
    };
    let log = File::options()
        .create(true)
        .append(true)
        .open(dir.join("log"))?;
    Command::new("sh")
        .args(["-c", &script, "sh"])
        .arg(&agent)
        .arg("--address")
        .arg(format!("unix://{}", dir.join("s").display()))
        .arg("--run-dir")
        .arg(dir.join("run"))
        .args(["--plugins", plugins])
        // Workers may load the library that misbehaves.
        .arg("--jail-read")
        .arg(library()?)
        .args(options)
        .env("DIR", dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {}", agent.display()))
}

/// Sends a signal to a process that this one has started, or a worker of it.
pub(crate) fn signal_to(process: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(process.cast_signed()) {
        let _ = kill_process(pid, signal);
    }
}

fn tail(log: &str) -> &str {
    let mut from = log.len().saturating_sub(3000);
    while !log.is_char_boundary(from) {
        from += 1;
    }
    &log[from..]
}

/// Processes that a process has started and that run.
pub(crate) fn children_of(process: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        // pid (name) state parent ...: the name may hold anything.
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let mut fields = rest.split(' ');
        let alive = fields.next() != Some("Z");
        if alive && fields.next().and_then(|p| p.parse().ok()) == Some(process) {
            found.push(pid);
        }
    }
    found
}

fn count_below(folder: &Path) -> usize {
    let mut count = 0;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        // What the cache keeps is meant to stay.
        if entry.file_name() == "cache" {
            continue;
        }
        count += 1;
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            count += count_below(&entry.path());
        }
    }
    count
}

/// Memory that a process has written to and that no other has, KiB. (Pages of a program's file
/// become one's own when another process of the same program ends.)
pub(crate) fn private_memory(process: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.strip_prefix("Private_Dirty:"))
        .filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok())
        .sum()
}

/// The library with functions that misbehave, compiled once.
///
/// # Errors
/// When there is no C++ compiler.
pub fn library() -> Result<&'static Path> {
    static BUILT: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    compiled(&BUILT, "c++", "library.cpp")
}

/// The wall clock that jumps, to be preloaded; compiled once.
///
/// # Errors
/// When there is no C compiler.
pub fn shim() -> Result<&'static Path> {
    static BUILT: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    compiled(&BUILT, "cc", "clock.c")
}

fn compiled(
    built: &'static OnceLock<(tempfile::TempDir, PathBuf)>,
    compiler: &str,
    source: &str,
) -> Result<&'static Path> {
    if built.get().is_none() {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("library.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("hostile")
            .join(source);
        let status = Command::new(compiler)
            .args(["-O1", "-w", "-shared", "-fPIC", "-o"])
            .arg(&path)
            .arg(&source)
            .status()
            .with_context(|| format!("cannot start {compiler}, which compiles the test library"))?;
        if !status.success() {
            bail!("{compiler} cannot compile {}", source.display());
        }
        // Another thread may have been quicker; its library is as good.
        let _ = built.set((dir, path));
    }
    let (_, path) = built.get().context("just set")?;
    Ok(path)
}
