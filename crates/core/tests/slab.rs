//! The table of numbered slots.

#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU64, Ordering};
use vaccel_core::slab::Slab;

#[test]
fn numbers_start_at_one_and_are_reused() {
    static SLAB: Slab<AtomicU64> = Slab::new();
    let (a, _) = SLAB.take(0).unwrap();
    let (b, _) = SLAB.take(0).unwrap();
    assert_eq!((a, b), (1, 2));
    SLAB.give_back(a);
    assert_eq!(SLAB.take(0).unwrap().0, 1);
}

#[test]
fn numbers_that_were_never_given_out_find_nothing() {
    static SLAB: Slab<AtomicU64> = Slab::new();
    for id in [0, -1, i64::MIN, i64::MAX, 1, 65, 1 << 40] {
        assert!(SLAB.get(id).is_none(), "{id}");
    }
}

#[test]
fn classes_keep_the_order_of_taking() {
    static SLAB: Slab<AtomicU64> = Slab::new();
    let ids: Vec<_> = (0..300).map(|i| SLAB.take(i % 3).unwrap().0).collect();
    for id in ids.iter().filter(|id| **id % 2 == 0) {
        SLAB.give_back(*id);
    }
    let expected: Vec<_> = ids
        .iter()
        .copied()
        .filter(|id| id % 2 == 1 && (id - 1) % 3 == 1)
        .collect();
    assert_eq!(SLAB.all(1), expected);
    assert_eq!(SLAB.first(1), expected.first().copied());
    assert_eq!(SLAB.len(), 150);
}

#[test]
fn slots_do_not_move() {
    static SLAB: Slab<AtomicU64> = Slab::new();
    let (id, slot) = SLAB.take(0).unwrap();
    slot.store(42, Ordering::Relaxed);
    for _ in 0..1000 {
        SLAB.take(0).unwrap();
    }
    assert_eq!(SLAB.get(id).unwrap().load(Ordering::Relaxed), 42);
}
