//! The client's part of shared memory: blocks for the arguments of calls.

use super::Region;
use super::region::PAGE;
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vaccel_wire::Place;

/// The pages of freed blocks up to this size are kept: a first touch costs many times
/// what a copy costs.
const KEEP: usize = 128 << 20;

/// Blocks of shared memory. The lowest free place is given out first, so that the
/// same pages are used again and again while they are warm.
#[derive(Debug)]
pub struct Arena {
    state: Mutex<State>,
    limit: u64,
}

#[derive(Debug, Default)]
struct State {
    regions: Vec<Space>,
    /// Bytes of all regions, and of those on their way.
    total: u64,
}

#[derive(Debug)]
struct Space {
    number: u16,
    region: Arc<Region>,
    /// Length of each free piece by its offset; neighbours are joined.
    free: BTreeMap<usize, usize>,
}

/// A block of an arena; free again when the last who has it lets go.
#[derive(Debug)]
pub struct Block {
    arena: Arc<Arena>,
    region: Arc<Region>,
    number: u16,
    offset: usize,
    len: usize,
}

/// Where an argument of a call lies in shared memory.
#[derive(Debug, Clone)]
pub struct Lent {
    /// What a descriptor says.
    pub place: Place,
    /// Kept until nobody writes to it any more.
    pub block: Arc<Block>,
    /// The same place in this process.
    pub at: NonNull<u8>,
}

// SAFETY: the pointer leads into the block, which is kept along.
unsafe impl Send for Lent {}
// SAFETY: as above.
unsafe impl Sync for Lent {}

impl Arena {
    /// An arena without memory; all regions together may have `limit` bytes.
    #[must_use]
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            limit,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in a critical section panics half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves room for a further region; false when that is beyond the limit.
    pub(crate) fn reserve(&self, len: u64) -> bool {
        let mut state = self.lock();
        match state.total.checked_add(len) {
            Some(total) if total <= self.limit => {
                state.total = total;
                true
            }
            _ => false,
        }
    }

    /// Bytes that further regions may have.
    pub(crate) fn left(&self) -> u64 {
        self.limit.saturating_sub(self.lock().total)
    }

    /// Takes back what [`reserve`](Self::reserve) gave.
    pub(crate) fn unreserve(&self, len: u64) {
        self.lock().total -= len;
    }

    /// Adds a region, from an offset on.
    pub(crate) fn add(&self, number: u16, region: Arc<Region>, from: usize) {
        let free = BTreeMap::from([(from, region.len().saturating_sub(from))]);
        self.lock().regions.push(Space {
            number,
            region,
            free,
        });
    }

    /// A block of at least `len` bytes at a multiple of 4096; `None` when there is no
    /// room. Its bytes are what an earlier use left.
    #[must_use]
    pub fn take(self: &Arc<Self>, len: usize) -> Option<Arc<Block>> {
        let len = len.max(1).checked_next_multiple_of(PAGE)?;
        let mut state = self.lock();
        for space in &mut state.regions {
            let fits = space.free.iter().find(|&(_, &l)| l >= len);
            let Some((&offset, &there)) = fits else {
                continue;
            };
            space.free.remove(&offset);
            if there > len {
                space.free.insert(offset + len, there - len);
            }
            return Some(Arc::new(Block {
                arena: Arc::clone(self),
                region: Arc::clone(&space.region),
                number: space.number,
                offset,
                len,
            }));
        }
        None
    }

    fn give(&self, block: &Block) {
        let mut state = self.lock();
        let space = state.regions.iter_mut().find(|s| s.number == block.number);
        let Some(Space { free, .. }) = space else {
            return;
        };
        let (mut offset, mut len) = (block.offset, block.len);
        if let Some((&before, &l)) = free.range(..offset).next_back()
            && before + l == offset
        {
            free.remove(&before);
            offset = before;
            len += l;
        }
        if let Some(l) = free.remove(&(block.offset + block.len)) {
            len += l;
        }
        free.insert(offset, len);
    }

    /// Bytes that are given out.
    #[must_use]
    pub fn in_use(&self) -> usize {
        let state = self.lock();
        let free: usize = state.regions.iter().flat_map(|s| s.free.values()).sum();
        let all: usize = state.regions.iter().map(|s| s.region.len()).sum();
        all - free
    }
}

impl Block {
    /// Its bytes in this process.
    #[must_use]
    pub fn at(&self) -> NonNull<u8> {
        // SAFETY: the arena gives out places inside the region only.
        unsafe { self.region.base().add(self.offset) }
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never true.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// True when it is of this arena.
    #[must_use]
    pub fn is_of(&self, arena: &Arc<Arena>) -> bool {
        Arc::ptr_eq(&self.arena, arena)
    }

    /// A part of it as an argument.
    #[must_use]
    pub fn lend(self: &Arc<Self>, skip: usize) -> Lent {
        debug_assert!(skip < self.len);
        Lent {
            place: Place {
                region: self.number,
                offset: (self.offset + skip) as u64,
            },
            // SAFETY: inside the block.
            at: unsafe { self.at().add(skip) },
            block: Arc::clone(self),
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if self.len > KEEP {
            self.region.release(self.offset, self.len);
        }
        self.arena.give(self);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn arena() -> Arc<Arena> {
        let arena = Arena::new(1 << 20);
        assert!(arena.reserve(1 << 20) && !arena.reserve(1));
        let (region, _fd) = Region::create(1 << 20).unwrap();
        arena.add(0, Arc::new(region), PAGE);
        arena
    }

    #[test]
    fn blocks_do_not_meet_and_are_used_again() {
        let arena = arena();
        let before = arena.in_use();
        let a = arena.take(1).unwrap();
        let b = arena.take(100_000).unwrap();
        assert_eq!((a.len(), b.len()), (PAGE, 102_400));
        assert_eq!(a.lend(0).place.offset, PAGE as u64);
        assert_eq!(b.lend(64).place.offset, 2 * PAGE as u64 + 64);
        let at = b.at();
        drop(b);
        assert_eq!(arena.take(4096).unwrap().at(), at, "the lowest place");
        assert!(arena.take(1 << 20).is_none());
        drop(a);
        // All pieces have been joined again.
        assert_eq!(arena.in_use(), before);
        assert!(arena.take((1 << 20) - PAGE).is_some());
    }

    #[test]
    fn a_block_is_kept_while_it_is_lent() {
        let arena = arena();
        let block = arena.take(PAGE).unwrap();
        let lent = block.lend(0);
        let used = arena.in_use();
        drop(block);
        assert_eq!(arena.in_use(), used);
        drop(lent);
        assert_eq!(arena.in_use(), used - PAGE);
    }

    #[test]
    fn memory_comes_from_any_order_of_frees() {
        let arena = arena();
        let mut live = Vec::new();
        let mut seed = 7_u64;
        for _ in 0..2000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let n = (seed >> 33) as usize;
            if n.is_multiple_of(3) && !live.is_empty() {
                live.swap_remove(n % live.len());
            } else if let Some(block) = arena.take(n % 60_000) {
                live.push(block);
            }
            let mut places: Vec<_> = live.iter().map(|b| (b.offset, b.len)).collect();
            places.sort_unstable();
            assert!(places.windows(2).all(|w| w[0].0 + w[0].1 <= w[1].0));
        }
        live.clear();
        assert!(arena.take((1 << 20) - PAGE).is_some());
    }
}
