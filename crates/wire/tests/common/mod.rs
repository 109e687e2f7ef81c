//! Things the tests share: seeded numbers, frames as bytes, counted memory.
#![allow(dead_code, clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use vaccel_wire::{Frame, HEADER_LEN, Header};

/// Numbers that are the same in every run (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub(crate) fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next() as u8).collect()
    }
}

pub(crate) fn bytes(frame: &Frame<'_, '_>) -> Vec<u8> {
    let all: Vec<u8> = frame.slices().flatten().copied().collect();
    assert!(frame.slices().all(|s| !s.is_empty()));
    assert_eq!(all.len() as u64, frame.frame_len());
    all
}

pub(crate) fn split(frame: &[u8]) -> (Header, &[u8], &[u8]) {
    let header = Header::decode(frame[..HEADER_LEN].try_into().unwrap()).unwrap();
    let (meta, payload) = frame[HEADER_LEN..].split_at(header.meta_len as usize);
    assert_eq!(payload.len() as u64, header.payload_len);
    (header, meta, payload)
}

/// Counts what a thread allocates.
pub(crate) struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: hands every request on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is going away has no counters any more.
        let _ = COUNT.try_with(|c| c.set(c.get() + 1));
        let _ = LARGEST.try_with(|l| l.set(l.get().max(layout.size())));
        // SAFETY: same contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: same contract.
        unsafe { System.dealloc(ptr, layout) }
    }
}

/// What `f` returns, how often it allocated, and the most it asked for at once.
pub(crate) fn counted<T>(f: impl FnOnce() -> T) -> (T, usize, usize) {
    COUNT.with(|c| c.set(0));
    LARGEST.with(|l| l.set(0));
    let value = f();
    (value, COUNT.with(Cell::get), LARGEST.with(Cell::get))
}
