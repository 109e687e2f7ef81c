//! One piece of memory that two processes share: a sealed memfd, mapped.

use super::ShareError;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;

/// Sizes of regions are multiples of it, and so are the places of blocks.
pub(crate) const PAGE: usize = 4096;

/// A region must have these: then it can neither shrink, which would make every
/// access beyond its end a SIGBUS, nor grow, nor lose the other two.
const SEALS: i32 = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;

/// `HUGETLBFS_MAGIC`.
const HUGETLBFS: u64 = 0x9584_58f6;

/// A sealed memfd, mapped for reading and writing.
#[derive(Debug)]
pub struct Region {
    at: NonNull<u8>,
    len: usize,
}

// SAFETY: plain memory that stays mapped while this lives. Everything that looks
// into it expects that another process changes it at any time.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// New memory of `len` bytes, all zeros, and its descriptor for the other side.
    /// Pages are taken when they are first touched.
    ///
    /// # Errors
    /// What the system says; a kernel without memfd says `Unsupported`.
    pub fn create(len: usize) -> io::Result<(Self, OwnedFd)> {
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: the name is a C string.
        let fd = unsafe { libc::memfd_create(c"vaccel".as_ptr(), flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just returned, and nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let size = libc::off_t::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: plain system calls on a descriptor of ours.
        let done = unsafe {
            libc::ftruncate(fd.as_raw_fd(), size) == 0
                && libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, SEALS) == 0
        };
        if !done {
            return Err(io::Error::last_os_error());
        }
        let region = Self::map(&fd, len)?;
        Ok((region, fd))
    }

    /// Maps memory that another process offers, after making sure that it can do no
    /// harm: it must be a memfd of small pages, sealed so that it stays as large as
    /// it is, and at least `len` bytes large.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn adopt(fd: &OwnedFd, len: u64) -> Result<Self, ShareError> {
        // Only memory files have seals at all.
        // SAFETY: a plain system call.
        let seals = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GET_SEALS) };
        if seals < 0 {
            return Err(ShareError::NoMemfd);
        }
        if seals & SEALS != SEALS {
            return Err(ShareError::Unsealed(SEALS & !seals));
        }
        // SAFETY: plain C structures, for which zeros are valid, filled by the calls.
        let (stat, fs) = unsafe {
            let (mut stat, mut fs) = (std::mem::zeroed(), std::mem::zeroed());
            if libc::fstat(fd.as_raw_fd(), &raw mut stat) != 0
                || libc::fstatfs(fd.as_raw_fd(), &raw mut fs) != 0
            {
                return Err(ShareError::System(io::Error::last_os_error()));
            }
            let (stat, fs): (libc::stat, libc::statfs) = (stat, fs);
            (stat, fs)
        };
        // A hole in huge pages cannot always be filled again, and then an access is
        // a SIGBUS.
        #[allow(clippy::unnecessary_cast, reason = "the type differs between machines")]
        if fs.f_type as u64 & 0xffff_ffff == HUGETLBFS {
            return Err(ShareError::HugePages);
        }
        let has = u64::try_from(stat.st_size).unwrap_or(0);
        if has < len {
            return Err(ShareError::Short { has, says: len });
        }
        let len = usize::try_from(len)
            .ok()
            .filter(|&len| len <= isize::MAX as usize && len % PAGE == 0 && len > 0)
            .ok_or(ShareError::Size(len))?;
        Self::map(fd, len).map_err(ShareError::System)
    }

    fn map(fd: &OwnedFd, len: usize) -> io::Result<Self> {
        // SAFETY: a new mapping; touches no other memory.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // Fewer faults where the kernel has huge pages for shared memory; a refusal
        // changes nothing.
        // SAFETY: the mapping made above.
        unsafe { libc::madvise(at, len, libc::MADV_HUGEPAGE) };
        let at = NonNull::new(at.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { at, len })
    }

    /// Bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never true: a region has at least a page.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where `len` bytes from `offset` on are; `None` unless all lie inside.
    #[must_use]
    pub fn at(&self, offset: usize, len: usize) -> Option<NonNull<u8>> {
        let end = offset.checked_add(len)?;
        if end > self.len {
            return None;
        }
        // SAFETY: inside the mapping, as checked.
        Some(unsafe { self.at.add(offset) })
    }

    /// The beginning.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.at
    }

    /// Lets this process have no page of it until the next access. What is in it stays.
    pub(crate) fn rest(&self) {
        // SAFETY: a shared mapping of ours: its pages stay in the memfd, and come back
        // by themselves.
        unsafe { libc::madvise(self.at.as_ptr().cast(), self.len, libc::MADV_DONTNEED) };
    }

    /// Gives the pages of a part back; it reads as zeros then.
    pub(crate) fn release(&self, offset: usize, len: usize) {
        if let Some(at) = self.at(offset, len) {
            // SAFETY: a part of a shared mapping of ours that nobody uses.
            unsafe { libc::madvise(at.as_ptr().cast(), len, libc::MADV_REMOVE) };
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and goes with its owner.
        unsafe { libc::munmap(self.at.as_ptr().cast(), self.len) };
    }
}

