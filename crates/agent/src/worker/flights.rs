//! The requests of a connection that have been read and not been answered.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Whether a request may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// It may.
    Yes,
    /// Its number is in flight already.
    Twice,
    /// Its time was over before there was memory for it.
    TooLate,
}

/// The requests that are in flight, and the memory they take.
#[derive(Debug)]
pub struct Flights {
    inner: Mutex<Inner>,
    /// Told when memory becomes free.
    room: Condvar,
    /// Bytes that all together may take; one alone may take more.
    limit: u64,
}

#[derive(Debug, Default)]
struct Inner {
    flights: Vec<Flight>,
    bytes: u64,
    waiting: bool,
}

#[derive(Debug)]
struct Flight {
    request: u64,
    deadline: Instant,
    bytes: u64,
    cancelled: bool,
}

impl Flights {
    /// None yet.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self {
            inner: Mutex::default(),
            room: Condvar::new(),
            limit,
        }
    }

    /// Notes a request that has been read. Waits, until its deadline, while the others
    /// take so much memory that this one does not fit beside them.
    #[must_use]
    pub fn begin(&self, request: u64, deadline: Instant, bytes: u64) -> Begun {
        let mut inner = self.lock();
        while inner.bytes.saturating_add(bytes) > self.limit && !inner.flights.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Begun::TooLate;
            }
            inner.waiting = true;
            let waited = self.room.wait_timeout(inner, left);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if inner.flights.iter().any(|f| f.request == request) {
            return Begun::Twice;
        }
        inner.bytes += bytes;
        inner.flights.push(Flight {
            request,
            deadline,
            bytes,
            cancelled: false,
        });
        Begun::Yes
    }

    /// Notes that a request is about to be answered. True when it was cancelled.
    #[must_use]
    pub fn end(&self, request: u64) -> bool {
        let mut inner = self.lock();
        let Some(i) = inner.flights.iter().position(|f| f.request == request) else {
            return false;
        };
        let flight = inner.flights.swap_remove(i);
        inner.bytes -= flight.bytes;
        if std::mem::take(&mut inner.waiting) {
            drop(inner);
            self.room.notify_all();
        }
        flight.cancelled
    }

    /// Marks a request as cancelled; one that has been answered is left alone.
    pub fn cancel(&self, request: u64) {
        let mut inner = self.lock();
        if let Some(flight) = inner.flights.iter_mut().find(|f| f.request == request) {
            flight.cancelled = true;
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().flights.len()
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The latest deadline of all.
    #[must_use]
    pub fn latest_deadline(&self) -> Option<Instant> {
        self.lock().flights.iter().map(|f| f.deadline).max()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is complete before anything can panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn a_number_can_be_in_flight_once() {
        let flights = Flights::new(100);
        assert_eq!(flights.begin(1, soon(), 1), Begun::Yes);
        assert_eq!(flights.begin(1, soon(), 1), Begun::Twice);
        assert!(!flights.end(1));
        assert_eq!(flights.begin(1, soon(), 1), Begun::Yes);
    }

    #[test]
    fn cancelling_marks_only_what_is_in_flight() {
        let flights = Flights::new(100);
        flights.cancel(1);
        assert_eq!(flights.begin(1, soon(), 1), Begun::Yes);
        flights.cancel(2);
        flights.cancel(1);
        assert!(flights.end(1));
        assert!(flights.is_empty());
    }

    #[test]
    fn a_request_waits_until_the_others_leave_it_memory() {
        let flights = Flights::new(100);
        let alone = flights.begin(1, soon(), 200);
        assert_eq!(alone, Begun::Yes, "one alone may take more");
        let (began, wait) = channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(flights.begin(2, soon(), 50), Begun::Yes);
                began.send(()).unwrap();
            });
            let deadline = soon();
            while !flights.lock().waiting {
                assert!(Instant::now() < deadline);
                std::thread::yield_now();
            }
            assert!(wait.try_recv().is_err());
            assert!(!flights.end(1));
            wait.recv_timeout(Duration::from_secs(10)).unwrap();
        });
    }

    #[test]
    fn a_request_does_not_wait_for_memory_beyond_its_deadline() {
        let flights = Flights::new(100);
        assert_eq!(flights.begin(1, soon(), 100), Begun::Yes);
        let deadline = Instant::now() + Duration::from_millis(20);
        assert_eq!(flights.begin(2, deadline, 100), Begun::TooLate);
        assert_eq!(flights.len(), 1);
    }
}
