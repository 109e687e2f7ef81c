//! What a worker gives up before it serves anybody.
//!
//! Here the code of tenants runs. What is done now: the process can gain no
//! privileges, holds no descriptor but its own, leaves no core file with a
//! tenant's data, and makes files that nobody else can read. Namespaces, a system
//! call filter and limits of memory and time have their place here too.

use std::os::fd::{AsRawFd, BorrowedFd};

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Locks the process in. Called first, with one thread and nothing opened yet.
///
/// # Errors
/// When a step is refused: a worker that is not locked in serves nobody.
pub fn enter(channel: BorrowedFd<'_>) -> Result<()> {
    close_all_but(channel);
    rustix::thread::set_no_new_privs(true).context("cannot give up new privileges")?;
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none).context("cannot forbid core files")?;
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    Ok(())
}

/// Closes every descriptor but the standard ones and the channel to the agent.
///
/// The agent marks what it has as close-on-exec; this is for the case that some
/// other parent does not.
fn close_all_but(channel: BorrowedFd<'_>) {
    let channel = channel.as_raw_fd();
    let close = |first: i32, last: i32| {
        if first <= last {
            // SAFETY: called before anything but the standard descriptors and the
            // channel is in use; kernels before 5.9 do not know the call and close nothing.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        }
    };
    close(3, channel - 1);
    close(channel + 1, i32::MAX);
}
