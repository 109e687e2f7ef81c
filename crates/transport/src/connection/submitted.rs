//! Requests that nobody sits and waits for: whoever reads the stream delivers their
//! replies, on the spot.

use super::Connection;
use super::lead::Goal;
use super::reply::Expected;
use crate::error::CallError;
use crate::fork;
use crate::message::Message;
use crate::outputs::Outputs;
use crate::shm::Block;
use crate::table::Table;
use crate::timed::Present;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use vaccel_wire::{Frame, FrameBuffer, Kind};

/// How long somebody reads for submitted requests before looking at the others' times,
/// and at what was cancelled.
const SLICE: Duration = Duration::from_millis(50);

/// How long [`Connection::attend`] waits for something to do before it returns.
const IDLE: Duration = Duration::from_secs(1);

/// Takes the outputs and the end of a request that was submitted.
pub trait Sink: Outputs + Send + std::fmt::Debug {
    /// The request is over. Called once, on any thread that uses the connection, which
    /// may be reading the stream: it must not use the connection, nor wait.
    fn finish(self: Box<Self>, result: Result<(), CallError>);

    /// It as outputs.
    fn outputs(&mut self) -> &mut dyn Outputs;
}

/// What the table keeps of a request that was submitted.
#[derive(Debug)]
pub(crate) struct Submitted {
    sink: Box<dyn Sink>,
    expected: Expected,
    pub(crate) deadline: Instant,
    timeout: Duration,
    /// Its end is to be noticed although nobody asks.
    pub(crate) watched: bool,
    /// Shared memory that the agent may use until it has answered.
    blocks: Vec<Arc<Block>>,
}

impl Connection {
    /// Sends a request whose reply goes to a sink, and gives its number. When as many
    /// are in flight as the agent allows, waits for one to end. A `watched` one needs
    /// somebody who [attends](Self::attend); others go on when somebody
    /// [drives](Self::drive) them or uses the connection.
    ///
    /// # Errors
    /// See [`CallError`]; the sink is dropped then, and not finished.
    pub fn submit(
        &self,
        frame: &mut Frame<'_, '_>,
        session: i64,
        timeout: Option<Duration>,
        sink: Box<dyn Sink>,
        blocks: Vec<Arc<Block>>,
        watched: bool,
    ) -> Result<u64, CallError> {
        // The entry goes in between the place and the frame: the reply may be read by
        // another thread before this one goes on.
        let mut entry = Some((sink, blocks));
        let mut pending = self.begin_as(frame, session, timeout, Vec::new(), |pending| {
            let Some((sink, blocks)) = entry.take() else {
                return;
            };
            let mut table = self.lock();
            table.submit(
                pending.request,
                Submitted {
                    sink,
                    expected: pending.expected,
                    deadline: pending.deadline,
                    timeout: pending.timeout,
                    watched,
                    blocks,
                },
            );
            if watched {
                self.attention.notify_one();
            }
        });
        match &mut pending {
            Ok(pending) => {
                pending.over = true;
                // It may have died between finding the place and taking it.
                let dead = self.lock().dead.clone();
                if let Some(reason) = dead {
                    self.end_all(&reason);
                }
                Ok(pending.request)
            }
            Err((Some(request), error)) => {
                // It was entered; when its end has come meanwhile, that counts.
                if self.take_back(*request).is_none() {
                    return Ok(*request);
                }
                Err(error.clone())
            }
            Err((None, error)) => Err(error.clone()),
        }
    }

    /// True while a submitted request is not over.
    #[must_use]
    pub fn is_in_flight(&self, request: u64) -> bool {
        self.epoch == fork::epoch() && self.lock().is_submitted(request)
    }

    /// Takes an entry out of the table; the reply that may still come is dropped.
    fn take_back(&self, request: u64) -> Option<Box<Submitted>> {
        let mut table = self.lock();
        let entry = table.take_back(request)?;
        if !entry.blocks.is_empty() {
            table.keep(request, entry.blocks.clone());
        }
        drop(table);
        self.replies[Table::index(request)].notify_all();
        Some(entry)
    }

    fn end(&self, request: u64, why: impl FnOnce(&Submitted) -> CallError) {
        let Some(entry) = self.take_back(request) else {
            return;
        };
        if self.lock().dead.is_none() {
            let mut buffer = FrameBuffer::new();
            self.writer.post(&buffer.bare(Kind::Cancel, request));
        }
        let why = why(&entry);
        entry.sink.finish(Err(why));
    }

