//! Runs a program in user, network, mount, pid, IPC and UTS namespaces of its
//! own, on a root file system that holds only what is bound into it.
//!
//! It is what the demo puts the application in: no network, no devices, no
//! files of the host but the program, its libraries, the pictures and one socket.

use anyhow::{Context, Result, bail};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change,
    mount_remount, unmount,
};
use rustix::thread::UnshareFlags;
use std::ffi::{CStr, CString, OsString};
use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Bind SOURCE at DESTINATION, read-only.
    #[arg(long, value_name = "SOURCE:DESTINATION")]
    bind: Vec<String>,
    /// Bind SOURCE at DESTINATION, writable.
    #[arg(long, value_name = "SOURCE:DESTINATION")]
    bind_rw: Vec<String>,
    /// Empty folder to build the root in.
    #[arg(long)]
    root: PathBuf,
    /// Program, as seen inside, and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// What `run` prints on standard error when it could not isolate anything.
pub(crate) const REFUSED: &str = "sandbox: not permitted here";

pub(crate) fn run(options: &Options) -> Result<()> {
    if let Err(error) = isolate() {
        eprintln!("{REFUSED}: {error:#}");
        std::process::exit(125);
    }
    build_root(options)?;

    let (program, args) = options.command.split_first().context("no program given")?;
    let mut command = Command::new(program);
    command.args(args).env_clear();
    for (key, value) in std::env::vars_os() {
        if key.to_string_lossy().starts_with("VACCEL_") {
            command.env(key, value);
        }
    }
    let root = CString::new(options.root.as_os_str().as_encoded_bytes())?;
    let proc = CString::new(options.root.join("proc").as_os_str().as_encoded_bytes())?;
    // SAFETY: system calls on strings made before, and nothing else, between fork and exec.
    unsafe {
        command.pre_exec(move || Ok(enter(&root, &proc)?));
    }
    let status = command
        .status()
        .with_context(|| format!("cannot start {} in the sandbox", program.display()))?;
    std::process::exit(
        status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
    );
}

/// New namespaces; inside, the user keeps its number and loses everything else at exec.
fn isolate() -> Result<()> {
    let uid = rustix::process::getuid().as_raw();
    let gid = rustix::process::getgid().as_raw();
    let flags = UnshareFlags::NEWUSER
        | UnshareFlags::NEWNS
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS;
    // SAFETY: this process has one thread and shares no file descriptor table.
    unsafe { rustix::thread::unshare_unsafe(flags) }.context("unshare")?;
    let _ = fs::write("/proc/self/setgroups", "deny");
    fs::write("/proc/self/uid_map", format!("{uid} {uid} 1")).context("uid_map")?;
    fs::write("/proc/self/gid_map", format!("{gid} {gid} 1")).context("gid_map")?;
    Ok(())
}

fn build_root(options: &Options) -> Result<()> {
    let root = &options.root;
    mount_change(
        "/",
        MountPropagationFlags::REC | MountPropagationFlags::PRIVATE,
    )
    .context("cannot make the mounts private")?;
    mount(
        "tmpfs",
        root,
        "tmpfs",
        MountFlags::NOSUID | MountFlags::NODEV,
        None,
    )
    .context("cannot mount a tmpfs")?;
    for folder in ["proc", "tmp", "dev"] {
        fs::create_dir_all(root.join(folder))?;
    }
    for device in ["/dev/null", "/dev/urandom"] {
        bind(Path::new(device), Path::new(device), root, true)?;
    }
    for (list, writable) in [(&options.bind, false), (&options.bind_rw, true)] {
        for entry in list {
            let Some((source, destination)) = entry.split_once(':') else {
                bail!("`{entry}` is not SOURCE:DESTINATION");
            };
            bind(Path::new(source), Path::new(destination), root, writable)?;
        }
    }
    Ok(())
}

fn bind(source: &Path, destination: &Path, root: &Path, writable: bool) -> Result<()> {
    let source =
        fs::canonicalize(source).with_context(|| format!("cannot bind {}", source.display()))?;
    let at = root.join(destination.strip_prefix("/").unwrap_or(destination));
    if source.is_dir() {
        fs::create_dir_all(&at)?;
    } else {
        if let Some(folder) = at.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&at, "")?;
    }
    mount_bind(&source, &at).with_context(|| format!("cannot bind {}", source.display()))?;
    if !writable {
        // A file system that came from outside keeps its own flags: where they may
        // not be changed the bind stays as writable as it was.
        let _ = mount_remount(
            &at,
            MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID,
            "",
        );
    }
    Ok(())
}

/// Makes `root` the root of the first process of the new pid namespace.
fn enter(root: &CStr, proc: &CStr) -> rustix::io::Result<()> {
    // While the old root is still there: the kernel wants to see one proc already.
    // Shows nothing but this process and its children. Where it may not be mounted
    // (in some containers) there is none inside.
    let _ = mount(c"proc", proc, c"proc", MountFlags::empty(), None);
    rustix::process::chdir(root)?;
    // Old and new root at the same place: the old one then lies on top and is taken away.
    rustix::process::pivot_root(c".", c".")?;
    unmount(c".", UnmountFlags::DETACH)?;
    rustix::process::chdir(c"/")?;
    rustix::thread::set_no_new_privs(true)
}
