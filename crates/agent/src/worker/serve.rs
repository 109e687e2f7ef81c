//! A connection while it is served: threads come and go.

use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use rustix::net::{Shutdown, shutdown};
use vaccel_abi::error::ETIMEDOUT;
use vaccel_wire::{FrameBuffer, Header, Kind};

use super::clock::Timed;
use super::connection::{Connection, Scratch, Step};
use super::requests::Requests;
use super::service;
use super::watch::Watched;
use crate::ledger::Quota;
use crate::refuse::SESSIONS_LOST;
use crate::{counts, debug};

const TOO_LONG: &str = "the deadline has passed while the operation ran";

impl Connection {
    /// What each thread of the connection does. Returns when the connection needs it
    /// no more; with the reason when the connection has ended, and everything the
    /// client had has been released.
    pub fn work(self: &Arc<Self>) -> Option<String> {
        let mut scratch = Scratch::default();
        let _span = tracing::info_span!("connection", connection = self.number).entered();
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

    /// Tells the client to go elsewhere with what comes next.
    pub fn say_goodbye(&self) {
        self.writer.post(&FrameBuffer::new().going_away());
    }

    /// Reads no more requests; those that run are finished and answered.
    pub fn drain(&self) {
        self.note("the agent ends".to_owned());
        self.say_goodbye();
        // Fails when the client has gone, and then it is over anyway.
        let _ = shutdown(self.stream.as_fd(), Shutdown::Read);
    }

    /// What runs for it.
    pub(super) fn requests(&self) -> Requests<'_> {
        Requests {
            number: self.number,
            lead: &self.lead,
            flights: &self.flights,
            look_at: &self.look_at,
            tenant: &self.tenant,
            service: &self.service,
        }
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
        counts::mine().parked.fetch_add(1, Ordering::Relaxed);
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
        counts::mine().parked.fetch_sub(1, Ordering::Relaxed);
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
        self.requests().wait_for_end();
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
}

impl Watched for Connection {
    fn running(&self) -> u64 {
        self.lead.running()
    }

    fn begun(&self) -> u64 {
        self.lead.begun()
    }

    fn takes_long(self: Arc<Self>, number: u64) {
        self.requests().take_long(number, &self, service::stint);
    }
}

impl Timed for Connection {
    fn look(self: Arc<Self>, now: Instant) -> Option<Instant> {
        let requests = self.requests();
        let overdue = requests.look(now);
        let mut buffer = FrameBuffer::new();
        for about in &overdue.late {
            self.tenant.note(Quota::Deadline);
            let header = Header::bare(Kind::Request, about.operation, about.request, about.session);
            self.writer
                .post(&buffer.error_reply(&header, ETIMEDOUT, TOO_LONG));
        }
        for about in &overdue.shared {
            self.tenant.note(Quota::Deadline);
            if about.shortened {
                // The client waits for longer, and may not go on with its memory.
                let name = counts::name_of(about.operation);
                let text = format!("{name} took longer than the agent's policy lets it");
                let farewell = format!("{text}, with arguments in shared memory; {SESSIONS_LOST}");
                self.writer.post(&buffer.last_words(ETIMEDOUT, &farewell));
                self.note(text);
                self.stream.shutdown();
            }
        }
        requests.look_again(&overdue, |about| {
            format!("the operation {}", about.operation)
        })
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
