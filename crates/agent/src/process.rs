//! A worker process: started, told, watched, ended.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid,
};

use vaccel_jail::groups::{Bounds, Group, Groups};
use vaccel_jail::namespaces::{Numbers, Plan};

use crate::counts::shared::Shared;
use crate::environment::environment;
use crate::handoff::{self, ToAgent, ToWorker};
use crate::warn;

/// How to start workers.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The program.
    pub program: PathBuf,
    /// Its arguments, but for the plugins and the folder.
    pub arguments: Vec<OsString>,
    /// Further variables to pass on.
    pub pass_env: Vec<String>,
    /// Variables with values of the agent's choice.
    pub set_env: Vec<(String, OsString)>,
    /// Namespaces of its own.
    pub namespaces: Plan,
    /// It is the first process of a PID namespace of its own, too.
    pub pid_namespace: bool,
    /// Where each has a control group.
    pub groups: Option<Groups>,
    /// Files that belong to a user are to be in its folder: it can write nowhere else.
    pub jailed: bool,
    /// The program is told where to count.
    pub counts: bool,
}

/// A worker process that has not been waited for.
#[derive(Debug)]
pub struct Process {
    child: Child,
    channel: OwnedFd,
    folder: PathBuf,
    counts: Option<Arc<Shared>>,
    /// Goes last, with what is still in it.
    group: Option<Group>,
}

impl Process {
    /// Starts a worker that loads some plugins, with a private folder. It dies with the thread
    /// that calls this.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(recipe: &Recipe, plugins: &[String], folder: PathBuf) -> Result<Self> {
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .context("cannot make a socket pair")?;
        // Without it the worker counts for itself, and nobody sees it.
        let counts = Shared::create()
            .inspect_err(|e| warn!("no figures of a worker: {e}"))
            .ok()
            .map(Arc::new);
        let mut command = Command::new(&recipe.program);
        command.args(&recipe.arguments);
        if !plugins.is_empty() {
            // Workers run in a folder of their own.
            let names = plugins.iter().map(|plugin| match plugin.contains('/') {
                true => Ok(std::path::absolute(plugin)?.into_os_string()),
                false => Ok(OsString::from(plugin)),
            });
            let names = names.collect::<io::Result<Vec<_>>>()?;
            command.arg("--plugins").arg(names.join(OsStr::new(",")));
        }
        command
            .arg("--dir")
            .arg(&folder)
            // The number stays as it is: a fixed one could be in use by the standard
            // library's own pipe for the result of exec.
            .arg("--fd")
            .arg(theirs.as_raw_fd().to_string())
            .env_clear()
            .envs(environment(&recipe.pass_env))
            .envs(recipe.set_env.iter().map(|(name, value)| (name, value)))
            .env("VACCEL_RUNDIR", &folder)
            .current_dir(&folder)
            .stdin(Stdio::null())
            // The library logs to standard output; ours belongs to whoever waits for
            // "listening on".
            .stdout(io::stderr().as_fd().try_clone_to_owned()?);
        if recipe.jailed {
            for name in ["HOME", "TMPDIR", "XDG_CACHE_HOME"] {
                command.env(name, &folder);
            }
        }
        let namespaces = crate::jail::namespaces_for(&recipe.namespaces, plugins);
        if let (Some(counts), true) = (&counts, recipe.counts) {
            let number = counts.as_fd().as_raw_fd();
            command.arg("--counts").arg(number.to_string());
        }
        let parent = rustix::process::getpid();
        let mut passed = vec![theirs.as_raw_fd()];
        passed.extend(
            counts
                .iter()
                .filter(|_| recipe.counts)
                .map(|c| c.as_fd().as_raw_fd()),
        );
        // From inside a PID namespace a parent outside has no number.
        let parent = (!recipe.pid_namespace).then_some(parent);
        // SAFETY: only calls that may be made between fork and exec; the descriptor
        // stays open until after `spawn`.
        unsafe {
            command.pre_exec(move || prepare_child(&namespaces, parent, &passed));
        }
        let numbers = recipe.pid_namespace.then(Numbers::begin).transpose();
        let numbers = numbers.context("cannot make a PID namespace for a worker")?;
        let child = command.spawn();
        drop(numbers);
        let child = child.with_context(|| format!("cannot start {}", recipe.program.display()))?;
        let group = recipe.groups.as_ref().and_then(|groups| {
            into_group(groups, child.id())
                .inspect_err(|e| warn!("process {} has no control group: {e}", child.id()))
                .ok()
        });
        Ok(Self {
            child,
            channel: ours,
            folder,
            counts,
            group,
        })
    }

    /// Bounds what it may take, where it has a control group.
    pub fn bound(&self, bounds: &Bounds) {
        if let Some(group) = &self.group
            && let Err(e) = group.bound(bounds)
        {
            warn!(
                "process {} is not bounded by its control group: {e}",
                self.id()
            );
        }
    }

    /// Something in it was ended because its control group had no more memory.
    #[must_use]
    pub fn ran_out_of_memory(&self) -> bool {
        self.group
            .as_ref()
            .is_some_and(|group| group.out_of_memory() > 0)
    }

    /// Number of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it counts.
    #[must_use]
    pub fn counts(&self) -> Option<&Arc<Shared>> {
        self.counts.as_ref()
    }

    /// The private folder.
    #[must_use]
    pub fn folder(&self) -> &PathBuf {
        &self.folder
    }

    /// Where messages arrive; ready to read also when the worker has ended.
    #[must_use]
    pub fn channel(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When the worker has ended or does not listen.
    pub fn send(&self, message: &ToWorker, connection: Option<BorrowedFd<'_>>) -> io::Result<()> {
        handoff::send_to_worker(&self.channel, message, connection)
    }

    /// Receives a message without waiting; `None` when the worker has closed its end.
    ///
    /// # Errors
    /// `WouldBlock` when there is none.
    pub fn receive(&self) -> io::Result<Option<ToAgent>> {
        handoff::receive_from_worker(&self.channel)
    }

    /// Ends the process at once.
    pub fn kill(&self) {
        if let Some(pid) = self.pid() {
            // Not waited for yet, so the number is still this process's.
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    /// How the process ended, if it has; then whatever it started in its group is ended too.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        let pid = self.pid()?;
        // Look first and do not take it: as long as it is there, no other process or
        // group can have its number.
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if let Ok(None) = waitid(WaitId::Pid(pid), look) {
            return None;
        }
        let _ = kill_process_group(pid, Signal::KILL);
        self.child.wait().ok()
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.child.id()).ok()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.try_wait().is_none() {
            // With what it started; its number is its own until it is waited for.
            if let Some(pid) = self.pid() {
                let _ = kill_process_group(pid, Signal::KILL);
            }
            self.kill();
            let _ = self.child.wait();
        }
        crate::rundir::remove(&self.folder);
    }
}

