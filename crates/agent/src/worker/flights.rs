//! The requests of a connection that have been read and not been answered.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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

/// How a request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is to be answered.
    Open,
    /// It was cancelled.
    Cancelled,
    /// Its time was over, and it has been answered.
    Answered,
}

/// A request, as far as an answer needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    /// Its number.
    pub request: u64,
    /// What it asks for.
    pub operation: u16,
    /// For which session.
    pub session: i64,
    /// It has arguments in memory that the client shares: as long as its operation runs,
    /// the client must not be told that it is over.
    pub shared: bool,
    /// It has less time than the client asked for.
    pub shortened: bool,
    /// The client looks at the time itself: it is answered a little later, so that the
    /// client's own error, which says more, comes first.
    pub timed: bool,
}

/// How much later.
const LAG: Duration = Duration::from_millis(20);

impl From<u64> for About {
    fn from(request: u64) -> Self {
        Self {
            request,
            operation: 0,
            session: 0,
            shared: false,
            shortened: false,
            timed: false,
        }
    }
}

/// Requests whose time is over.
#[derive(Debug, Default)]
pub struct Overdue {
    /// To be answered now; they count as answered.
    pub late: Vec<About>,
    /// Not to be answered now, because they are [`shared`](About::shared).
    pub shared: Vec<About>,
    /// Those whose operation should have ended long ago; told once.
    pub stuck: Vec<About>,
    /// When the next one is due.
    pub next: Option<Instant>,
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
    about: About,
    deadline: Instant,
    bytes: u64,
    cancelled: bool,
    /// Its time is over, and was seen to be.
    late: bool,
    /// It has been answered although its operation runs.
    answered: bool,
    stuck: bool,
}

impl Flight {
    /// When it is answered at the latest.
    fn due(&self) -> Instant {
        match self.about.timed {
            true => self.deadline.checked_add(LAG).unwrap_or(self.deadline),
            false => self.deadline,
        }
    }
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
    pub fn begin(&self, about: impl Into<About>, deadline: Instant, bytes: u64) -> Begun {
        let about = about.into();
        let request = about.request;
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
        if inner.flights.iter().any(|f| f.about.request == request) {
            return Begun::Twice;
        }
        inner.bytes += bytes;
        inner.flights.push(Flight {
            about,
            deadline,
            bytes,
            cancelled: false,
            late: false,
            answered: false,
            stuck: false,
        });
        Begun::Yes
    }

    /// Notes that a request is about to be answered.
    #[must_use]
    pub fn end(&self, request: u64) -> Fate {
        let mut inner = self.lock();
        let position = inner
            .flights
            .iter()
            .position(|f| f.about.request == request);
        let Some(i) = position else {
            return Fate::Open;
        };
        let flight = inner.flights.swap_remove(i);
        inner.bytes -= flight.bytes;
        if std::mem::take(&mut inner.waiting) {
            drop(inner);
            self.room.notify_all();
        }
        match flight {
            Flight { answered: true, .. } => Fate::Answered,
            Flight {
                cancelled: true, ..
            } => Fate::Cancelled,
            _ => Fate::Open,
        }
    }

    /// The requests whose time is over, and those whose operation goes on after `grace`
    /// beyond that. To be asked again at [`next`](Overdue::next).
    #[must_use]
    pub fn overdue(&self, now: Instant, grace: Duration) -> Overdue {
        let mut overdue = Overdue::default();
        for flight in &mut self.lock().flights {
            let due = flight.due();
            if due <= now && !flight.late {
                flight.late = true;
                flight.answered = !flight.about.shared;
                match flight.about.shared {
                    true => overdue.shared.push(flight.about),
                    false => overdue.late.push(flight.about),
                }
            }
            // Times that no clock can hold never come.
            let end = flight.deadline.checked_add(grace);
            if end.is_some_and(|end| end <= now) && !flight.stuck {
                flight.stuck = true;
                overdue.stuck.push(flight.about);
            }
            let next = match (flight.late, flight.stuck) {
                (false, _) => Some(due),
                (true, false) => end,
                (true, true) => None,
            };
            overdue.next = overdue.next.into_iter().chain(next).min();
        }
        overdue
    }

