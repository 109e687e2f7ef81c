//! What would hold on this machine: each part is tried by a child that enters a jail and
//! then does what is denied.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::FromRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;

use crate::calls::Calls;
use crate::files::Files;
use crate::groups::{CONTROLLERS, Groups};
use crate::limits::Limits;
use crate::namespaces::{Numbers, Plan};
use crate::privileges;
use crate::report::{Part, Report};

/// Does something in a child process and brings back what it says. Called with one thread.
///
/// # Errors
/// What the child said; or how it ended, where it could not say anything.
pub fn in_child(what: impl FnOnce() -> Result<String, String>) -> Result<String, String> {
    let failed = |e: io::Error| format!("cannot start a child to try it: {e}");
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(failed(io::Error::last_os_error()));
    }
    // SAFETY: just opened, and nobody else's.
    let (mut from, mut to) = unsafe { (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1])) };
    // SAFETY: the child only runs what it is given, with the one thread that it has, and
    // leaves without running what belongs to its parent.
    let child = unsafe { libc::fork() };
    match child {
        -1 => return Err(failed(io::Error::last_os_error())),
        0 => {
            drop(from);
            let text = match what() {
                Ok(text) => format!("+{text}"),
                Err(text) => format!("-{text}"),
            };
            let code = i32::from(to.write_all(text.as_bytes()).is_err());
            // SAFETY: ends the child.
            unsafe { libc::_exit(code) };
        }
        _ => drop(to),
    }
    let mut text = String::new();
    let read = from.read_to_string(&mut text);
    let mut status = 0;
    // SAFETY: a child of ours that nobody else waits for.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    read.map_err(failed)?;
    match text.split_at_checked(1) {
        Some(("+", said)) => Ok(said.to_owned()),
        Some((_, said)) => Err(said.to_owned()),
        None if libc::WIFSIGNALED(status) => Err(format!(
            "the child was killed by signal {}",
            libc::WTERMSIG(status)
        )),
        None => Err("the child said nothing".into()),
    }
}

/// Tries every part. Called with one thread.
#[must_use]
pub fn report() -> Report {
    let mut report = Report::default();
    let mut note = |part, what: fn() -> Result<String, String>| report.note(part, in_child(what));
    note(Part::NoNewPrivileges, || {
        privileges::no_new_privileges().map_err(text)?;
        let line = status("NoNewPrivs")?;
        expect(
            line == "1",
            "programs that are started gain no rights",
            "it is not set",
        )
    });
    note(Part::NotDumpable, || {
        privileges::not_dumpable().map_err(text)?;
        // SAFETY: a question.
        let dumpable = unsafe { libc::prctl(libc::PR_GET_DUMPABLE) };
        expect(
            dumpable == 0,
            "others cannot read its memory",
            "it is dumpable still",
        )
    });
    note(Part::Limits, || {
        let limits = Limits {
            file_size: Some(1),
            ..Limits::default()
        };
        limits.set().map_err(text)?;
        // SAFETY: a name that ends with a zero.
        let fd = unsafe { libc::memfd_create(c"limit".as_ptr(), 0) };
        if fd < 0 {
            return Err(text(io::Error::last_os_error()));
        }
        // SAFETY: just opened.
        let file = unsafe { File::from_raw_fd(fd) };
        denied(
            file.set_len(2),
            libc::EFBIG,
            "a file beyond the limit is refused",
        )
    });
    note(Part::Capabilities, || {
        privileges::drop_capabilities().map_err(text)?;
        let left = status("CapEff")? + &status("CapPrm")?;
        expect(
            left.bytes().all(|b| b == b'0'),
            "all are gone",
            "some are left",
        )
    });
    note(Part::Files, || {
        restricted(Part::Files, || {
            denied(
                File::open("/etc/passwd"),
                libc::EACCES,
                "/etc/passwd cannot be opened",
            )
        })
    });
    note(Part::Tcp, || {
        restricted(Part::Tcp, || {
            denied(
                TcpStream::connect(("127.0.0.1", 1)),
                libc::EACCES,
                "TCP cannot connect",
            )
        })
    });
    note(Part::Scope, || {
        restricted(Part::Scope, || {
            // SAFETY: signal 0 asks only.
            let code = unsafe { libc::kill(libc::getppid(), 0) };
            let result = if code == 0 {
                Ok(())
            } else {
                Err(io::Error::last_os_error())
            };
            denied(result, libc::EPERM, "no signal reaches its parent")
        })
    });
    note(Part::Calls, || {
        privileges::no_new_privileges().map_err(text)?;
        let how = Calls::default().restrict()?;
        denied(
            UnixDatagram::unbound(),
            libc::EPERM,
            &format!("no socket can be made ({how})"),
        )
    });
    let plan = Plan::find();
    let network = match &plan {
        Ok(plan) => in_child(|| {
            plan.apply().map_err(text)?;
            let how = match plan {
                Plan::UserAndNetwork { .. } => "in a user namespace",
                _ => "as root",
            };
            let error = TcpStream::connect(("127.0.0.1", 1))
                .err()
                .and_then(|e| e.raw_os_error());
            expect(
                error == Some(libc::ENETUNREACH),
                &format!("even its loopback is down ({how})"),
                "it has a network",
            )
        }),
        Err(reason) => Err(reason.clone()),
    };
    report.note(Part::Network, network);
    report.note(
        Part::Processes,
        match plan {
            Ok(plan) if plan.counts_processes() => {
                Ok("the limit counts the jail's own processes and threads".into())
            }
            // SAFETY: it cannot fail.
            _ if unsafe { libc::geteuid() } == 0 => {
                Err("the kernel does not count those of root; run the agent as another user".into())
            }
            _ => Err("without user namespaces it would count all of the user's".into()),
        },
    );
    report.note(Part::PidNamespace, numbers());
    report.note(Part::ControlGroup, groups());
    report
}

