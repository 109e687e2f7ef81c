//! The table of numbered slots.

use crate::slab::Slab;
use loom::thread;
use std::sync::atomic::AtomicUsize as Plain;
use std::sync::atomic::Ordering::Relaxed;

/// Tables live for ever: a checker runs this many thousand times, so it is small.
fn table() -> &'static Slab<Plain> {
    Box::leak(Box::new(Slab::new()))
}

#[test]
fn two_threads_never_hold_the_same_number() {
    loom::model(|| {
        let slab = table();
        let work = move || {
            // Twice, so that a number is also taken again.
            for _ in 0..2 {
                let (id, slot) = slab.take(0).unwrap();
                assert_eq!(slot.fetch_add(1, Relaxed), 0, "slot {id} has two owners");
                thread::yield_now();
                assert!(std::ptr::eq(slab.get(id).unwrap(), slot));
                slot.fetch_sub(1, Relaxed);
                slab.give_back(id);
            }
        };
        let other = thread::spawn(work);
        work();
        other.join().unwrap();
        assert!(slab.is_empty());
        assert_eq!(slab.first(0), None);
    });
}

#[test]
fn a_number_finds_its_slot_while_others_are_taken() {
    loom::model(|| {
        let slab = table();
        let (id, slot) = slab.take(0).unwrap();
        let reader = thread::spawn(move || {
            // A number that another thread is just being given finds its slot or nothing.
            let _ = slab.get(id + 1).map(|slot| slot.load(Relaxed));
            assert!(std::ptr::eq(slab.get(id).unwrap(), slot));
        });
        let (other, _) = slab.take(1).unwrap();
        assert_eq!(other, id + 1);
        assert_eq!((slab.first(0), slab.first(1)), (Some(id), Some(other)));
        reader.join().unwrap();
        assert_eq!(slab.all(0), [id]);
    });
}

#[test]
fn the_lists_of_classes_hold_what_is_taken() {
    loom::model(|| {
        let slab = table();
        let other = thread::spawn(move || slab.take(0).unwrap().0);
        let (first, _) = slab.take(0).unwrap();
        slab.give_back(first);
        let second = other.join().unwrap();
        assert_eq!(slab.all(0), [second]);
        assert_eq!(slab.len(), 1);
    });
}
