//! Real agents and workers, and a client that speaks the protocol.
#![allow(dead_code, clippy::unwrap_used, missing_docs, unreachable_pub)]

mod client;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use vaccel_transport::{Address, CallError, ConnectError, Stream};

#[allow(unused_imports)] // not every test has both
pub use client::{Client, Hold};

/// No test waits longer than this for anything.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub const AGENT: &str = env!("CARGO_BIN_EXE_vaccel-agent");
pub const WORKER: &str = env!("CARGO_BIN_EXE_vaccel-worker");

/// A folder that workers of tests may use beside their own.
pub const OPEN: &str = env!("CARGO_TARGET_TMPDIR");

/// Flags of a session that the exec plugin serves.
pub const EXEC: u32 = vaccel_abi::plugin::PLUGIN_GENERIC;

/// Builds the library and the plugins that the tests load where they are missing; they
/// lie beside the agent, which is where it looks for them.
///
/// What is there is taken as it is: `cargo build` brings it up to date.
pub fn build_library() {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = Path::new(AGENT).parent().unwrap();
        let files = ["libvaccel.so", "libvaccel_noop.so", "libvaccel_exec.so"];
        let missing = || files.iter().find(|file| !folder.join(file).exists());
        if missing().is_none() {
            return;
        }
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "-p", "vaccel-ffi"]);
        cargo.args(["-p", "vaccel-plugin-noop", "-p", "vaccel-plugin-exec"]);
        if folder.ends_with("release") {
            cargo.arg("--release");
        }
        let built = cargo.status().unwrap().success();
        assert!(
            built && missing().is_none(),
            "{:?} cannot be built in {folder:?}",
            missing()
        );
    });
}

/// Waits until something is so.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// A running agent with a folder of its own.
pub struct Agent {
    child: Child,
    dir: Arc<TempDir>,
    pub addresses: Vec<Address>,
}

impl Agent {
    /// With the noop and exec plugins, on a Unix socket.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_with("noop,exec", &[], arguments)
    }

    /// Waits until clients may come.
    pub fn start_with(plugins: &str, environment: &[(&str, &str)], arguments: &[&str]) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        Self::start_in(dir, plugins, environment, arguments)
    }

    /// One more in the folder of this one, which has ended.
    pub fn start_again(&self) -> Self {
        self.start_again_with(&[])
    }

    pub fn start_again_with(&self, arguments: &[&str]) -> Self {
        Self::start_in(Arc::clone(&self.dir), "noop,exec", &[], arguments)
    }

    fn start_in(
        dir: Arc<TempDir>,
        plugins: &str,
        environment: &[(&str, &str)],
        arguments: &[&str],
    ) -> Self {
        build_library();
        let mut command = Self::command(&dir, plugins, arguments);
        command.envs(environment.iter().copied());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut addresses = Vec::new();
        let expected = 1 + arguments.iter().filter(|a| **a == "-a").count();
        for line in stdout.lines() {
            let line = line.unwrap();
            let address = line.strip_prefix("listening on ").unwrap();
            addresses.push(address.parse().unwrap());
            if addresses.len() == expected {
                break;
            }
        }
        let agent = Self {
            child,
            dir,
            addresses,
        };
        assert_eq!(
            agent.addresses.len(),
            expected,
            "the agent ended:\n{}",
            agent.log()
        );
        agent
    }

    /// The command line, for an agent that is expected to end.
    pub fn command(dir: &TempDir, plugins: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(AGENT);
        command
            .arg("-a")
            .arg(format!(
                "unix://{}",
                dir.path().join("agent.sock").display()
            ))
            .arg("--run-dir")
            .arg(dir.path().join("run"))
            .args(["--plugins", plugins, "--log-level", "debug"])
            .args(["--jail-write", OPEN])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(dir.path().join("log")).unwrap());
        command
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn address(&self) -> &Address {
        &self.addresses[0]
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    pub fn connect(&self) -> Client {
        match self.try_connect() {
            Ok(client) => client,
            Err(e) => panic!("{e}\n{}", self.log()),
        }
    }

    pub fn try_connect(&self) -> Result<Client, ConnectError> {
        Client::to(self.address())
    }

    /// A stream on which nothing has been said yet.
    pub fn stream(&self) -> Stream {
        Stream::connect(self.address(), PATIENCE).unwrap()
    }

    /// Processes of the agent's workers.
    pub fn workers(&self) -> Vec<u32> {
        children_of(self.child.id())
    }

    /// The worker that serves a connection, as the log tells.
    pub fn worker_of(&self, client: &Client) -> u32 {
        self.worker_numbered(client.connection.granted().connection)
    }

    /// The worker that serves the connection of a number.
    pub fn worker_numbered(&self, number: u64) -> u32 {
        let mark = format!("connection {number}: from ");
        let mut process = None;
        wait_until("the log names the worker", || {
            process = self
                .log()
                .lines()
                .filter(|line| line.contains(&mark))
                .find_map(|line| {
                    let (_, rest) = line.split_once("(process ")?;
                    rest.strip_suffix(')')?.parse().ok()
                });
            process.is_some()
        });
        process.unwrap()
    }

    /// Folders of workers that there are.
    pub fn folders(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let Ok(agents) = std::fs::read_dir(self.dir.path().join("run")) else {
            return found;
        };
        let ours = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b"agent.");
        for agent in agents.flatten().filter(|entry| ours(&entry.file_name())) {
            let Ok(inside) = std::fs::read_dir(agent.path()) else {
                continue;
            };
            found.extend(inside.flatten().map(|e| e.path()).filter(|p| p.is_dir()));
        }
        found
    }

    pub fn signal(&self, signal: i32) {
        kill(self.child.id(), signal);
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the agent ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Ends the agent politely and checks that nothing is left.
    pub fn stop(mut self) -> String {
        let workers = self.workers();
        self.signal(libc::SIGTERM);
        let status = self.wait();
        let log = self.log();
        assert!(status.success(), "{status}\n{log}");
        for worker in workers {
            assert!(!is_alive(worker), "worker {worker} lives\n{log}");
        }
        assert!(self.folders().is_empty(), "{:?}\n{log}", self.folders());
        assert!(!self.dir.path().join("agent.sock").exists());
        log
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The library made of `helper.c` and `malice.c`, compiled once.
pub fn helper() -> &'static Path {
    static HELPER: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = HELPER.get_or_init(|| {
        let dir = tempfile::tempdir_in(OPEN).unwrap();
        let path = dir.path().join("helper.so");
        let sources = [
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/helper.c"),
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/malice.c"),
        ];
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
        let status = Command::new(&compiler)
            .args(["-shared", "-fPIC", "-o"])
            .arg(&path)
            .args(sources)
            .status()
            .unwrap_or_else(|e| {
                panic!("{compiler}: {e}; a C compiler is needed, as for libvaccel")
            });
        assert!(status.success());
        (dir, path)
    });
    path
}

pub fn number(bytes: &[u8]) -> i64 {
    i64::from_le_bytes(bytes.try_into().unwrap())
}

pub fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect()
}

