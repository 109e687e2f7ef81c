//! Numbered slots that never move: number to slot without a lock.

use crate::sync::{AtomicPtr, CHUNKS, Mutex, Ordering, constant, nulls};
use crate::{Result, fail, lock};
use vaccel_abi::vaccel_id_t;

const CHUNK: usize = 64;
/// How many slots there can be.
pub const CAPACITY: usize = CHUNK * CHUNKS;
/// How many classes of slots.
pub const CLASSES: usize = 3;
const NONE: u32 = u32::MAX;

/// A table of up to [`CAPACITY`] slots, numbered from 1.
///
/// A slot is made when its number is first given out and stays for ever, so a
/// number that is out of date finds a slot that says so, never freed memory.
/// Used slots are linked by class (the type of a resource) in the order in
/// which they were taken.
pub struct Slab<T: 'static> {
    chunks: [AtomicPtr<[T; CHUNK]>; CHUNKS],
    free: Mutex<Free>,
}

struct Free {
    /// Slots below this one were given out at least once.
    fresh: u32,
    reusable: Vec<u32>,
    links: Vec<Link>,
    first: [u32; CLASSES],
    last: [u32; CLASSES],
    count: [usize; CLASSES],
}

#[derive(Clone, Copy)]
struct Link {
    previous: u32,
    next: u32,
    class: u32,
}

impl<T: Default + Sync + 'static> Slab<T> {
    constant! {
        /// An empty table; allocates nothing.
        #[must_use]
        #[allow(clippy::new_without_default)]
        pub fn new() -> Self {
            Self {
                chunks: nulls!(CHUNKS),
                free: Mutex::new(Free {
                    fresh: 0,
                    reusable: Vec::new(),
                    links: Vec::new(),
                    first: [NONE; CLASSES],
                    last: [NONE; CLASSES],
                    count: [0; CLASSES],
                }),
            }
        }
    }

    /// Takes a slot of a class below [`CLASSES`].
    ///
    /// # Errors
    /// `EUSERS` when all are taken.
    #[inline]
    pub fn take(&'static self, class: usize) -> Result<(vaccel_id_t, &'static T)> {
        let mut free = lock(&self.free);
        let index = match free.reusable.pop() {
            Some(index) => index,
            None if (free.fresh as usize) < CAPACITY => self.fresh(&mut free),
            None => fail!(
                EUSERS,
                "all {CAPACITY} numbers are in use; release what is not needed"
            ),
        };
        free.link(index, class);
        drop(free);
        let id = vaccel_id_t::from(index) + 1;
        match self.get(id) {
            Some(slot) => Ok((id, slot)),
            None => fail!(EFAULT, "slot {id} is missing"),
        }
    }

    /// A slot that was never given out, in a chunk that may have to be made.
    #[cold]
    fn fresh(&self, free: &mut Free) -> u32 {
        let index = free.fresh;
        if (index as usize).is_multiple_of(CHUNK) {
            let chunk: Box<[T; CHUNK]> = Box::new(std::array::from_fn(|_| T::default()));
            self.chunks[index as usize / CHUNK].store(Box::into_raw(chunk), Ordering::Release);
        }
        free.links.push(Link {
            previous: NONE,
            next: NONE,
            class: 0,
        });
        free.fresh += 1;
        index
    }

    /// Gives a slot back. The caller took it and gives it back once.
    #[inline]
    pub fn give_back(&self, id: vaccel_id_t) {
        let Some(index) = index(id) else { return };
        let mut free = lock(&self.free);
        free.unlink(index);
        free.reusable.push(index);
    }

    /// The slot of a number that was given out at some time.
    #[inline]
    #[must_use]
    pub fn get(&self, id: vaccel_id_t) -> Option<&'static T> {
        let index = index(id)? as usize;
        let chunk = self.chunks.get(index / CHUNK)?.load(Ordering::Acquire);
        if chunk.is_null() {
            return None;
        }
        // SAFETY: chunks come from `Box::into_raw` and are never freed.
        Some(unsafe { &(&*chunk)[index % CHUNK] })
    }

    /// The number of the slot of a class that was taken first.
    #[must_use]
    pub fn first(&self, class: usize) -> Option<vaccel_id_t> {
        let first = lock(&self.free).first[class];
        (first != NONE).then(|| vaccel_id_t::from(first) + 1)
    }

    /// The numbers of all slots of a class in the order in which they were taken.
    #[must_use]
    pub fn all(&self, class: usize) -> Vec<vaccel_id_t> {
        let free = lock(&self.free);
        let mut ids = Vec::with_capacity(free.count[class]);
        let mut at = free.first[class];
        while at != NONE {
            ids.push(vaccel_id_t::from(at) + 1);
            at = free.links[at as usize].next;
        }
        ids
    }

    /// How many slots are taken.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.free).count.iter().sum()
    }

    /// True when none is taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[inline]
fn index(id: vaccel_id_t) -> Option<u32> {
    u32::try_from(id.checked_sub(1)?).ok()
}

impl Free {
    fn link(&mut self, index: u32, class: usize) {
        let last = self.last[class];
        self.links[index as usize] = Link {
            previous: last,
            next: NONE,
            class: class as u32,
        };
        match last {
            NONE => self.first[class] = index,
            last => self.links[last as usize].next = index,
        }
        self.last[class] = index;
        self.count[class] += 1;
    }

    fn unlink(&mut self, index: u32) {
        let Link {
            previous,
            next,
            class,
        } = self.links[index as usize];
        match previous {
            NONE => self.first[class as usize] = next,
            previous => self.links[previous as usize].next = next,
        }
        match next {
            NONE => self.last[class as usize] = previous,
            next => self.links[next as usize].previous = previous,
        }
        self.count[class as usize] -= 1;
    }
}
