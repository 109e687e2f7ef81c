//! The requests in flight on a connection.

use crate::connection::Submitted;
use crate::message::Message;
use crate::shm::Block;
use std::sync::Arc;
use std::time::Instant;

/// Requests in flight, by the low 16 bits of their numbers.
#[derive(Debug)]
pub(crate) struct Table {
    /// Somebody is reading the stream.
    pub(crate) lead: bool,
    /// Why the connection is of no use any more.
    pub(crate) dead: Option<Arc<str>>,
    /// How many callers wait for room.
    pub(crate) waiting_for_room: u32,
    /// A thread attends to what is watched.
    pub(crate) attended: bool,
    /// How many submitted requests are watched.
    watched: u32,
    slots: Vec<Slot>,
    free: Vec<u16>,
    most: u16,
    next: u64,
    parked: u32,
    /// Shared memory of abandoned requests: it is the agent's until it has answered.
    kept: Vec<(u64, Vec<Arc<Block>>)>,
}

#[derive(Debug)]
struct Slot {
    request: u64,
    state: State,
    parked: bool,
}

#[derive(Debug)]
enum State {
    Free,
    /// Sent, or about to be; somebody will wait for it.
    Pending,
    /// Sent, or about to be; whoever reads its reply delivers it.
    Submitted(Box<Submitted>),
    /// Its reply is being delivered.
    Delivering,
    /// The reply is here, and nobody has taken it yet.
    Done(Message),
    /// Nobody waits for it any more, and the reply is still to come.
    Abandoned,
}

/// What a number in a reply means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    Pending,
    Submitted,
    Abandoned,
    /// It was never given out, or has been answered already.
    Unknown,
}

impl Table {
    pub(crate) fn new(most: u16) -> Self {
        Self {
            lead: false,
            dead: None,
            waiting_for_room: 0,
            attended: false,
            watched: 0,
            slots: Vec::new(),
            free: Vec::new(),
            most,
            next: 1,
            parked: 0,
            kept: Vec::new(),
        }
    }

    /// Position of a request.
    pub(crate) fn index(request: u64) -> usize {
        usize::from(request as u16)
    }

    pub(crate) fn has_room(&self) -> bool {
        !self.free.is_empty() || self.slots.len() < usize::from(self.most)
    }

