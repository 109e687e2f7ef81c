//! Only files of a list: Landlock.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
};

use crate::report::{Part, Report};

/// The newest version of Landlock whose rights are asked for.
const NEWEST: ABI = ABI::V6;

/// Files that a process may use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Files {
    /// To be read, folders with what is in them.
    pub read: Vec<PathBuf>,
    /// To be read by who knows their names: folders that cannot be listed.
    pub known: Vec<PathBuf>,
    /// To be read and started as programs.
    pub execute: Vec<PathBuf>,
    /// To be read, made, changed and removed.
    pub write: Vec<PathBuf>,
    /// Devices: read, written, called.
    pub devices: Vec<PathBuf>,
    /// TCP is allowed.
    pub network: bool,
}

/// The version of Landlock that the kernel has; 0 for none.
#[must_use]
pub fn version() -> i32 {
    // SAFETY: LANDLOCK_CREATE_RULESET_VERSION takes no attributes.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<u8>(),
            0usize,
            1u32,
        )
    };
    i32::try_from(version).unwrap_or(0).max(0)
}

impl Files {
    /// Allows these files to the calling thread, and to those that it starts, and no others.
    /// Paths that do not exist are left out. Needs `no_new_privs`.
    pub fn restrict(&self, report: &mut Report) {
        let version = version();
        let has = |least: i32, what: &str| match version {
            0 => Err("this kernel has no Landlock, or has it switched off (lsm=)".to_owned()),
            v if v < least => Err(format!(
                "Landlock has it from version {least} on, this kernel has {v}"
            )),
            v => Ok(format!("Landlock version {v}: {what}")),
        };
        let result = if version > 0 {
            self.try_restrict().map_err(|e| e.to_string())
        } else {
            Ok(())
        };
        let part = |held: Result<String, String>| result.clone().and(held);
        report.note(Part::Files, part(has(1, "only files of a list")));
        let tcp = if self.network {
            Ok("allowed by the profile".into())
        } else {
            has(4, "no TCP")
        };
        report.note(Part::Tcp, part(tcp));
        let scope = has(6, "no signals and no abstract sockets to the outside");
        report.note(Part::Scope, part(scope));
    }

    fn try_restrict(&self) -> Result<(), RulesetError> {
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(NEWEST))?
            .scope(Scope::from_all(NEWEST))?;
        if !self.network {
            rules = rules.handle_access(AccessNet::from_all(NEWEST))?;
        }
        let mut rules = rules.create()?;
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let change = AccessFs::from_all(NEWEST)
            & !(AccessFs::Execute
                | AccessFs::MakeBlock
                | AccessFs::MakeChar
                | AccessFs::MakeSock
                | AccessFs::IoctlDev);
        let device = read | AccessFs::WriteFile | AccessFs::IoctlDev;
        for (paths, access) in [
            (&self.read, read),
            (&self.known, AccessFs::ReadFile.into()),
            (&self.execute, read | AccessFs::Execute),
            (&self.write, change),
            (&self.devices, device),
        ] {
            for path in paths {
                let Ok((file, folder)) = open(path) else {
                    continue;
                };
                let access = limit(access, folder);
                rules = rules.add_rule(PathBeneath::new(&file, access))?;
                if path.starts_with("/proc") || path.starts_with("/sys") {
                    // The rule is about this inode, which these file systems make anew when
                    // nobody holds it.
                    std::mem::forget(file);
                }
            }
        }
        rules.restrict_self()?;
        Ok(())
    }
}

/// Rights about folders mean nothing for a file.
fn limit(access: BitFlags<AccessFs>, folder: bool) -> BitFlags<AccessFs> {
    if folder {
        access
    } else {
        access & AccessFs::from_file(NEWEST)
    }
}

/// A name for the file, and whether it is a folder.
fn open(path: &Path) -> io::Result<(OwnedFd, bool)> {
    let name = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: a text that ends with a zero; nothing is opened but the name.
    let fd = unsafe { libc::open(name.as_ptr(), libc::O_PATH | libc::O_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened.
    let file = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: a plain C structure, for which zeros are valid.
    let mut about: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: both live for the call.
    if unsafe { libc::fstat(file.as_raw_fd(), &raw mut about) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((file, about.st_mode & libc::S_IFMT == libc::S_IFDIR))
}
