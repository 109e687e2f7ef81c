//! The word by which the reader of a ring says that it sleeps.
//!
//! The writer moves the tail and then looks at the word; the reader sets the word and
//! then looks at the tail. Between the two steps of each is a full fence, so at least
//! one of them sees what the other did: either the reader finds the bytes, or the
//! writer rings. The same holds for a reader that has no thread any more and has left
//! the socket to an epoll: a bell makes the socket readable, and it stays so until
//! somebody has taken it.
//!
//! The word lies in shared memory, so the other side may write anything to it. A bell
//! too many makes a reader look once more; one too few delays only who did not ring.

use std::sync::atomic::{AtomicU32, Ordering, fence};

/// A word of shared memory. A trait, so that a model checker can bring its own.
pub(crate) trait Word {
    fn load(&self, order: Ordering) -> u32;
    fn store(&self, value: u32, order: Ordering);
    /// A full fence.
    fn fence();
}

impl Word for AtomicU32 {
    fn load(&self, order: Ordering) -> u32 {
        self.load(order)
    }

    fn store(&self, value: u32, order: Ordering) {
        self.store(value, order);
    }

    fn fence() {
        fence(Ordering::SeqCst);
    }
}

/// For the writer, after it has moved the tail: true when it must ring.
pub(crate) fn must_ring<W: Word>(asleep: &W) -> bool {
    W::fence();
    if asleep.load(Ordering::Relaxed) == 0 {
        return false;
    }
    // This may undo what a reader says that has got up and lain down meanwhile: it is
    // rung for all the same.
    asleep.store(0, Ordering::Relaxed);
    true
}

/// For the reader: says that it sleeps. True when it may: there is nothing to read,
/// and who writes from now on rings.
pub(crate) fn lie_down<W: Word>(asleep: &W, is_empty: impl FnOnce() -> bool) -> bool {
    asleep.store(1, Ordering::Relaxed);
    W::fence();
    if is_empty() {
        return true;
    }
    get_up(asleep);
    false
}

/// For the reader: it looks by itself again.
pub(crate) fn get_up<W: Word>(asleep: &W) {
    asleep.store(0, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use loom::sync::atomic::{AtomicU32 as LoomU32, fence as loom_fence};
    use loom::sync::{Arc, Condvar, Mutex};
    use loom::thread;

    impl Word for LoomU32 {
        fn load(&self, order: Ordering) -> u32 {
            self.load(order)
        }

        fn store(&self, value: u32, order: Ordering) {
            self.store(value, order);
        }

        fn fence() {
            loom_fence(Ordering::SeqCst);
        }
    }

    fn model(f: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        // Every order with so many switches in the middle of something.
        builder.preemption_bound = Some(3);
        builder.check(f);
    }

    /// Shared memory, and a socket that holds bells.
    struct Ring {
        tail: LoomU32,
        asleep: LoomU32,
        bells: Mutex<u32>,
        rung: Condvar,
    }

    impl Ring {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                tail: LoomU32::new(0),
                asleep: LoomU32::new(0),
                bells: Mutex::new(0),
                rung: Condvar::new(),
            })
        }

        fn write(&self, tail: u32) {
            self.tail.store(tail, Ordering::Release);
            if must_ring(&self.asleep) {
                *self.bells.lock().unwrap() += 1;
                self.rung.notify_one();
            }
        }

        fn is_empty(&self, head: u32) -> bool {
            self.tail.load(Ordering::Acquire) == head
        }

        /// Waits for a bell; `take` as a receive does, or leaves it as an epoll does.
        fn wait(&self, take: bool) {
            let mut bells = self.bells.lock().unwrap();
            while *bells == 0 {
                bells = self.rung.wait(bells).unwrap();
            }
            if take {
                *bells = 0;
            }
        }

        /// Reads until `last`; a lost bell is a deadlock, which the model finds.
        fn read(&self, last: u32) {
            let mut head = 0;
            while head != last {
                head = self.tail.load(Ordering::Acquire);
                if head != last && lie_down(&self.asleep, || self.is_empty(head)) {
                    self.wait(true);
                    get_up(&self.asleep);
                }
            }
        }
    }

    #[test]
    fn no_bell_is_lost_whatever_the_order() {
        model(|| {
            let ring = Ring::new();
            let writer = Arc::clone(&ring);
            let thread = thread::spawn(move || {
                writer.write(1);
                writer.write(2);
            });
            ring.read(2);
            thread.join().unwrap();
        });
    }

    #[test]
    fn a_reader_that_has_given_up_its_thread_is_called_back() {
        model(|| {
            let ring = Ring::new();
            let writer = Arc::clone(&ring);
            let wrote = thread::spawn(move || {
                writer.write(1);
                writer.write(2);
            });
            // The reader finds nothing, and parks: it leaves the word set and the
            // socket to another thread, which gives the reading to a third.
            let parked = lie_down(&ring.asleep, || ring.is_empty(0));
            let poller = Arc::clone(&ring);
            let polled = thread::spawn(move || {
                if parked {
                    poller.wait(false);
                }
                poller.read(2);
            });
            polled.join().unwrap();
            wrote.join().unwrap();
        });
    }

    #[test]
    fn a_word_that_the_other_side_scribbles_on_costs_a_look_and_no_more() {
        model(|| {
            let ring = Ring::new();
            let writer = Arc::clone(&ring);
            let thread = thread::spawn(move || {
                // It says that the reader sleeps, whether it does or not.
                writer.asleep.store(u32::MAX, Ordering::Relaxed);
                writer.write(1);
            });
            ring.read(1);
            thread.join().unwrap();
        });
    }
}
