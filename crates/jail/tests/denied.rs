//! Real jails, each in a child of the test, in which denied things are tried.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs::File;
use std::io;
use std::net::TcpStream;
use std::path::PathBuf;

use vaccel_jail::calls::Calls;
use vaccel_jail::namespaces::Plan;
use vaccel_jail::probe::{self, in_child};
use vaccel_jail::{Jail, JailOptions, Part};

/// A user who is nobody special.
const NOBODY: u32 = 65_534;

fn code<T>(result: io::Result<T>) -> i32 {
    result.err().map_or(0, |e| e.raw_os_error().unwrap_or(-1))
}

fn said(code: libc::c_long) -> i32 {
    if code < 0 {
        io::Error::last_os_error().raw_os_error().unwrap()
    } else {
        0
    }
}

/// What a jailed child says.
fn jailed(options: &JailOptions, what: impl FnOnce() -> String) -> String {
    in_child(|| {
        let report = Jail::new(options, []).enter().map_err(|e| e.to_string())?;
        match report.lacks() {
            Some(lacks) => Err(lacks),
            None => Ok(what()),
        }
    })
    .unwrap()
}

fn is_root() -> bool {
    // SAFETY: it cannot fail.
    unsafe { libc::geteuid() == 0 }
}

#[test]
fn what_the_probe_says_is_what_a_jail_has() {
    let report = probe::report();
    let probed = |part: Part| {
        report
            .parts
            .iter()
            .find(|held| held.part == part)
            .unwrap()
            .holds
    };
    let missing = in_child(|| {
        let report = Jail::default().enter().map_err(|e| e.to_string())?;
        Ok(report
            .missing()
            .map(|held| held.part.name())
            .collect::<Vec<_>>()
            .join(" "))
    })
    .unwrap();
    for part in [
        Part::NoNewPrivileges,
        Part::NotDumpable,
        Part::Limits,
        Part::Capabilities,
        Part::Files,
        Part::Tcp,
        Part::Scope,
        Part::Calls,
    ] {
        assert_eq!(
            probed(part),
            !missing.split(' ').any(|name| name == part.name()),
            "{part}"
        );
    }
    assert_eq!(report.parts.len(), 12);
}

#[test]
fn files_of_the_list_can_be_used_as_the_list_says_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["read", "write"] {
        std::fs::create_dir(path(name)).unwrap();
        std::fs::write(path(name).join("file"), "x").unwrap();
    }
    std::fs::write(path("other"), "x").unwrap();
    let options = JailOptions {
        read: vec![path("read")],
        write: vec![path("write")],
        ..JailOptions::default()
    };
    let codes = jailed(&options, || {
        let codes = [
            code(File::open(path("read/file"))),
            code(File::create(path("read/new"))),
            code(std::fs::remove_file(path("read/file"))),
            code(File::create(path("write/new"))),
            code(std::fs::rename(path("write/new"), path("write/newer"))),
            code(File::open(path("other"))),
            code(std::fs::read_dir(folder.path())),
            code(File::open("/proc/self/maps")),
            code(File::open("/proc/1/maps")),
            code(File::open("/dev/null")),
        ];
        format!("{codes:?}")
    });
    let denied = libc::EACCES;
    let expected = [0, denied, denied, 0, 0, denied, denied, 0, denied, 0];
    assert_eq!(codes, format!("{expected:?}"));
}

#[test]
fn files_of_a_known_folder_can_be_read_by_name_and_not_listed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("name"), "x").unwrap();
    let options = JailOptions {
        known: vec![folder.path().to_owned()],
        ..JailOptions::default()
    };
    let codes = jailed(&options, || {
        let file = folder.path().join("name");
        let change = File::options().write(true).open(&file);
        let codes = [
            code(File::open(&file)),
            code(std::fs::read_dir(folder.path())),
            code(change),
            code(std::fs::remove_file(&file)),
        ];
        format!("{codes:?}")
    });
    let denied = libc::EACCES;
    assert_eq!(codes, format!("{:?}", [0, denied, denied, denied]));
}

#[test]
fn a_thread_that_is_started_in_a_jail_is_in_it() {
    let code = jailed(&JailOptions::default(), || {
        let thread = std::thread::spawn(|| {
            let file = code(File::open("/etc/passwd"));
            (file, code(TcpStream::connect(("127.0.0.1", 1))))
        });
        format!("{:?}", thread.join().unwrap())
    });
    assert_eq!(code, format!("({}, {})", libc::EACCES, libc::EPERM));
}

#[test]
fn a_jail_is_not_entered_with_threads_that_would_stay_outside() {
    let error = in_child(|| {
        let (keep, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || wait.recv());
        let entered = Jail::default().enter();
        drop(keep);
        let _ = thread.join();
        entered.map(|_| String::new()).map_err(|e| e.to_string())
    })
    .unwrap_err();
    assert!(error.contains("before other threads"), "{error}");
}