/// Takes leave of ended children that are not `ours`, where the agent is process 1 of a
/// container: what workers had started becomes its child when they end.
pub fn reap_strangers(ours: impl Fn(u32) -> bool) {
    if std::process::id() != 1 {
        return;
    }
    loop {
        // SAFETY: a plain C structure, for which zeros are valid.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let look = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        // SAFETY: `info` is live; nothing is taken yet.
        let code = unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, look) };
        // SAFETY: `waitid` has filled it, or left the zeros.
        let pid = unsafe { info.si_pid() };
        // One of ours is waited for in its own place; the rest have their turn after it.
        if code != 0 || pid <= 0 || u32::try_from(pid).is_ok_and(&ours) {
            return;
        }
        // SAFETY: that child has ended, and nobody else waits for it.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) };
    }
}

/// The worker program beside this one.
///
/// # Errors
/// When this program does not know where it is, or there is no worker beside it.
pub fn worker_program() -> Result<PathBuf> {
    // Behind a symbolic link, such as vaccel-rpc-agent, the folder of the file counts.
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let beside = own.with_file_name("vaccel-worker");
    if beside.is_file() {
        return Ok(beside);
    }
    bail!(
        "there is no {}; install vaccel-worker beside this program, or name it with --worker",
        beside.display()
    )
}

/// How a process ended, for people.
#[must_use]
pub fn describe(status: ExitStatus) -> String {
    if let Some(signal) = status.signal() {
        let name = signal_hook::low_level::signal_name(signal).unwrap_or("of no name");
        return format!("killed by signal {signal} ({name})");
    }
    match status.code() {
        Some(0) => "ended".to_owned(),
        Some(code) => format!("ended with code {code}"),
        None => status.to_string(),
    }
}

/// Puts a process that has done nothing yet into a control group of its own.
fn into_group(groups: &Groups, process: u32) -> io::Result<Group> {
    let group = groups.make(process.into())?;
    group.take(process)?;
    let bounds = Bounds {
        processes: Some(crate::jail::PROCESSES),
        ..Bounds::default()
    };
    group.bound(&bounds)?;
    Ok(group)
}