    /// Ends a submitted request: its sink is finished before this returns, unless the
    /// reply is just being delivered. The agent is told.
    pub fn cancel(&self, request: u64) {
        if self.epoch == fork::epoch() {
            self.end(request, |_| CallError::Cancelled);
        }
    }

    /// Ends those whose time is over.
    fn expire(&self) {
        let now = Instant::now();
        loop {
            // The lock is let go before the request is ended.
            let late = self.lock().late(now);
            let Some(request) = late else {
                return;
            };
            self.end(request, |entry| self.timed_out(entry.timeout));
        }
    }

    /// The connection is dead: so are all that were submitted.
    pub(super) fn end_all(&self, reason: &Arc<str>) {
        loop {
            // As in `expire`.
            let next = self.lock().any_submitted();
            let Some(request) = next else {
                break;
            };
            if let Some(entry) = self.take_back(request) {
                let lost = CallError::Lost(Arc::clone(&self.address), Arc::clone(reason));
                entry.sink.finish(Err(lost));
            }
        }
        self.attention.notify_all();
    }

    /// Delivers the reply of a submitted request.
    pub(super) fn complete(&self, request: u64, message: &Message) {
        let entry = self.lock().deliver(request);
        let result = entry.map(|mut entry| {
            let (meta, payload) = (message.meta(), message.payload());
            let outputs = entry.sink.outputs();
            let result = self.deliver(&message.header, meta, payload, entry.expected, outputs);
            (entry, result)
        });
        // Also when it was cancelled meanwhile: the agent has answered.
        self.leave(request);
        self.replies[Table::index(request)].notify_all();
        if let Some((entry, result)) = result {
            entry.sink.finish(result);
        }
    }

    /// Reads what is there, if nobody does, and never waits.
    fn look(&self) {
        let mut table = self.lock();
        if table.lead || table.dead.is_some() {
            return;
        }
        table.lead = true;
        drop(table);
        self.lead_present(&mut Present(self.writer.stream()));
    }

    /// Lets requests go on until this one is over or the time is. True when it is over.
    #[must_use]
    pub fn drive(&self, request: u64, time: Duration) -> bool {
        if self.epoch != fork::epoch() {
            return true;
        }
        let until = crate::timed::deadline(time);
        let mut looked = false;
        loop {
            let mut table = self.lock();
            if !table.is_submitted(request) || table.dead.is_some() {
                return true;
            }
            let now = Instant::now();
            if table.late(now).is_some() {
                drop(table);
                self.expire();
                continue;
            }
            if now >= until {
                drop(table);
                if looked {
                    return false;
                }
                looked = true;
                self.look();
                continue;
            }
            looked = true;
            let end = table.deadline(request).map_or(until, |own| own.min(until));
            if !table.lead {
                table.lead = true;
                drop(table);
                self.lead(Goal::Submitted(request), end.min(now + SLICE), &mut ());
                continue;
            }
            table.park(request, true);
            let left = end.saturating_duration_since(now);
            let waited = self.replies[Table::index(request)].wait_timeout(table, left);
            let mut table = waited.unwrap_or_else(PoisonError::into_inner).0;
            table.park(request, false);
        }
    }

    /// From now on the end of a request is noticed although nobody asks for it. True
    /// when a thread is needed that [attends](Self::attend), for there is none.
    #[must_use]
    pub fn watch(&self, request: u64) -> bool {
        if self.epoch != fork::epoch() {
            return false;
        }
        let mut table = self.lock();
        table.watch(request);
        self.attention.notify_one();
        table.needs_attention()
    }

    /// There is no thread to [attend](Self::attend) after all.
    pub fn unattended(&self) {
        self.lock().attended = false;
    }

    /// Reads the stream for requests that are watched, on a thread of its own, until there
    /// has been none for a while or the connection is of no use any more.
    pub fn attend(&self) {
        let mut idle = Instant::now();
        let mut table = self.lock();
        loop {
            if table.dead.is_some() || (table.watched() == 0 && idle.elapsed() >= IDLE) {
                table.attended = false;
                return;
            }
            if table.watched() > 0 && !table.lead {
                table.lead = true;
                drop(table);
                self.lead(Goal::Watched, Instant::now() + SLICE, &mut ());
                self.expire();
                idle = Instant::now();
                table = self.lock();
                continue;
            }
            let busy = table.watched() > 0;
            let nap = if busy { SLICE } else { IDLE };
            let waited = self.attention.wait_timeout(table, nap);
            table = waited.unwrap_or_else(PoisonError::into_inner).0;
            if busy {
                drop(table);
                self.expire();
                idle = Instant::now();
                table = self.lock();
            }
        }
    }
}
