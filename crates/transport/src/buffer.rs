//! Memory for frames: aligned, reused, and committed only as bytes arrive.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};
use vaccel_wire::ALIGN;

/// Sizes of the buffers that are kept for reuse, and how many of each.
const CLASSES: [(usize, usize); 3] = [(4 << 10, 32), (32 << 10, 8), (256 << 10, 2)];

/// Larger buffers are mapped: the kernel gives each page when it is first
/// written, so that a promise of bytes alone costs nothing.
const MAPPED_FROM: usize = CLASSES[CLASSES.len() - 1].0 + 1;

/// One mapped buffer of up to this size is kept: first touches cost several times
/// what receiving into memory that is there costs. While it is idle the kernel may
/// take its pages whenever it needs them.
const KEEP_MAPPED: usize = if cfg!(target_pointer_width = "64") {
    80 << 20
} else {
    8 << 20
};

/// Mapped buffers of at least this size ask for huge pages.
const HUGE_FROM: usize = 4 << 20;

#[derive(Debug)]
struct Memory {
    at: NonNull<u8>,
    capacity: usize,
    mapped: bool,
}

// SAFETY: it owns its bytes, and nothing else points at them.
unsafe impl Send for Memory {}
// SAFETY: shared access only reads.
unsafe impl Sync for Memory {}

impl Memory {
    fn new(size: usize) -> Option<Self> {
        if size >= MAPPED_FROM {
            return Self::map(size);
        }
        let capacity = CLASSES.iter().map(|c| c.0).find(|&c| c >= size)?;
        let layout = Layout::from_size_align(capacity, ALIGN).ok()?;
        // SAFETY: the size is not 0.
        let at = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Self {
            at,
            capacity,
            mapped: false,
        })
    }

    fn map(size: usize) -> Option<Self> {
        let capacity = size.checked_next_multiple_of(64 << 10)?;
        // SAFETY: a new private mapping; touches no other memory.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                capacity,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return None;
        }
        if capacity >= HUGE_FROM {
            // Fewer faults; refused by kernels without huge pages, which is fine.
            // SAFETY: the mapping made above.
            unsafe { libc::madvise(at, capacity, libc::MADV_HUGEPAGE) };
        }
        Some(Self {
            at: NonNull::new(at.cast())?,
            capacity,
            mapped: true,
        })
    }

    /// Lets the kernel take the pages back when it needs them.
    fn idle(&self) {
        if self.mapped {
            // SAFETY: a live private anonymous mapping of ours.
            unsafe { libc::madvise(self.at.as_ptr().cast(), self.capacity, libc::MADV_FREE) };
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.mapped {
            // SAFETY: the mapping is ours and goes with its owner.
            unsafe { libc::munmap(self.at.as_ptr().cast(), self.capacity) };
        } else if let Ok(layout) = Layout::from_size_align(self.capacity, ALIGN) {
            // SAFETY: allocated with this layout.
            unsafe { dealloc(self.at.as_ptr(), layout) };
        }
    }
}

/// Buffers that wait for their next use. Threads may share one.
#[derive(Default)]
pub struct Pool {
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    classes: [Vec<Memory>; CLASSES.len()],
    mapped: Option<Memory>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// A buffer of `len` bytes at an address that is a multiple of 64. Its
    /// bytes are zeros, or what an earlier use of this pool left. `None` when
    /// there is no memory.
    #[must_use]
    pub fn take(self: &Arc<Self>, len: usize) -> Option<Buffer> {
        let memory = match self.reuse(len) {
            Some(memory) => memory,
            None => Memory::new(len.max(1))?,
        };
        Some(Buffer {
            memory: Some(memory),
            len,
            pool: Arc::clone(self),
        })
    }

    /// As [`take`](Self::take), all zeros.
    #[must_use]
    pub fn take_zeroed(self: &Arc<Self>, len: usize) -> Option<Buffer> {
        if len >= MAPPED_FROM {
            return Some(Buffer {
                memory: Some(Memory::new(len)?),
                len,
                pool: Arc::clone(self),
            });
        }
        let mut buffer = self.take(len)?;
        buffer.fill(0);
        Some(buffer)
    }