/// Sends bytes with descriptors on a Unix socket.
pub(crate) fn send_fds(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
    flags: i32,
) -> io::Result<usize> {
    let raw: Vec<i32> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let mut control = [0_u64; CONTROL / 8];
    let mut piece = crate::sys::piece(bytes);
    // At most two descriptors.
    let size = size_of_val(&raw[..]) as u32;
    // SAFETY: a plain C structure; zeros are valid. The control buffer is aligned and
    // has room for two descriptors, which is asserted; all outlives the call.
    let n = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut piece;
        message.msg_iovlen = 1;
        assert!(libc::CMSG_SPACE(size) as usize <= CONTROL);
        if !raw.is_empty() {
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(size) as _;
            let head = libc::CMSG_FIRSTHDR(&raw const message);
            (*head).cmsg_level = libc::SOL_SOCKET;
            (*head).cmsg_type = libc::SCM_RIGHTS;
            (*head).cmsg_len = libc::CMSG_LEN(size) as _;
            let to = libc::CMSG_DATA(head);
            std::ptr::copy_nonoverlapping(raw.as_ptr().cast(), to, size as usize);
        }
        libc::sendmsg(
            socket.as_raw_fd(),
            &raw const message,
            flags | libc::MSG_NOSIGNAL,
        )
    };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Room for three descriptors.
const CONTROL: usize = 64;

/// Receives bytes, and the descriptors that came with them: at most three, further
/// ones are closed.
pub(crate) fn receive_fds(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
    flags: i32,
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut control = [0_u64; CONTROL / 8];
    let mut piece = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: as in `send_fds`; the kernel writes at most the lengths given, and the
    // descriptors it installs belong to nobody else.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut piece;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        // One more than anybody needs, so that too many are noticed.
        message.msg_controllen = libc::CMSG_SPACE(12) as _;
        let flags = flags | libc::MSG_CMSG_CLOEXEC;
        let n = libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags);
        let n = usize::try_from(n).map_err(|_| io::Error::last_os_error())?;
        let mut fds = Vec::new();
        let mut head = libc::CMSG_FIRSTHDR(&raw const message);
        while let Some(cmsg) = head.as_ref() {
            if cmsg.cmsg_level == libc::SOL_SOCKET && cmsg.cmsg_type == libc::SCM_RIGHTS {
                #[allow(
                    clippy::unnecessary_cast,
                    reason = "the type differs between C libraries"
                )]
                let size = (cmsg.cmsg_len as usize).saturating_sub(libc::CMSG_LEN(0) as usize);
                for i in 0..size / 4 {
                    let fd = libc::CMSG_DATA(head).cast::<i32>().add(i).read_unaligned();
                    fds.push(OwnedFd::from_raw_fd(fd));
                }
            }
            head = libc::CMSG_NXTHDR(&raw const message, head);
        }
        Ok((n, fds))
    }
}
