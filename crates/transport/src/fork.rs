//! Finds out, without a system call, that the process has forked.
//!
//! One page is marked to be wiped in a child. It holds a number; a child finds
//! zero there and writes a number of its own. What was made under one number
//! must not be used under another: sockets are shared with the parent, and
//! locks may be held by threads that do not exist any more.

use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

static PAGE: AtomicPtr<AtomicU64> = AtomicPtr::new(std::ptr::null_mut());

/// Size that holds for every page of Linux.
const PAGE_SIZE: usize = 64 << 10;

/// A number of this process that no parent or child has.
#[must_use]
pub fn epoch() -> u64 {
    let page = PAGE.load(Ordering::Acquire);
    let page = if page.is_null() { map() } else { page };
    if page.is_null() {
        // Kernels before 4.14: ask every time.
        return u64::from(std::process::id()) << 1 | 1;
    }
    // SAFETY: a page of ours that is never unmapped.
    let cell = unsafe { &*page };
    match cell.load(Ordering::Relaxed) {
        0 => number(cell),
        epoch => epoch,
    }
}

#[cold]
fn number(cell: &AtomicU64) -> u64 {
    let time = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos() as u64);
    let new = (u64::from(std::process::id()) << 40 ^ time << 1) | 1;
    match cell.compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => new,
        Err(other) => other,
    }
}

#[cold]
fn map() -> *mut AtomicU64 {
    // SAFETY: a new private mapping; touches no other memory.
    let at = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            PAGE_SIZE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if at == libc::MAP_FAILED {
        return std::ptr::null_mut();
    }
    // SAFETY: the mapping made above.
    let code = unsafe { libc::madvise(at, PAGE_SIZE, libc::MADV_WIPEONFORK) };
    let unmap = || {
        // SAFETY: nobody has seen the mapping yet.
        unsafe { libc::munmap(at, PAGE_SIZE) };
    };
    if code != 0 {
        unmap();
        return std::ptr::null_mut();
    }
    let null = std::ptr::null_mut();
    match PAGE.compare_exchange(null, at.cast(), Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => at.cast(),
        Err(other) => {
            unmap();
            other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_has_another_epoch() {
        let ours = epoch();
        assert_eq!(epoch(), ours);
        // SAFETY: the child only reads memory and leaves at once.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let different = epoch() != ours;
            // SAFETY: leaves without running anything of the parent's.
            unsafe { libc::_exit(i32::from(different)) };
        }
        let mut status = 0;
        // SAFETY: our own child.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 1);
        assert_eq!(epoch(), ours);
    }
}