/// Whether a child can be the first process of a PID namespace.
///
/// # Errors
/// Why not.
pub fn numbers() -> Result<String, String> {
    in_child(|| {
        let numbers =
            Numbers::begin().map_err(|e| format!("no PID namespace: {e} (needs root)"))?;
        let seen = in_child(|| Ok(std::process::id().to_string()))?;
        drop(numbers);
        // The next child is among the others again.
        let after = in_child(|| Ok(std::process::id().to_string()))?;
        expect(
            seen == "1" && after != "1",
            "workers can have numbers of their own (--jail-pid-namespace)",
            "the kernel gives no numbers of their own",
        )
    })
}

/// Whether the group of this process has been delegated to it; nothing is changed.
fn groups() -> Result<String, String> {
    let own = Groups::own()?;
    let shown = own.display();
    let path = CString::new(own.as_os_str().as_bytes()).map_err(|e| e.to_string())?;
    // SAFETY: a name that ends with a zero.
    if unsafe { libc::access(path.as_ptr(), libc::W_OK) } != 0 {
        let why = io::Error::last_os_error();
        return Err(format!(
            "no group can be made in {shown}: {why} (needs Delegate= of systemd)"
        ));
    }
    let there = std::fs::read_to_string(own.join("cgroup.controllers")).map_err(text)?;
    let have = CONTROLLERS
        .into_iter()
        .filter(|name| there.split_whitespace().any(|c| c == *name));
    let have: Vec<&str> = have.collect();
    match have[..] {
        [] => Err(format!("{shown} has no controller of memory, cpu or pids")),
        _ => Ok(format!("{} in {shown} (--cgroup own)", have.join(", "))),
    }
}

/// Runs a check under Landlock that allows next to nothing.
fn restricted(
    part: Part,
    check: impl FnOnce() -> Result<String, String>,
) -> Result<String, String> {
    privileges::no_new_privileges().map_err(text)?;
    let files = Files {
        read: vec!["/usr".into()],
        ..Files::default()
    };
    let mut report = Report::default();
    files.restrict(&mut report);
    match report.missing().find(|held| held.part == part) {
        Some(held) => Err(held.detail.clone()),
        None => check(),
    }
}

/// A line of `/proc/self/status`.
fn status(name: &str) -> Result<String, String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(text)?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.map(|value| value.trim().to_owned())
        .ok_or_else(|| format!("/proc/self/status does not tell {name}"))
}

fn expect(holds: bool, yes: &str, no: &str) -> Result<String, String> {
    if holds {
        Ok(yes.into())
    } else {
        Err(no.into())
    }
}

fn denied<T>(result: io::Result<T>, errno: i32, yes: &str) -> Result<String, String> {
    match result {
        Err(e) if e.raw_os_error() == Some(errno) => Ok(yes.into()),
        Err(e) => Err(format!("denied, but otherwise than meant: {e}")),
        Ok(_) => Err("what is denied was possible".into()),
    }
}

fn text(error: io::Error) -> String {
    error.to_string()
}
