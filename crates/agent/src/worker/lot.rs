//! Where quiet connections wait: one epoll for all of them, and no thread.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

/// Connections that are called at one time.
const AT_ONCE: usize = 64;

/// Things that wait until their descriptor is readable, by a number of theirs.
#[derive(Debug)]
pub struct Lot<T> {
    epoll: OwnedFd,
    parked: Mutex<HashMap<u64, Arc<T>>>,
}

impl<T: AsFd> Lot<T> {
    /// An empty one.
    ///
    /// # Errors
    /// What the system says.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            parked: Mutex::default(),
        })
    }

    /// Lets one wait until it is readable or has hung up. It may be called before this
    /// returns. `again` says that it has waited here before.
    ///
    /// # Errors
    /// What the system says; then it does not wait here.
    pub fn park(&self, number: u64, parked: Arc<T>, again: bool) -> std::io::Result<()> {
        let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ONESHOT;
        let data = EventData::new_u64(number);
        self.lock().insert(number, Arc::clone(&parked));
        let fd = parked.as_fd();
        let armed = match again {
            true => epoll::modify(&self.epoll, fd, data, flags),
            false => epoll::add(&self.epoll, fd, data, flags),
        };
        Ok(armed.inspect_err(|_| {
            self.lock().remove(&number);
        })?)
    }

    /// Those that have become readable since the last call, some of them; they wait no
    /// longer.
    ///
    /// # Errors
    /// What the system says.
    pub fn called(&self) -> std::io::Result<Vec<Arc<T>>> {
        let mut events = [epoll::Event {
            flags: EventFlags::empty(),
            data: EventData::new_u64(0),
        }; AT_ONCE];
        let now = rustix::event::Timespec::default();
        let count = match epoll::wait(&self.epoll, &mut events[..], Some(&now)) {
            Err(rustix::io::Errno::INTR) => 0,
            other => other?,
        };
        let mut parked = self.lock();
        let called = events[..count].iter();
        Ok(called
            .filter_map(|event| parked.remove(&event.data.u64()))
            .collect())
    }

    /// Forgets a descriptor that has waited here and is about to be closed.
    pub fn forget(&self, fd: BorrowedFd<'_>) {
        // Closing it would do the same, unless a child process has it too.
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// True when none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<T>>> {
        // No operation on the map can be left half done.
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> AsFd for Lot<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    fn called(lot: &Lot<UnixStream>) -> usize {
        lot.called().unwrap().len()
    }

    #[test]
    fn who_is_readable_is_called_once_and_others_are_not() {
        let lot = Lot::new().unwrap();
        let (a, mut peer) = UnixStream::pair().unwrap();
        let (b, other) = UnixStream::pair().unwrap();
        let a = Arc::new(a);
        lot.park(1, Arc::clone(&a), false).unwrap();
        lot.park(2, Arc::new(b), false).unwrap();
        assert_eq!(called(&lot), 0);
        peer.write_all(&[1]).unwrap();
        let woken = lot.called().unwrap();
        assert!(woken.len() == 1 && Arc::ptr_eq(&woken[0], &a));
        // It is readable still, and calls nobody.
        assert_eq!((called(&lot), lot.len()), (0, 1));
        // Bytes that were there before call too.
        lot.park(1, a, true).unwrap();
        assert_eq!(called(&lot), 1);
        drop(other);
        assert_eq!(called(&lot), 1, "a hang-up calls as well");
        assert!(lot.is_empty());
    }

    #[test]
    fn one_that_was_never_here_cannot_come_again() {
        let lot = Lot::new().unwrap();
        let (a, _peer) = UnixStream::pair().unwrap();
        let a = Arc::new(a);
        assert!(lot.park(1, Arc::clone(&a), true).is_err());
        assert!(lot.is_empty());
        lot.park(1, Arc::clone(&a), false).unwrap();
        lot.forget(a.as_fd());
        lot.park(1, a, false).unwrap();
    }
}
