//! One thread that sees to it that requests are answered when their time is over.
//!
//! Only connections in which an operation takes long are looked at, when the next of their
//! requests is due. The thread starts with the first of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

/// Something with requests that have a time.
pub trait Timed: Send + Sync {
    /// Answers what is due, without waiting for anybody; returns when to look again.
    fn look(self: Arc<Self>, now: Instant) -> Option<Instant>;
}

/// When to look at what.
#[derive(Default)]
pub struct Clock {
    inner: Mutex<Inner>,
    /// Told when something is due earlier than all before.
    earlier: Condvar,
}

#[derive(Default)]
struct Inner {
    due: BinaryHeap<Reverse<Due>>,
    last: u64,
    running: bool,
}

struct Due {
    at: Instant,
    /// Tells those of one time apart.
    number: u64,
    timed: Weak<dyn Timed>,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let due = self.lock().due.len();
        f.debug_struct("Clock")
            .field("due", &due)
            .finish_non_exhaustive()
    }
}

impl Clock {
    /// Looks at something at a time.
    ///
    /// # Errors
    /// When the system gives no thread; then nobody looks.
    pub fn set(self: &Arc<Self>, at: Instant, timed: Weak<dyn Timed>) -> std::io::Result<()> {
        let mut inner = self.lock();
        inner.last += 1;
        let number = inner.last;
        let first = inner.due.peek().is_none_or(|Reverse(due)| at < due.at);
        inner.due.push(Reverse(Due { at, number, timed }));
        if !inner.running {
            let clock = Arc::clone(self);
            let thread = std::thread::Builder::new().name("clock".into());
            thread.spawn(move || clock.work())?;
            inner.running = true;
        } else if first {
            self.earlier.notify_one();
        }
        Ok(())
    }

    fn work(self: &Arc<Self>) {
        let mut inner = self.lock();
        loop {
            let now = Instant::now();
            let next = inner.due.peek().map(|Reverse(due)| due.at);
            inner = match next {
                None => self
                    .earlier
                    .wait(inner)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(at) if at > now => {
                    let waited = self.earlier.wait_timeout(inner, at - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                Some(_) => {
                    let due = inner.due.pop();
                    drop(inner);
                    if let Some(Reverse(due)) = due {
                        self.look(&due.timed, now);
                    }
                    self.lock()
                }
            };
        }
    }

    fn look(self: &Arc<Self>, timed: &Weak<dyn Timed>, now: Instant) {
        let Some(there) = timed.upgrade() else {
            return;
        };
        if let Some(next) = there.look(now) {
            // The thread is there: this is it.
            let _ = self.set(next, Weak::clone(timed));
        }
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
    use std::sync::mpsc::{Sender, channel};
    use std::time::Duration;

    struct Bell {
        rung: Mutex<Sender<(u32, Instant)>>,
        number: u32,
        again: Mutex<Option<Instant>>,
    }

    impl Timed for Bell {
        fn look(self: Arc<Self>, now: Instant) -> Option<Instant> {
            self.rung.lock().unwrap().send((self.number, now)).unwrap();
            self.again.lock().unwrap().take()
        }
    }

    #[test]
    fn what_is_due_is_looked_at_in_its_order_and_again_when_it_says_so() {
        let clock = Arc::new(Clock::default());
        let (rung, heard) = channel();
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let bell = |number, again| {
            Arc::new(Bell {
                rung: Mutex::new(rung.clone()),
                number,
                again: Mutex::new(again),
            })
        };
        let (late, early, gone) = (bell(1, None), bell(2, Some(at(60))), bell(3, None));
        let weak = |bell: &Arc<Bell>| -> Weak<dyn Timed> {
            let weak: Weak<Bell> = Arc::downgrade(bell);
            weak
        };
        clock.set(at(40), weak(&late)).unwrap();
        clock.set(at(30), weak(&gone)).unwrap();
        clock.set(at(20), weak(&early)).unwrap();
        drop(gone);
        for (number, millis) in [(2, 20), (1, 40), (2, 60)] {
            let (who, when) = heard.recv_timeout(Duration::from_secs(10)).unwrap();
            assert_eq!(who, number);
            assert!(when >= at(millis), "not before its time");
        }
    }
}
