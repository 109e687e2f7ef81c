//! Rights that are given up.

use std::io;

/// The last capability that a set of 64 could have.
const LAST: libc::c_ulong = 63;

fn prctl(option: libc::c_int, value: libc::c_ulong) -> io::Result<libc::c_int> {
    let zero: libc::c_ulong = 0;
    // SAFETY: options whose arguments are numbers.
    match unsafe { libc::prctl(option, value, zero, zero, zero) } {
        -1 => Err(io::Error::last_os_error()),
        code => Ok(code),
    }
}

/// No program that is started from here on has more rights than this process.
///
/// # Errors
/// Those of the system call.
pub fn no_new_privileges() -> io::Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1).map(drop)
}

/// Memory, environment and descriptors are not to be read by others of the same user.
///
/// # Errors
/// Those of the system call.
pub fn not_dumpable() -> io::Result<()> {
    prctl(libc::PR_SET_DUMPABLE, 0).map(drop)
}

/// Gives up every capability, also those that programs started later could have had. Of the
/// calling thread: called before there are others.
///
/// # Errors
/// Those of the system calls.
pub fn drop_capabilities() -> io::Result<()> {
    for capability in 0..=LAST {
        // EINVAL: the kernel has no more; EPERM: there is nothing to drop it with, and
        // then none is held that a program could inherit.
        match prctl(libc::PR_CAPBSET_DROP, capability) {
            Ok(_) => {}
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => break,
            Err(e) if e.raw_os_error() == Some(libc::EPERM) => break,
            Err(e) => return Err(e),
        }
    }
    match prctl(libc::PR_CAP_AMBIENT, 4 /* PR_CAP_AMBIENT_CLEAR_ALL */) {
        Ok(_) => {}
        // Kernels before 4.3 have no such set.
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {}
        Err(e) => return Err(e),
    }
    #[repr(C)]
    struct Header {
        version: u32,
        pid: libc::c_int,
    }
    let header = Header {
        version: 0x2008_0522, // _LINUX_CAPABILITY_VERSION_3
        pid: 0,
    };
    let none = [0u32; 6];
    // SAFETY: version 3 takes two sets of three words.
    match unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
