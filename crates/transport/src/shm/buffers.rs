//! Buffers of the application that lie in shared memory: its calls copy nothing.

use super::arena::{Arena, Block, Lent};
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// By address. A buffer outlives its connection: then it is memory like any other.
static BUFFERS: Mutex<BTreeMap<usize, Arc<Block>>> = Mutex::new(BTreeMap::new());
/// How many there are, so that those who have none do not lock.
static COUNT: AtomicUsize = AtomicUsize::new(0);

fn lock() -> MutexGuard<'static, BTreeMap<usize, Arc<Block>>> {
    BUFFERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives a block to the application; its address.
#[must_use]
pub fn enter(block: Arc<Block>) -> NonNull<u8> {
    let at = block.at();
    lock().insert(at.as_ptr() as usize, block);
    COUNT.fetch_add(1, Ordering::Release);
    at
}

/// Takes a buffer back. False when there is none at this address. Its memory is used
/// again once no call uses it any more.
#[must_use]
pub fn leave(at: *const u8) -> bool {
    let block = lock().remove(&(at as usize));
    if block.is_some() {
        COUNT.fetch_sub(1, Ordering::Release);
    }
    block.is_some()
}

/// The place of `len` bytes that lie in a buffer of this arena.
#[must_use]
pub fn find(arena: &Arc<Arena>, at: *const u8, len: usize) -> Option<Lent> {
    if COUNT.load(Ordering::Acquire) == 0 {
        return None;
    }
    let address = at as usize;
    let buffers = lock();
    let (&start, block) = buffers.range(..=address).next_back()?;
    let skip = address - start;
    let inside = skip < block.len() && len <= block.len() - skip;
    (inside && block.is_of(arena)).then(|| block.lend(skip))
}