    /// Enters a new request; `None` when too many are in flight.
    pub(crate) fn enter(&mut self) -> Option<u64> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.slots.len() < usize::from(self.most) => {
                self.slots.push(Slot {
                    request: 0,
                    state: State::Free,
                    parked: false,
                });
                (self.slots.len() - 1) as u16
            }
            None => return None,
        };
        let request = self.next << 16 | u64::from(index);
        // 48 bits last for 89 years at 100 000 requests a second.
        self.next += 1;
        let slot = &mut self.slots[usize::from(index)];
        slot.request = request;
        slot.state = State::Pending;
        Some(request)
    }

    fn slot(&mut self, request: u64) -> Option<&mut Slot> {
        self.slots
            .get_mut(Self::index(request))
            .filter(|slot| slot.request == request)
    }

    pub(crate) fn meaning(&mut self, request: u64) -> Meaning {
        match self.slot(request).map(|slot| &slot.state) {
            Some(State::Pending) => Meaning::Pending,
            Some(State::Submitted(_)) => Meaning::Submitted,
            Some(State::Abandoned) => Meaning::Abandoned,
            _ => Meaning::Unknown,
        }
    }

    /// Forgets a request whose reply has come, or will never come.
    pub(crate) fn leave(&mut self, request: u64) {
        if let Some(slot) = self.slot(request)
            && !matches!(slot.state, State::Free)
        {
            let before = std::mem::replace(&mut slot.state, State::Free);
            slot.request = 0;
            if let State::Submitted(entry) = &before {
                self.watched -= u32::from(entry.watched);
            }
            self.free.push(request as u16);
        }
        if !self.kept.is_empty() {
            self.kept.retain(|(kept, _)| *kept != request);
        }
    }

    /// Keeps a reply for its caller. False when nobody waits any more.
    pub(crate) fn answer(&mut self, request: u64, message: Message) -> bool {
        match self.slot(request) {
            Some(slot) if matches!(slot.state, State::Pending) => {
                slot.state = State::Done(message);
                true
            }
            _ => {
                self.leave(request);
                false
            }
        }
    }

    /// Takes the reply of a request, and forgets it.
    pub(crate) fn take(&mut self, request: u64) -> Option<Message> {
        let slot = self.slot(request)?;
        if !matches!(slot.state, State::Done(_)) {
            return None;
        }
        let state = std::mem::replace(&mut slot.state, State::Pending);
        self.leave(request);
        match state {
            State::Done(message) => Some(message),
            _ => None,
        }
    }

    /// Nobody waits for a request any more. True when its reply is still to
    /// come.
    pub(crate) fn abandon(&mut self, request: u64) -> bool {
        match self.slot(request) {
            Some(slot) if matches!(slot.state, State::Pending) => {
                slot.state = State::Abandoned;
                true
            }
            Some(slot)
                if matches!(
                    slot.state,
                    State::Abandoned | State::Submitted(_) | State::Delivering
                ) =>
            {
                false
            }
            _ => {
                self.leave(request);
                false
            }
        }
    }

    /// Keeps the shared memory of an abandoned request until it is answered.
    pub(crate) fn keep(&mut self, request: u64, blocks: Vec<Arc<Block>>) {
        self.kept.push((request, blocks));
    }

    /// Notes whether the caller of a request sleeps.
    pub(crate) fn park(&mut self, request: u64, parked: bool) {
        let Some(slot) = self.slot(request) else {
            return;
        };
        if slot.parked == parked {
            return;
        }
        slot.parked = parked;
        if parked {
            self.parked += 1;
        } else {
            self.parked -= 1;
        }
    }

    /// Position of a caller that sleeps and could read the stream.
    pub(crate) fn sleeper(&self) -> Option<usize> {
        if self.parked == 0 {
            return None;
        }
        self.slots.iter().position(|slot| {
            slot.parked && matches!(slot.state, State::Pending | State::Submitted(_))
        })
    }

    /// Enters what is to become of a request.
    pub(crate) fn submit(&mut self, request: u64, entry: Submitted) {
        let watched = entry.watched;
        if let Some(slot) = self.slot(request) {
            slot.state = State::Submitted(Box::new(entry));
            self.watched += u32::from(watched);
        }
    }

    fn take_submitted(&mut self, request: u64, then: State) -> Option<Box<Submitted>> {
        let slot = self.slot(request)?;
        if !matches!(slot.state, State::Submitted(_)) {
            return None;
        }
        match std::mem::replace(&mut slot.state, then) {
            State::Submitted(entry) => {
                self.watched -= u32::from(entry.watched);
                Some(entry)
            }
            _ => None,
        }
    }

    /// Takes a submitted request out; its reply is still to come.
    pub(crate) fn take_back(&mut self, request: u64) -> Option<Box<Submitted>> {
        self.take_submitted(request, State::Abandoned)
    }

    /// Takes a submitted request out whose reply is here; it is left when delivered.
    pub(crate) fn deliver(&mut self, request: u64) -> Option<Box<Submitted>> {
        self.take_submitted(request, State::Delivering)
    }

    /// True until the reply of a submitted request was delivered or given up.
    pub(crate) fn is_submitted(&mut self, request: u64) -> bool {
        self.slot(request)
            .is_some_and(|slot| matches!(slot.state, State::Submitted(_) | State::Delivering))
    }

    fn submitted(&self) -> impl Iterator<Item = (u64, &Submitted)> {
        self.slots.iter().filter_map(|slot| match &slot.state {
            State::Submitted(entry) => Some((slot.request, &**entry)),
            _ => None,
        })
    }

    /// A submitted request whose time is over.
    pub(crate) fn late(&self, now: Instant) -> Option<u64> {
        self.submitted()
            .find(|(_, entry)| entry.deadline <= now)
            .map(|(request, _)| request)
    }

    pub(crate) fn any_submitted(&self) -> Option<u64> {
        self.submitted().map(|(request, _)| request).next()
    }

    pub(crate) fn deadline(&mut self, request: u64) -> Option<Instant> {
        match self.slot(request).map(|slot| &slot.state) {
            Some(State::Submitted(entry)) => Some(entry.deadline),
            _ => None,
        }
    }

    pub(crate) fn watched(&self) -> u32 {
        self.watched
    }

    pub(crate) fn watch(&mut self, request: u64) {
        if let Some(slot) = self.slot(request)
            && let State::Submitted(entry) = &mut slot.state
            && !entry.watched
        {
            entry.watched = true;
            self.watched += 1;
        }
    }

    /// True, once, when something is watched and nobody attends to it.
    pub(crate) fn needs_attention(&mut self) -> bool {
        let needed = self.watched > 0 && !self.attended;
        self.attended |= needed;
        needed
    }

    /// How many requests are in flight, abandoned ones too.
    #[cfg(test)]
    pub(crate) fn in_flight(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_are_unique_and_places_are_reused() {
        let mut table = Table::new(3);
        let mut seen = std::collections::HashSet::new();
        let mut live = Vec::new();
        for round in 0..1000 {
            while let Some(request) = table.enter() {
                assert!(seen.insert(request));
                assert_eq!(table.meaning(request), Meaning::Pending);
                live.push(request);
            }
            assert_eq!((live.len(), table.has_room()), (3, false));
            let gone = live.remove(round % 3);
            table.leave(gone);
            assert_eq!(table.meaning(gone), Meaning::Unknown);
            // Leaving twice must not give the place away twice.
            table.leave(gone);
            assert_eq!(table.in_flight(), 2);
        }
    }

    #[test]
    fn an_abandoned_request_keeps_its_place_until_it_is_answered() {
        let mut table = Table::new(1);
        let request = table.enter().unwrap();
        assert!(table.abandon(request));
        assert!(table.enter().is_none());
        assert_eq!(table.meaning(request), Meaning::Abandoned);
        assert!(!table.abandon(request));
        assert!(!table.has_room());
        table.leave(request);
        assert!(table.has_room());
        let other = table.enter().unwrap();
        assert_eq!(table.meaning(request), Meaning::Unknown);
        assert_eq!(table.meaning(other), Meaning::Pending);
        assert_eq!(table.meaning(0), Meaning::Unknown);
        assert_eq!(table.meaning(u64::MAX), Meaning::Unknown);
    }

    #[test]
    fn a_sleeper_is_found() {
        let mut table = Table::new(4);
        let a = table.enter().unwrap();
        let b = table.enter().unwrap();
        assert_eq!(table.sleeper(), None);
        table.park(b, true);
        assert_eq!(table.sleeper(), Some(Table::index(b)));
        table.park(b, false);
        table.park(a, true);
        table.park(a, true);
        assert_eq!(table.sleeper(), Some(Table::index(a)));
        table.park(a, false);
        assert_eq!(table.sleeper(), None);
    }
}