/// What happens in the child before it becomes the worker. `parent` is the agent, where that has a
/// number here.
fn prepare_child(namespaces: &Plan, parent: Option<Pid>, passed: &[i32]) -> io::Result<()> {
    // First, because what follows is undone by a change of rights.
    namespaces.apply()?;
    // Signals for the agent's group (Ctrl-C) are the agent's; what a worker leaves behind can
    // be ended as a group; and a session is what the kernel divides processors among, see
    // [`fair`](crate::fair).
    rustix::process::setsid()?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // The agent may have ended before that took effect. Else the worker ends when it finds its channel
    // closed.
    if parent.is_some() && rustix::process::getppid() != parent {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    // Everything else goes at exec, also what a library of the agent may have opened
    // without the flag. Kernels before 5.11 do not know the call; then the flag of each
    // descriptor counts.
    // SAFETY: plain system calls on numbers.
    unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        );
        for number in passed {
            if libc::fcntl(*number, libc::F_SETFD, 0) < 0 {
                return Err(io::Error::last_os_error());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn recipe(script: &str) -> Recipe {
        Recipe {
            program: "/bin/sh".into(),
            // The folder comes as a further argument, which the script may use as $2.
            arguments: vec!["-c".into(), script.into(), "worker".into()],
            pass_env: vec![],
            set_env: vec![("VACCEL_TEST".into(), "set".into())],
            namespaces: Plan::None,
            pid_namespace: false,
            groups: None,
            jailed: false,
            counts: false,
        }
    }

    fn wait(process: &mut Process) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(status) = process.try_wait() {
                return status;
            }
            assert!(Instant::now() < deadline, "the process does not end");
            std::thread::yield_now();
        }
    }

    fn folder(base: &tempfile::TempDir) -> PathBuf {
        let folder = base.path().join("worker");
        std::fs::create_dir(&folder).unwrap();
        folder
    }

    #[test]
    fn a_worker_has_its_channel_its_folder_and_nothing_else_open() {
        let base = tempfile::tempdir().unwrap();
        // 0 to 2, the channel, and one that `ls` itself has for the folder it lists.
        let script = r#"ls /proc/self/fd | wc -l > fds; echo "$2 $VACCEL_TEST" > said
            test -S /proc/self/fd/$4"#;
        let mut process = Process::start(&recipe(script), &[], folder(&base)).unwrap();
        let path = process.folder().clone();
        assert!(wait(&mut process).success());
        assert_eq!(
            std::fs::read_to_string(path.join("fds")).unwrap().trim(),
            "5"
        );
        assert_eq!(
            std::fs::read_to_string(path.join("said")).unwrap().trim(),
            format!("{} set", path.display())
        );
    }

    #[test]
    fn how_a_worker_ended_is_told_in_words() {
        let base = tempfile::tempdir().unwrap();
        let mut process = Process::start(&recipe("exit 3"), &[], folder(&base)).unwrap();
        assert_eq!(describe(wait(&mut process)), "ended with code 3");
        drop(process);
        let mut process = Process::start(&recipe("kill -SEGV $$"), &[], folder(&base)).unwrap();
        assert_eq!(
            describe(wait(&mut process)),
            "killed by signal 11 (SIGSEGV)"
        );
    }

    #[test]
    fn what_a_worker_started_ends_with_it_and_its_folder_goes() {
        let base = tempfile::tempdir().unwrap();
        let script = "sleep 1000 & echo $! > pid; mv pid child; exit 0";
        let mut process = Process::start(&recipe(script), &[], folder(&base)).unwrap();
        wait(&mut process);
        let child = std::fs::read_to_string(process.folder().join("child")).unwrap();
        let pid = Pid::from_raw(child.trim().parse().unwrap()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        // Gone, or a zombie that the machine's init has not looked at yet.
        while std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))
            .is_ok_and(|stat| !stat.contains(") Z "))
        {
            assert!(Instant::now() < deadline, "the child lives");
            std::thread::yield_now();
        }
        let path = process.folder().clone();
        drop(process);
        assert!(!path.exists());
    }

    #[test]
    fn dropping_a_worker_that_runs_ends_it() {
        let base = tempfile::tempdir().unwrap();
        let process = Process::start(&recipe("sleep 1000"), &[], folder(&base)).unwrap();
        let stat = format!("/proc/{}", process.id());
        assert!(std::path::Path::new(&stat).exists());
        drop(process);
        assert!(!std::path::Path::new(&stat).exists());
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let base = tempfile::tempdir().unwrap();
        let mut recipe = recipe("");
        recipe.program = "/nowhere/vaccel-worker".into();
        let error = Process::start(&recipe, &[], folder(&base)).unwrap_err();
        assert!(format!("{error:#}").contains("/nowhere/vaccel-worker"));
    }
}
