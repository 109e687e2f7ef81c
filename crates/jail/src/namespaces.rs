//! A network of its own, before a program is started.
//!
//! A [`Plan`] is made once, when there is time; [`Plan::apply`] is for the moment between
//! fork and exec, where only system calls may be made.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// Which namespaces a child is to have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Plan {
    /// None.
    #[default]
    None,
    /// For the superuser: a network and System V objects of its own.
    Network,
    /// For others: these in a user namespace of its own, in which the user is who it is
    /// outside. The limit of processes then counts the child's own only.
    UserAndNetwork {
        /// For `/proc/self/uid_map`.
        users: CString,
        /// For `/proc/self/gid_map`.
        groups: CString,
    },
    /// The same with the network that there is.
    User {
        /// For `/proc/self/uid_map`.
        users: CString,
        /// For `/proc/self/gid_map`.
        groups: CString,
    },
}

impl Plan {
    /// The best plan that works here, each tried in a child; why none does, else.
    ///
    /// # Errors
    /// What the kernel said, with the usual reason.
    pub fn find() -> Result<Self, String> {
        let mut reason = String::new();
        for plan in [Self::Network, Self::user()] {
            match crate::probe::in_child(|| {
                plan.apply()
                    .map(|()| String::new())
                    .map_err(|e| e.to_string())
            }) {
                Ok(_) => return Ok(plan),
                Err(e) => reason = e,
            }
        }
        Err(format!(
            "no network namespace: {reason} (needs root, or user namespaces: sysctl user.max_user_namespaces, \
             kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)"
        ))
    }

    fn user() -> Self {
        // SAFETY: they cannot fail.
        let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
        let line = |id: u32| CString::new(format!("{id} {id} 1\n")).unwrap_or_default();
        Self::UserAndNetwork {
            users: line(user),
            groups: line(group),
        }
    }

    /// The limit of processes counts only those of the child.
    #[must_use]
    pub fn counts_processes(&self) -> bool {
        matches!(self, Self::UserAndNetwork { .. } | Self::User { .. })
            // SAFETY: it cannot fail. The kernel never counts the superuser's.
            && unsafe { libc::geteuid() } != 0
    }

    /// The same plan for a child that must reach the network.
    #[must_use]
    pub fn with_network_shared(&self) -> Self {
        match self {
            Self::None | Self::Network => Self::None,
            Self::UserAndNetwork { users, groups } | Self::User { users, groups } => Self::User {
                users: users.clone(),
                groups: groups.clone(),
            },
        }
    }

    /// Enters the namespaces. Makes system calls only and takes no memory, so that it may be
    /// called between fork and exec. The parent death signal must be set afterwards.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn apply(&self) -> io::Result<()> {
        let network = libc::CLONE_NEWNET | libc::CLONE_NEWIPC;
        match self {
            Self::None => Ok(()),
            Self::Network => unshare(network),
            Self::UserAndNetwork { users, groups } | Self::User { users, groups } => {
                let shared = matches!(self, Self::User { .. });
                let further = if shared { libc::CLONE_NEWIPC } else { network };
                unshare(further | libc::CLONE_NEWUSER)?;
                // Kernels before 3.19 have no such file.
                let _ = write(c"/proc/self/setgroups", c"deny");
                write(c"/proc/self/uid_map", users)?;
                write(c"/proc/self/gid_map", groups)
            }
        }
    }
}

/// While this is there, the next child of this thread is the first process of a PID namespace of its
/// own, and the thread can start no others. For the superuser.
///
/// All that the child starts ends with it, whatever it did to get away, and it sees none of the
/// processes outside. To the outside it has a number as any other. The kernel ignores
/// signals that it sends to itself and has no handler for, but not those of faults: a program that
/// aborts there ends by SIGSEGV or SIGILL instead of SIGABRT.
#[derive(Debug)]
pub struct Numbers {
    own: OwnedFd,
}

impl Numbers {
    /// From now on.
    ///
    /// # Errors
    /// Those of the system calls; then nothing is different.
    pub fn begin() -> io::Result<Self> {
        let own = std::fs::File::open("/proc/self/ns/pid")?.into();
        unshare(libc::CLONE_NEWPID)?;
        Ok(Self { own })
    }
}

impl Drop for Numbers {
    fn drop(&mut self) {
        // SAFETY: a plain system call on a descriptor that is open. Whoever could leave the namespace
        // for children may come back to its own.
        unsafe { libc::setns(self.own.as_raw_fd(), libc::CLONE_NEWPID) };
    }
}

fn unshare(flags: libc::c_int) -> io::Result<()> {
    // SAFETY: a plain system call.
    match unsafe { libc::unshare(flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn write(path: &std::ffi::CStr, text: &std::ffi::CStr) -> io::Result<()> {
    let bytes = text.to_bytes();
    // SAFETY: texts that end with a zero, live for the calls; the descriptor is this
    // function's own.
    unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let wrote = libc::write(fd, bytes.as_ptr().cast(), bytes.len());
        let error = io::Error::last_os_error();
        libc::close(fd);
        if wrote < 0 {
            return Err(error);
        }
    }
    Ok(())
}
