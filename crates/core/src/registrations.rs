//! Which resources are registered with a session, and which just are being.

use crate::ordered::OrderedSet;
use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How many types of resources there are.
pub(crate) const TYPES: usize = 3;

/// A thread that lives, by the address of something that it alone has.
pub(crate) type Thread = usize;

/// What a thread that wants to register a resource is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It is this thread's to do; it ends with `link` or `give_up`.
    Granted,
    /// It is done already.
    Done,
    /// The same thread is just at it, further up.
    OwnUnderway,
}

/// The registered resources of one session.
#[derive(Debug, Default)]
pub(crate) struct Registrations {
    state: Mutex<State>,
    /// A registration that was under way has ended.
    changed: Condvar,
}

/// What the lock of a session guards.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Numbers of the registered resources, by type.
    pub(crate) resources: [OrderedSet; TYPES],
    /// Resources that are being registered, by whom.
    underway: Vec<(u32, Thread)>,
    /// Threads that wait for one of those to end.
    waiters: u32,
}

impl State {
    fn end(&mut self, id: u32) -> bool {
        self.underway.retain(|(other, _)| *other != id);
        self.waiters > 0
    }
}

/// The sessions that a resource is registered with: the other side of the relation,
/// whose lock is taken first.
pub(crate) type Sessions = Mutex<OrderedSet>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registrations {
    /// The session's side, to be looked at.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Marks a registration as under way. Waits for another thread that is at it.
    pub(crate) fn claim(&self, id: u32, class: usize, thread: Thread) -> Claim {
        let mut state = self.lock();
        loop {
            if state.resources[class].contains(id) {
                return Claim::Done;
            }
            match state.underway.iter().find(|(other, _)| *other == id) {
                None => {
                    state.underway.push((id, thread));
                    return Claim::Granted;
                }
                Some((_, other)) if *other == thread => return Claim::OwnUnderway,
                Some(_) => {
                    state.waiters += 1;
                    state = self
                        .changed
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                    state.waiters -= 1;
                }
            }
        }
    }

    /// Ends a registration that has failed: the next thread may try.
    pub(crate) fn give_up(&self, id: u32) {
        let waits = self.lock().end(id);
        self.wake(waits);
    }

    /// Ends a registration that went well, on both sides at once; `show` sees both
    /// when something has changed.
    pub(crate) fn link(
        &self,
        (id, class): (u32, usize),
        sessions: &Sessions,
        session: u32,
        show: impl FnOnce(&OrderedSet, &OrderedSet),
    ) {
        // One critical section for both: a thread that waits finds the resource there.
        let mut sessions = lock(sessions);
        let mut state = self.lock();
        if state.resources[class].insert(id) {
            sessions.insert(session);
            show(&state.resources[class], &sessions);
        }
        let waits = state.end(id);
        drop((state, sessions));
        self.wake(waits);
    }

    /// Takes a registration back; false when there is none.
    pub(crate) fn unlink(
        &self,
        (id, class): (u32, usize),
        sessions: &Sessions,
        session: u32,
        show: impl FnOnce(&OrderedSet, &OrderedSet),
    ) -> bool {
        let mut sessions = lock(sessions);
        let mut state = self.lock();
        if !state.resources[class].remove(id) {
            return false;
        }
        sessions.remove(session);
        show(&state.resources[class], &sessions);
        true
    }

    /// Waking nobody would still be a system call.
    fn wake(&self, someone_waits: bool) {
        if someone_waits {
            self.changed.notify_all();
        }
    }
}
