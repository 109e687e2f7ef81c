//! The memory in which a worker counts, and its agent reads.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;

use super::{Counts, MAGIC, MINE};

/// Only pages that are written to take memory, a few for each worker.
const SIZE: usize = size_of::<Counts>();

/// Counts in memory of the agent's that one worker has too.
#[derive(Debug)]
pub struct Shared {
    at: NonNull<Counts>,
    fd: OwnedFd,
}

// SAFETY: the memory stays mapped while this lives, and holds nothing but atomics.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// Memory for a worker. It can neither shrink nor grow, whatever the worker does.
    ///
    /// # Errors
    /// What the system says.
    pub fn create() -> io::Result<Self> {
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: the name is a C string.
        let fd = unsafe { libc::memfd_create(c"vaccel-counts".as_ptr(), flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just returned, and nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let size = libc::off_t::try_from(SIZE).map_err(|_| io::ErrorKind::InvalidInput)?;
        let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
        // SAFETY: plain system calls on a descriptor of ours.
        let done = unsafe {
            libc::ftruncate(fd.as_raw_fd(), size) == 0
                && libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, seals) == 0
        };
        if !done {
            return Err(io::Error::last_os_error());
        }
        let at = map(&fd)?;
        let shared = Self { at, fd };
        shared.counts().magic.store(MAGIC, Relaxed);
        Ok(shared)
    }

    /// What is counted there.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        // SAFETY: mapped, large enough and aligned to a page; all bits are valid atomics.
        unsafe { self.at.as_ref() }
    }
}

impl AsFd for Shared {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: mapped by `create`, and nothing refers to it any more.
        unsafe { libc::munmap(self.at.as_ptr().cast(), SIZE) };
    }
}

/// Has this process, a worker, count in memory that its agent gave it.
///
/// # Errors
/// When the descriptor is not that of such memory.
pub fn adopt(fd: &OwnedFd) -> io::Result<()> {
    // SAFETY: a plain C structure, for which zeros are valid; the call fills it.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: a live structure.
    if unsafe { libc::fstat(fd.as_raw_fd(), &raw mut stat) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let wrong = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "the memory for counting is not what this worker knows; is it of the agent's version?",
        )
    };
    if usize::try_from(stat.st_size) != Ok(SIZE) {
        return Err(wrong());
    }
    let at = map(fd)?;
    // SAFETY: as in `Shared::counts`; it stays mapped for as long as the process lives.
    let counts: &'static Counts = unsafe { at.as_ref() };
    if counts.magic.load(Relaxed) != MAGIC {
        return Err(wrong());
    }
    // Something has counted elsewhere before: that is not lost on anybody.
    let _ = MINE.set(counts);
    Ok(())
}

fn map(fd: &OwnedFd) -> io::Result<NonNull<Counts>> {
    // SAFETY: a new mapping at a place of the kernel's choice.
    let at = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            SIZE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            fd.as_raw_fd(),
            0,
        )
    };
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(at.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Request;
    use super::super::totals::Totals;
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_one_side_counts_the_other_reads_and_it_cannot_be_cut_short() {
        let shared = Shared::create().unwrap();
        let second = Shared {
            at: map(&shared.fd).unwrap(),
            fd: shared.fd.try_clone().unwrap(),
        };
        let plugin = second.counts().plugin("noop");
        second.counts().note(&Request {
            plugin,
            compute: Duration::from_micros(3),
            bytes_in: 40,
            ..Request::default()
        });
        drop(second);
        let mut totals = Totals::default();
        totals.add(shared.counts());
        let op = totals.op("noop", "noop").unwrap();
        assert_eq!((op.requests, op.bytes_in, op.compute.sum), (1, 40, 3000));
        // SAFETY: a plain system call.
        assert_ne!(unsafe { libc::ftruncate(shared.fd.as_raw_fd(), 0) }, 0);
    }

    #[test]
    fn memory_of_another_version_is_refused() {
        let shared = Shared::create().unwrap();
        shared.counts().magic.store(1, Relaxed);
        let error = adopt(&shared.fd).unwrap_err();
        assert!(error.to_string().contains("version"), "{error}");
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(adopt(&file.into()).is_err());
    }
}
