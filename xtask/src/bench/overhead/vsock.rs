//! Whether this machine can reach itself by vsock.

use anyhow::{Context, Result};
use std::io::Error;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// The address of this machine for itself; it needs the kernel module `vsock_loopback`.
const LOCAL: u32 = libc::VMADDR_CID_LOCAL;

/// A port that is free, when a connection to this machine itself works.
pub(super) fn probe() -> Result<u32> {
    let listener = socket()?;
    let mut address = address(libc::VMADDR_CID_ANY, libc::VMADDR_PORT_ANY);
    let mut len = size_of_val(&address) as libc::socklen_t;
    // SAFETY: a live address and its size.
    check(unsafe { libc::bind(listener.as_raw_fd(), (&raw const address).cast(), len) })
        .context("vsock: no port can be had")?;
    // SAFETY: no memory is passed.
    check(unsafe { libc::listen(listener.as_raw_fd(), 1) }).context("vsock: cannot listen")?;
    // SAFETY: room for an address, and its size.
    check(unsafe {
        libc::getsockname(
            listener.as_raw_fd(),
            (&raw mut address).cast(),
            &raw mut len,
        )
    })?;
    let port = address.svm_port;
    let client = socket()?;
    let to = self::address(LOCAL, port);
    // SAFETY: a live address and its size.
    check(unsafe { libc::connect(client.as_raw_fd(), (&raw const to).cast(), len) })
        .context("vsock: this machine cannot reach itself (module vsock_loopback)")?;
    Ok(port)
}

fn socket() -> Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let fd = unsafe { libc::socket(libc::AF_VSOCK, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    check(fd).context("vsock: this kernel has none")?;
    // SAFETY: new, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn address(cid: u32, port: u32) -> libc::sockaddr_vm {
    // SAFETY: plain numbers.
    let mut address: libc::sockaddr_vm = unsafe { std::mem::zeroed() };
    address.svm_family = libc::AF_VSOCK as libc::sa_family_t;
    address.svm_cid = cid;
    address.svm_port = port;
    address
}

fn check(code: libc::c_int) -> Result<()> {
    if code < 0 {
        return Err(Error::last_os_error().into());
    }
    Ok(())
}