#[test]
fn profiles_allow_what_they_name() {
    for (calls, network, spawn, jit) in [
        (Calls::default(), libc::EPERM, libc::EPERM, libc::EPERM),
        (
            Calls {
                network: true,
                ..Calls::default()
            },
            0,
            libc::EPERM,
            libc::EPERM,
        ),
        (
            Calls {
                spawn: true,
                ..Calls::default()
            },
            libc::EPERM,
            0,
            libc::EPERM,
        ),
        (
            Calls {
                jit: true,
                ..Calls::default()
            },
            libc::EPERM,
            libc::EPERM,
            0,
        ),
    ] {
        let jail = Jail {
            calls,
            ..Jail::default()
        };
        let codes = in_child(|| {
            jail.enter().map_err(|e| e.to_string())?;
            // SAFETY: plain system calls; the child of the child leaves at once, and the
            // memory is nobody's.
            let codes = unsafe {
                let socket = said(libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0).into());
                let child = libc::fork();
                if child == 0 {
                    libc::_exit(0);
                }
                let child = said(child.into());
                let rights = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
                let memory = libc::mmap(std::ptr::null_mut(), 4096, rights, flags, -1, 0);
                let memory = if memory == libc::MAP_FAILED {
                    said(-1)
                } else {
                    0
                };
                [socket, child, memory]
            };
            Ok(format!("{codes:?}"))
        });
        assert_eq!(
            codes.unwrap(),
            format!("{:?}", [network, spawn, jit]),
            "{calls:?}"
        );
    }
}

#[test]
fn limits_cannot_be_raised_again() {
    let options = JailOptions {
        files: Some(64),
        ..JailOptions::default()
    };
    let codes = jailed(&options, || {
        let more = libc::rlimit {
            rlim_cur: 65,
            rlim_max: 65,
        };
        // SAFETY: the structure lives for the call.
        let raised = said(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const more) }.into());
        let mut open = vec![];
        let last = loop {
            match File::open("/dev/null") {
                Ok(file) => open.push(file),
                Err(e) => break code::<()>(Err(e)),
            }
        };
        format!("{raised} {last} {}", open.len() < 64)
    });
    assert_eq!(codes, format!("{} {} true", libc::EPERM, libc::EMFILE));
}

#[test]
fn a_user_who_is_nobody_special_has_a_network_of_its_own_and_counts_its_own_processes() {
    let report = in_child(|| {
        if is_root() {
            // SAFETY: plain system calls of a child that is for this only.
            let gave_up = unsafe {
                libc::setresgid(NOBODY, NOBODY, NOBODY) == 0
                    && libc::setresuid(NOBODY, NOBODY, NOBODY) == 0
            };
            if !gave_up {
                return Err("cannot become nobody".into());
            }
        }
        let Ok(plan) = Plan::find() else {
            return Ok("none".into());
        };
        plan.apply().map_err(|e| e.to_string())?;
        let network = code(TcpStream::connect(("127.0.0.1", 1)));
        let options = JailOptions {
            processes: Some(20),
            spawn: Some(true),
            ..JailOptions::default()
        };
        Jail::new(&options, []).enter().map_err(|e| e.to_string())?;
        let mut children = vec![];
        let last = loop {
            // SAFETY: the child waits to be killed.
            let child = unsafe { libc::fork() };
            match child {
                -1 => break said(-1),
                0 => loop {
                    // SAFETY: waits, and does nothing.
                    unsafe { libc::pause() };
                },
                _ => children.push(child),
            }
            if children.len() > 100 {
                break 0;
            }
        };
        // The filter lets it signal only itself; the test ends what it has started.
        Ok(format!(
            "{network} {last} {} {}",
            children.len(),
            children
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" ")
        ))
    })
    .unwrap();
    if report == "none" {
        eprintln!("skipped: this machine gives users no namespaces");
        return;
    }
    let numbers: Vec<i32> = report.split(' ').map(|n| n.parse().unwrap()).collect();
    for child in &numbers[3..] {
        // SAFETY: children that this test has started, by their number.
        unsafe { libc::kill(*child, libc::SIGKILL) };
    }
    assert_eq!(numbers[0], libc::ENETUNREACH, "{report}");
    assert_eq!(numbers[1], libc::EAGAIN, "{report}");
    assert!(numbers[2] < 20, "{report}");
}

#[test]
fn a_profile_names_devices_that_are_there() {
    let profile = vaccel_jail::Profile {
        devices: vec!["/dev/nul*", "/dev/zero"],
        ..vaccel_jail::Profile::default()
    };
    assert_eq!(
        profile.present_devices(),
        [PathBuf::from("/dev/null"), PathBuf::from("/dev/zero")]
    );
}
