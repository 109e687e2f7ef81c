//! A program of the installation, run to its end within a time limit.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest that any program of a test may take.
const LIMIT: Duration = Duration::from_secs(120);

/// A program about to be run.
pub struct Program(Command);

/// What a program did.
#[derive(Debug)]
pub struct Run {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Run {
    /// The standard output of a program that succeeded.
    ///
    /// # Errors
    /// When it failed, with what it printed.
    pub fn success(self) -> Result<String> {
        if self.code != Some(0) {
            bail!(
                "exit code {:?}\n{}\n{}",
                self.code,
                self.stdout,
                self.stderr
            );
        }
        Ok(self.stdout)
    }
}

impl Program {
    /// `bin/NAME` of an installation, without any `VACCEL_` variable of this process.
    #[must_use]
    pub fn new(prefix: &Path, name: &str) -> Self {
        Self::at(&prefix.join("bin").join(name))
    }

    /// A program anywhere.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        let mut command = Command::new(path);
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("VACCEL_") {
                command.env_remove(key);
            }
        }
        command.stdin(Stdio::null());
        Self(command)
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.0.arg(arg);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.0.args(args);
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(key, value);
        self
    }

    /// Sets variables.
    #[must_use]
    pub fn envs<K: AsRef<OsStr>, V: AsRef<OsStr>>(mut self, settings: &[(K, V)]) -> Self {
        self.0
            .envs(settings.iter().map(|(key, value)| (key, value)));
        self
    }

    /// The conformance driver, at a path that only a test of this package knows, on
    /// the staged library.
    ///
    /// # Errors
    /// When nothing is staged.
    pub fn driver(path: &str, groups: &[&str]) -> Result<Self> {
        let library = crate::stage()?.join("lib/libvaccel.so.0");
        Ok(Self::at(Path::new(path))
            .env("VACCEL_LIBRARY", library)
            .args(groups))
    }

    /// Starts the program without waiting for it; its output is collected.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(mut self) -> Result<Running> {
        let name = self.0.get_program().to_string_lossy().into_owned();
        let mut child = self
            .0
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let stdout = collect(child.stdout.take());
        let stderr = collect(child.stderr.take());
        Ok(Running {
            name,
            child,
            stdout,
            stderr,
        })
    }

    /// Runs the program to its end.
    ///
    /// # Errors
    /// When it cannot be started or takes too long; not when it fails.
    pub fn run(self) -> Result<Run> {
        self.spawn()?.wait()
    }

    /// Runs the program, which must succeed, and returns its standard output.
    ///
    /// # Errors
    /// When it fails, with what it printed.
    pub fn output(self) -> Result<String> {
        self.run()?.success()
    }
}

/// A program that runs; killed when dropped.
pub struct Running {
    name: String,
    child: Child,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
}

impl Running {
    /// Process number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// When it takes too long; it is killed then.
    pub fn wait(mut self) -> Result<Run> {
        let deadline = Instant::now() + LIMIT;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if Instant::now() > deadline {
                bail!("{} did not end within {} s", self.name, LIMIT.as_secs());
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let text = |handle: Option<JoinHandle<String>>| {
            handle.and_then(|h| h.join().ok()).unwrap_or_default()
        };
        Ok(Run {
            code: status.code(),
            stdout: text(self.stdout.take()),
            stderr: text(self.stderr.take()),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> Option<JoinHandle<String>> {
    pipe.map(|mut pipe| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = pipe.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        })
    })
}
