//! Registering a resource with a session.

use crate::ordered::OrderedSet;
use crate::registrations::{Claim, Registrations, Sessions};
use crate::{lock, sync::Mutex};
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize as Plain;
use std::sync::atomic::Ordering::Relaxed;

const RESOURCE: (u32, usize) = (7, 1);
const SESSION: u32 = 3;

/// A session and a resource, and what the plugin was told of them.
#[derive(Default)]
struct World {
    session: Registrations,
    resource: Sessions,
    /// Calls of the plugin that have begun, less those that took it back.
    known: Plain,
    /// What the structures of the program show.
    shown: Plain,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            session: Registrations::default(),
            resource: Mutex::new(OrderedSet::new()),
            ..Self::default()
        })
    }

    /// What `vaccel_resource_register` does; `works`: the plugin agrees.
    fn register(&self, thread: usize, works: bool) -> bool {
        match self.session.claim(RESOURCE.0, RESOURCE.1, thread) {
            Claim::Done => return true,
            Claim::OwnUnderway => panic!("this thread is not at it"),
            Claim::Granted => {}
        }
        assert_eq!(
            self.known.fetch_add(1, Relaxed),
            0,
            "the plugin is asked twice"
        );
        if !works {
            self.known.fetch_sub(1, Relaxed);
            self.session.give_up(RESOURCE.0);
            return false;
        }
        self.session
            .link(RESOURCE, &self.resource, SESSION, |mine, theirs| {
                assert_eq!((mine.len(), theirs.len()), (1, 1));
                self.shown.store(1, Relaxed);
            });
        true
    }

    /// What `vaccel_resource_unregister` does.
    fn unregister(&self) -> bool {
        self.session
            .unlink(RESOURCE, &self.resource, SESSION, |mine, theirs| {
                assert_eq!((mine.len(), theirs.len()), (0, 0));
                self.shown.store(0, Relaxed);
                self.known.fetch_sub(1, Relaxed);
            })
    }

    fn is_registered(&self) -> bool {
        let both = (
            self.session.lock().resources[RESOURCE.1].contains(RESOURCE.0),
            lock(&self.resource).contains(SESSION),
        );
        assert_eq!(both.0, both.1, "the two sides disagree");
        assert_eq!(self.shown.load(Relaxed), usize::from(both.0));
        both.0
    }
}

#[test]
fn a_resource_is_registered_once_however_many_threads_ask() {
    loom::model(|| {
        let world = World::new();
        let other = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.register(2, true))
        };
        assert!(world.register(1, true));
        assert!(other.join().unwrap());
        assert!(world.is_registered());
        assert_eq!(world.known.load(Relaxed), 1);
    });
}

#[test]
fn when_one_thread_fails_the_other_gets_its_turn() {
    loom::model(|| {
        let world = World::new();
        let other = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.register(2, true))
        };
        let mine = world.register(1, false);
        assert!(other.join().unwrap(), "the thread that waits is woken");
        // This thread failed itself, or found that the other had done it.
        let _ = mine;
        assert!(world.is_registered());
    });
}

#[test]
fn registering_and_taking_back_at_once_leave_both_sides_alike() {
    loom::model(|| {
        let world = World::new();
        let other = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.unregister())
        };
        assert!(world.register(1, true));
        let taken_back = other.join().unwrap();
        assert_eq!(world.is_registered(), !taken_back);
        assert_eq!(world.known.load(Relaxed), usize::from(!taken_back));
    });
}

#[test]
fn three_threads_that_wait_are_all_woken() {
    let mut model = loom::model::Builder::new();
    // Beyond three forced switches nothing new appears, and it takes minutes.
    model.preemption_bound = Some(3);
    model.check(|| {
        let world = World::new();
        let others: Vec<_> = [2, 3]
            .map(|thread| {
                let world = Arc::clone(&world);
                thread::spawn(move || world.register(thread, true))
            })
            .into();
        assert!(world.register(1, true));
        for other in others {
            assert!(other.join().unwrap());
        }
        assert!(world.is_registered());
    });
}