    /// Gives the memory of buffers that nobody uses back.
    pub fn rest(&self) {
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        // Not while others wait for the lock.
        drop(idle);
    }

    fn reuse(&self, len: usize) -> Option<Memory> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if len >= MAPPED_FROM {
            let fits = |m: &mut Memory| m.capacity >= len && m.capacity / 4 <= len;
            return idle.mapped.take_if(fits);
        }
        let class = CLASSES.iter().position(|c| c.0 >= len)?;
        idle.classes[class].pop()
    }

    fn give(&self, memory: Memory) {
        if memory.mapped {
            if memory.capacity <= KEEP_MAPPED {
                memory.idle();
                let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
                let before = idle.mapped.replace(memory);
                drop(idle);
                drop(before);
            }
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let class = CLASSES.iter().position(|c| c.0 == memory.capacity);
        if let Some(class) = class
            && idle.classes[class].len() < CLASSES[class].1
        {
            idle.classes[class].push(memory);
        }
    }
}

/// Bytes at an address that is a multiple of 64; goes back to its pool when
/// dropped.
pub struct Buffer {
    /// Always there until `drop`.
    memory: Option<Memory>,
    len: usize,
    pool: Arc<Pool>,
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("len", &self.len).finish()
    }
}

impl Buffer {
    /// One of no bytes, which takes no memory.
    pub(crate) fn none(pool: &Arc<Pool>) -> Self {
        Self {
            memory: None,
            len: 0,
            pool: Arc::clone(pool),
        }
    }

    /// Makes it shorter; a longer `len` changes nothing.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.memory {
            // SAFETY: `len` is at most the capacity, and all bytes have values:
            // they began as zeros.
            Some(memory) => unsafe { std::slice::from_raw_parts(memory.at.as_ptr(), self.len) },
            None => &[],
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &self.memory {
            // SAFETY: as in `deref`; the buffer is borrowed exclusively.
            Some(memory) => unsafe { std::slice::from_raw_parts_mut(memory.at.as_ptr(), self.len) },
            None => &mut [],
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            self.pool.give(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn resident(buffer: &Buffer) -> usize {
        let pages = buffer.len().div_ceil(4096);
        let mut map = vec![0_u8; pages];
        // SAFETY: the mapping is alive and the vector has a byte for each page.
        let code = unsafe {
            libc::mincore(
                buffer.as_ptr().cast_mut().cast(),
                buffer.len(),
                map.as_mut_ptr().cast(),
            )
        };
        assert_eq!(code, 0);
        map.iter().filter(|&&p| p & 1 != 0).count() * 4096
    }

    #[test]
    fn buffers_are_aligned_and_come_back_for_reuse() {
        let pool = Pool::new();
        for len in [
            0,
            1,
            4096,
            4097,
            100_000,
            256 << 10,
            (256 << 10) + 1,
            5 << 20,
        ] {
            let mut buffer = pool.take(len).unwrap();
            assert_eq!((buffer.len(), buffer.as_ptr() as usize % ALIGN), (len, 0));
            buffer.fill(7);
            let at = buffer.as_ptr();
            drop(buffer);
            assert_eq!(pool.take(len).unwrap().as_ptr(), at);
            assert!(pool.take_zeroed(len).unwrap().iter().all(|&b| b == 0));
        }
    }

    #[test]
    fn a_large_buffer_holds_no_memory_before_it_is_written() {
        let pool = Pool::new();
        let mut buffer = pool.take(512 << 20).unwrap();
        assert_eq!(resident(&buffer), 0);
        buffer[0] = 1;
        assert!(resident(&buffer) <= 2 << 20);
    }

    #[test]
    fn a_size_that_no_memory_has_is_refused() {
        // Half of a 32-bit address space can be had.
        #[cfg(target_pointer_width = "64")]
        assert!(Pool::new().take(isize::MAX as usize).is_none());
        assert!(Pool::new().take(usize::MAX).is_none());
    }

    #[test]
    fn very_large_buffers_are_not_kept() {
        let pool = Pool::new();
        drop(pool.take(KEEP_MAPPED * 2));
        assert!(pool.idle.lock().unwrap().mapped.is_none());
        drop(pool.take(KEEP_MAPPED));
        assert!(pool.idle.lock().unwrap().mapped.is_some());
    }
}
