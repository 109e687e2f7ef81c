//! Arguments of calls in shared memory.

use super::Connection;
use crate::outputs::Collect;
use crate::shm::{Arena, Block, Lent, ShareError, THRESHOLD, buffers};
use std::sync::Arc;
use vaccel_wire::FrameBuffer;
use vaccel_wire::control::REGION_ADD;

impl Connection {
    /// The shared memory, when there is any.
    #[must_use]
    pub fn arena(&self) -> Option<&Arc<Arena>> {
        self.memory.as_ref().map(|memory| &memory.arena)
    }

    /// Why no memory is shared although the agent offered to; for the log.
    #[must_use]
    pub fn not_shared(&self) -> Option<&str> {
        self.not_shared.as_deref()
    }

    /// A block of shared memory; `None` when none is shared, or there is no room and
    /// the agent allows no more.
    #[must_use]
    pub fn block(&self, len: usize) -> Option<Arc<Block>> {
        let memory = self.memory.as_ref()?;
        if let Some(block) = memory.arena.take(len) {
            return Some(block);
        }
        memory.grow(len, |size| self.announce(size)).ok()?;
        memory.arena.take(len)
    }

    fn announce(&self, size: u64) -> Result<u32, ShareError> {
        let refused = |text: String, status| ShareError::Refused { status, text };
        let mut buffer = FrameBuffer::new();
        let mut builder = buffer.request(REGION_ADD);
        builder
            .read_scalar(size)
            .write_capacity(vaccel_abi::arg::ARG_UINT32, 0, 4);
        let mut frame = builder.finish()?;
        let mut collect = Collect::default();
        self.call(&mut frame, 0, None, &mut collect)
            .map_err(|e| refused(e.to_string(), e.code()))?;
        match collect.outputs.first().map(|o| <[u8; 4]>::try_from(&o[..])) {
            Some(Ok(number)) => Ok(u32::from_le_bytes(number)),
            _ => Err(refused(
                "it gives no number to a region".into(),
                vaccel_abi::error::EREMOTEIO,
            )),
        }
    }

    /// Where bytes lie in shared memory: where they are, when the application has them
    /// there already, else where they have been copied to. `None` when they are to be
    /// sent: they are few, or there is no room.
    #[must_use]
    pub fn lend(&self, bytes: &[u8]) -> Option<Lent> {
        if bytes.len() < THRESHOLD {
            return None;
        }
        let arena = self.arena()?;
        if let Some(lent) = aligned(buffers::find(arena, bytes.as_ptr(), bytes.len())) {
            return Some(lent);
        }
        let block = self.block(bytes.len())?;
        // SAFETY: the block has at least as many bytes, and no references lead there.
        unsafe {
            let to = block.at().as_ptr();
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
        }
        Some(block.lend(0))
    }

    /// Where `len` bytes that are wanted at `at` may be written in shared memory; as
    /// [`lend`](Self::lend), without copying anything. When the place is another than
    /// `at` the caller copies from there.
    #[must_use]
    pub fn lend_room(&self, at: *const u8, len: usize) -> Option<Lent> {
        if len < THRESHOLD {
            return None;
        }
        let arena = self.arena()?;
        if let Some(lent) = aligned(buffers::find(arena, at, len)) {
            return Some(lent);
        }
        Some(self.block(len)?.lend(0))
    }

    /// As [`lend_room`](Self::lend_room), never where the application has its own.
    #[must_use]
    pub fn lend_other_room(&self, len: usize) -> Option<Lent> {
        if len < THRESHOLD {
            return None;
        }
        Some(self.block(len)?.lend(0))
    }
}

/// Places that the protocol does not allow are copied like others.
fn aligned(lent: Option<Lent>) -> Option<Lent> {
    lent.filter(|lent| lent.place.offset % 64 == 0)
}