pub fn float_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// Sends a signal to a process that a test started.
pub fn kill(process: u32, signal: i32) {
    let process = i32::try_from(process).unwrap();
    // SAFETY: a plain system call; tests only name their own children and their workers.
    let code = unsafe { libc::kill(process, signal) };
    assert_eq!(code, 0);
}

/// Ends a worker while all of its threads wait.
pub fn kill_at_rest(worker: u32) {
    wait_for_rest(worker);
    kill(worker, libc::SIGKILL);
}

/// Waits until all threads of a worker do: one that ends between sending a reply and noting that
/// all of it is sent has its client hung up on without a word, lest words come into a frame.
fn wait_for_rest(worker: u32) {
    wait_until("the threads of the worker wait", || {
        let threads = std::fs::read_dir(format!("/proc/{worker}/task")).unwrap();
        threads.flatten().all(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // The state comes after the name, which is in brackets.
            stat.rsplit(") ").next().is_some_and(|s| s.starts_with('S'))
        })
    });
}

/// The call failed because the worker has ended, and the client knows how.
pub fn assert_lost<T: std::fmt::Debug>(result: &Result<T, CallError>, how: &str) {
    let lost = matches!(result, Err(CallError::Lost(..)));
    let text = result
        .as_ref()
        .map_or_else(ToString::to_string, |_| String::new());
    assert!(lost && text.contains(how), "{how} is missing: {result:?}");
    assert!(text.contains("its sessions are lost"), "{text}");
}

/// Clients read how their workers ended: of a crash in a call, of a signal in no call, and of one
/// while several wait.
pub fn reads_how_its_worker_ended(agent: &Agent, connect: &dyn Fn() -> Client) {
    const KILLED: &str = "killed by signal 9 (SIGKILL)";
    let client = connect();
    let session = client.open_session(EXEC);
    wait_for_rest(agent.worker_of(&client));
    let result = client.exec(session, "crash", &[], None, None);
    assert_lost(&result, "killed by signal 11 (SIGSEGV)");
    // Also one that is in no call just then, and several who wait.
    let client = connect();
    client.connection.ping(PATIENCE).unwrap();
    kill_at_rest(agent.worker_of(&client));
    wait_until("it is seen that the agent has hung up", || {
        !client.connection.probe()
    });
    let error = client.connection.ping(PATIENCE).unwrap_err();
    let text = error.to_string();
    assert!(error.is_lost() && text.contains(KILLED), "{text}");
    assert!(text.contains("its sessions are lost"), "{text}");
    let client = connect();
    let session = client.open_session(EXEC);
    let worker = agent.worker_of(&client);
    let holds = [Hold::new(), Hold::new(), Hold::new()];
    std::thread::scope(|scope| {
        let calls = holds.each_ref().map(|hold| {
            let client = &client;
            scope.spawn(move || hold.run(client, session, None))
        });
        holds.iter().for_each(Hold::wait_until_begun);
        kill_at_rest(worker);
        for call in calls {
            assert_lost(&call.join().unwrap(), KILLED);
        }
    });
}

/// True while a process is there and has not ended.
pub fn is_alive(process: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z "))
}

pub fn children_of(process: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let mut stat = String::new();
        let read =
            File::open(entry.path().join("stat")).and_then(|mut f| f.read_to_string(&mut stat));
        // pid (name) state parent ...
        let parent = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        if read.is_ok() && parent == Some(process) && !stat.contains(") Z ") {
            found.push(pid);
        }
    }
    found
}

/// Open descriptors of a process.
pub fn descriptors(process: u32) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd"))
        .unwrap()
        .count()
}