    /// Marks a request as cancelled; one that has been answered is left alone.
    pub fn cancel(&self, request: u64) {
        let mut inner = self.lock();
        if let Some(flight) = inner
            .flights
            .iter_mut()
            .find(|f| f.about.request == request)
        {
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

    /// The first deadline that has not been seen to be over.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let inner = self.lock();
        let open = inner.flights.iter().filter(|f| !f.late);
        open.map(Flight::due).min()
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

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn a_number_can_be_in_flight_once() {
        let flights = Flights::new(100);
        assert_eq!(flights.begin(1u64, soon(), 1), Begun::Yes);
        assert_eq!(flights.begin(1u64, soon(), 1), Begun::Twice);
        assert_eq!(flights.end(1), Fate::Open);
        assert_eq!(flights.begin(1u64, soon(), 1), Begun::Yes);
    }

    #[test]
    fn cancelling_marks_only_what_is_in_flight() {
        let flights = Flights::new(100);
        flights.cancel(1);
        assert_eq!(flights.begin(1u64, soon(), 1), Begun::Yes);
        flights.cancel(2);
        flights.cancel(1);
        assert_eq!(flights.end(1), Fate::Cancelled);
        assert!(flights.is_empty());
    }

    #[test]
    fn a_request_waits_until_the_others_leave_it_memory() {
        let flights = Flights::new(100);
        let alone = flights.begin(1u64, soon(), 200);
        assert_eq!(alone, Begun::Yes, "one alone may take more");
        let (began, wait) = channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(flights.begin(2u64, soon(), 50), Begun::Yes);
                began.send(()).unwrap();
            });
            let deadline = soon();
            while !flights.lock().waiting {
                assert!(Instant::now() < deadline);
                std::thread::yield_now();
            }
            assert!(wait.try_recv().is_err());
            assert_eq!(flights.end(1), Fate::Open);
            wait.recv_timeout(Duration::from_secs(10)).unwrap();
        });
    }

    #[test]
    fn a_request_does_not_wait_for_memory_beyond_its_deadline() {
        let flights = Flights::new(100);
        assert_eq!(flights.begin(1u64, soon(), 100), Begun::Yes);
        let deadline = Instant::now() + Duration::from_millis(20);
        assert_eq!(flights.begin(2u64, deadline, 100), Begun::TooLate);
        assert_eq!(flights.len(), 1);
    }

    #[test]
    fn a_request_whose_time_is_over_is_told_once_and_again_when_it_is_stuck() {
        let flights = Flights::new(100);
        let now = Instant::now();
        let ms = Duration::from_millis;
        let shared = About {
            shared: true,
            ..About::from(2)
        };
        assert_eq!(flights.begin(1u64, now + ms(10), 1), Begun::Yes);
        assert_eq!(flights.begin(shared, now + ms(20), 1), Begun::Yes);
        let early = flights.overdue(now, ms(100));
        assert!(early.late.is_empty() && early.next == Some(now + ms(10)));
        let late = flights.overdue(now + ms(10), ms(100));
        assert_eq!(
            (late.late, late.next),
            (vec![About::from(1)], Some(now + ms(20)))
        );
        let both = flights.overdue(now + ms(20), ms(100));
        assert!(both.late.is_empty() && both.shared == [shared]);
        assert_eq!(both.next, Some(now + ms(110)));
        let stuck = flights.overdue(now + ms(115), ms(100));
        assert_eq!(
            (stuck.stuck, stuck.next),
            (vec![About::from(1)], Some(now + ms(120)))
        );
        assert_eq!(flights.end(1), Fate::Answered);
        assert_eq!(flights.end(2), Fate::Open, "nobody has answered it");
        assert_eq!(flights.overdue(now + ms(500), ms(100)).next, None);
    }
}
