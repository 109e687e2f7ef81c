//! A connection while it is served: threads come and go.

use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use rustix::net::{Shutdown, shutdown};

use super::connection::{Connection, Scratch, Step};
use super::service;
use super::watch::Watched;
use crate::{debug, warn};

/// How long operations that have no time left may still run after the client has gone.
const LINGER: Duration = Duration::from_secs(2);

impl Connection {
    /// What each thread of the connection does. Returns when the connection needs it
    /// no more; with the reason when the connection has ended, and everything the
    /// client had has been released.
    pub fn work(self: &Arc<Self>) -> Option<String> {
        let mut scratch = Scratch::default();
        while self.lead.take() {
            let serve = || loop {
                match self.serve_one(&mut scratch) {
                    Step::Next => {}
                    Step::Quiet if !self.can_park() => {}
                    other => return other,
                }
            };
            let step = catch_unwind(AssertUnwindSafe(serve)).unwrap_or_else(|_| {
                self.note("the agent failed internally; see the log above".to_owned());
                // Somebody else may hold the reading.
                self.stream.shutdown();
                Step::Over
            });
            match step {
                Step::Next | Step::Lost => {}
                Step::Quiet => {
                    if self.park() {
                        return None;
                    }
                }
                Step::Over => return self.abandon(),
            }
        }
        None
    }

    /// Reads no more requests; those that run are finished and answered.
    pub fn drain(&self) {
        self.note("the agent ends".to_owned());
        // Fails when the client has gone, and then it is over anyway.
        let _ = shutdown(self.stream.as_fd(), Shutdown::Read);
    }

    /// Leaves the reading to nobody. True when the caller has left with it.
    fn can_park(&self) -> bool {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.park() && self.lead.park()
    }

    /// After [`can_park`](Self::can_park): gives back what a quiet connection does not
    /// need, and waits to be called. False when it cannot wait: then the caller is one
    /// of its threads again.
    fn park(self: &Arc<Self>) -> bool {
        self.service.watch.remove(self.number);
        self.writer.rest();
        if let Some(memory) = &self.memory {
            memory.rest();
        }
        let again = self.known.swap(true, Ordering::Relaxed);
        // It may be called at once, so this is the last that the caller does.
        match self.service.lot.park(self.number, Arc::clone(self), again) {
            Ok(()) => true,
            Err(e) => {
                debug!(connection = self.number, "it keeps its thread: {e}");
                self.known.store(again, Ordering::Relaxed);
                self.unpark();
                false
            }
        }
    }

    /// The connection has a thread again, the caller or one that the caller starts.
    pub fn unpark(self: &Arc<Self>) {
        self.lead.unpark();
        self.service.watch.add(self.number, Arc::clone(self));
    }

    /// Ends a connection that has counted a thread and is not to have one. As
    /// [`work`](Self::work).
    pub fn abandon(&self) -> Option<String> {
        self.service.watch.remove(self.number);
        self.lead.close().then(|| self.finish())
    }

    /// Nothing more is read: waits for operations that still run, and releases what
    /// the client had. Returns why it ended.
    fn finish(&self) -> String {
        self.wait_for_operations();
        // Everything has been answered; the client need not wait for what follows.
        self.stream.shutdown();
        if self.known.load(Ordering::Relaxed) {
            self.service.lot.forget(self.stream.as_fd());
        }
        // Tensors and resources go while their sessions are there to give them back.
        self.tensors.clear();
        self.resources.clear();
        drop(self.sessions.close_all());
        crate::rundir::remove(self.resources.folder());
        let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        reason.clone().unwrap_or_default()
    }

    /// After the client has gone: waits for operations that still run, and says so
    /// when one does not end in its time.
    fn wait_for_operations(&self) {
        let soon = Instant::now() + LINGER;
        let until = self
            .flights
            .latest_deadline()
            .map_or(soon, |at| at.max(soon));
        if self.lead.wait_for_end(Some(until)) {
            return;
        }
        warn!(
            connection = self.number,
            "{} operations do not end after the client has gone",
            self.flights.len()
        );
        (self.service.settings.stuck)(self.number);
        self.lead.wait_for_end(None);
    }
}

impl Watched for Connection {
    fn running(&self) -> u64 {
        self.lead.running()
    }

    fn takes_long(self: Arc<Self>, number: u64) {
        self.lead.hand_over(number, || service::staff(&self));
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
