//! Limits of memory, files and descriptors.

use std::io;

use crate::options::JailOptions;

/// Limits as the kernel keeps them; `None` leaves one as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// Private memory, in bytes (`RLIMIT_DATA`).
    pub data: Option<u64>,
    /// All mapped memory, in bytes (`RLIMIT_AS`).
    pub address_space: Option<u64>,
    /// Processes and threads of the user (`RLIMIT_NPROC`).
    pub processes: Option<u64>,
    /// Open descriptors (`RLIMIT_NOFILE`).
    pub files: Option<u64>,
    /// Size of a file, in bytes (`RLIMIT_FSIZE`).
    pub file_size: Option<u64>,
}

impl Limits {
    /// Those that are asked for.
    #[must_use]
    pub fn of(options: &JailOptions) -> Self {
        Self {
            data: options.memory,
            address_space: options.address_space,
            processes: options.processes,
            files: options.files,
            file_size: options.file_size,
        }
    }

    /// Sets them, for good. A limit that is lower already stays. No core file is written,
    /// and a file that grows too large is an error (`EFBIG`) and not a signal.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn set(&self) -> io::Result<()> {
        // SAFETY: a disposition, no handler.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
        lower(libc::RLIMIT_CORE, 0)?;
        for (which, value) in [
            (libc::RLIMIT_DATA, self.data),
            (libc::RLIMIT_AS, self.address_space),
            (libc::RLIMIT_NPROC, self.processes),
            (libc::RLIMIT_NOFILE, self.files),
            (libc::RLIMIT_FSIZE, self.file_size),
        ] {
            if let Some(value) = value {
                lower(which, value)?;
            }
        }
        Ok(())
    }
}

#[cfg(target_env = "gnu")]
type Which = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type Which = libc::c_int;

fn lower(which: Which, value: u64) -> io::Result<()> {
    let mut limit = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is live for both calls.
    let code = unsafe {
        match libc::getrlimit64(which, &raw mut limit) {
            0 => {
                let value = value.min(limit.rlim_max);
                limit.rlim_cur = value;
                limit.rlim_max = value;
                libc::setrlimit64(which, &raw const limit)
            }
            code => code,
        }
    };
    match code {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
