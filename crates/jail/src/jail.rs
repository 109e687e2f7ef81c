//! A jail, and the step into it.

use std::path::PathBuf;

use crate::calls::Calls;
use crate::files::Files;
use crate::limits::Limits;
use crate::options::JailOptions;
use crate::privileges;
use crate::profile::Profile;
use crate::report::{Part, Report};

/// What any process reads that loads libraries and asks how many processors there are.
const READ: &[&str] = &[
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/localtime",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/version",
    "/proc/sys/kernel/osrelease",
    "/proc/sys/vm",
    "/sys/devices/system",
    "/sys/fs/cgroup",
    "/sys/kernel/mm/transparent_hugepage",
    "/dev/urandom",
    "/dev/random",
];
/// Devices without a memory.
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full"];
/// Programs, where a profile starts them.
const PROGRAMS: &[&str] = &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64"];

/// A step into the jail that failed and must not.
#[derive(Debug, thiserror::Error)]
pub enum JailError {
    /// Landlock is of a thread.
    #[error("the jail must be entered before other threads are started; there are {0}")]
    Threads(usize),
}

/// What a process gives up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Jail {
    /// Files that it keeps.
    pub files: Files,
    /// Limits.
    pub limits: Limits,
    /// Kinds of system calls that it keeps.
    pub calls: Calls,
}

impl Jail {
    /// The jail of a process that has these plugins.
    #[must_use]
    pub fn new<'a>(options: &JailOptions, plugins: impl IntoIterator<Item = &'a str>) -> Self {
        let profile = plugins
            .into_iter()
            .map(Profile::of)
            .fold(Profile::default(), Profile::and);
        let calls = Calls {
            network: options.network.unwrap_or(profile.calls.network),
            spawn: options.spawn.unwrap_or(profile.calls.spawn),
            jit: options.jit.unwrap_or(profile.calls.jit),
        };
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        let mut read = paths(READ);
        read.extend(paths(&profile.read));
        read.extend(options.read.iter().cloned());
        let mut devices = paths(DEVICES);
        devices.extend(profile.present_devices());
        Self {
            files: Files {
                read,
                known: options.known.clone(),
                execute: if calls.spawn { paths(PROGRAMS) } else { vec![] },
                write: options.write.clone(),
                devices,
                network: calls.network,
            },
            limits: Limits::of(options),
            calls,
        }
    }

    /// Gives everything up that this jail does not keep, for good, and tells what holds. The
    /// namespaces are entered before, by [`Plan`](crate::namespaces::Plan).
    ///
    /// # Errors
    /// When the process has other threads; then nothing has been done.
    pub fn enter(&self) -> Result<Report, JailError> {
        // Where /proc is not there, nobody can count.
        let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
        if threads != 1 {
            return Err(JailError::Threads(threads));
        }
        let mut report = Report::default();
        let said = |what: &str, result: std::io::Result<()>| match result {
            Ok(()) => Ok(what.to_owned()),
            Err(e) => Err(e.to_string()),
        };
        report.note(Part::Limits, said("set", self.limits.set()));
        report.note(
            Part::Capabilities,
            said("none left", privileges::drop_capabilities()),
        );
        report.note(
            Part::NoNewPrivileges,
            said("set", privileges::no_new_privileges()),
        );
        report.note(Part::NotDumpable, said("set", privileges::not_dumpable()));
        self.files.restrict(&mut report);
        report.note(Part::Calls, self.calls.restrict());
        Ok(report)
    }
}
