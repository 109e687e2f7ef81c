//! A request in flight.

use super::Connection;
use super::lead::{Goal, Led};
use super::reply::Expected;
use crate::error::CallError;
use crate::fork;
use crate::outputs::Outputs;
use crate::shm::Block;
use crate::table::Table;
use std::cell::Cell;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use vaccel_wire::{FrameBuffer, Kind};

/// A request in flight.
#[derive(Debug)]
#[must_use = "the reply must be waited for"]
pub struct Pending<'c> {
    pub(super) connection: &'c Connection,
    pub(super) request: u64,
    pub(super) expected: Expected,
    pub(super) deadline: Instant,
    pub(super) timeout: Duration,
    /// True once nothing is in flight any more.
    pub(super) over: bool,
    /// Shared memory that the agent may use until it has answered.
    pub(super) blocks: Vec<Arc<Block>>,
}
impl Pending<'_> {
    /// Waits for the reply.
    ///
    /// # Errors
    /// See [`CallError`]. After an error nothing writes to the outputs any more.
    pub fn wait(mut self, outputs: &mut dyn Outputs) -> Result<(), CallError> {
        let connection = self.connection;
        let index = Table::index(self.request);
        let mut table = connection.lock();
        loop {
            if let Some(message) = table.take(self.request) {
                self.over = true;
                if table.waiting_for_room > 0 {
                    connection.room.notify_one();
                }
                drop(table);
                let (meta, payload) = (message.meta(), message.payload());
                return connection.deliver(&message.header, meta, payload, self.expected, outputs);
            }
            if let Some(reason) = &table.dead {
                let reason = Arc::clone(reason);
                return Err(CallError::Lost(Arc::clone(&connection.address), reason));
            }
            if !table.lead {
                table.lead = true;
                drop(table);
                let goal = Goal::Reply(self.request, self.expected);
                match connection.lead(goal, self.deadline, outputs) {
                    Led::Reply(result) => {
                        self.over = true;
                        connection.leave(self.request);
                        return result;
                    }
                    Led::TimedOut => return Err(connection.timed_out(self.timeout)),
                    Led::Room | Led::Dead => {}
                }
                table = connection.lock();
                continue;
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(connection.timed_out(self.timeout));
            }
            table.park(self.request, true);
            let waited = connection.replies[index].wait_timeout(table, left);
            table = waited.unwrap_or_else(PoisonError::into_inner).0;
            table.park(self.request, false);
        }
    }
}

impl Drop for Pending<'_> {
    /// Takes the request back when nobody has waited for its reply.
    fn drop(&mut self) {
        if self.over || self.connection.epoch != fork::epoch() {
            return;
        }
        let connection = self.connection;
        let mut table = connection.lock();
        let to_come = table.abandon(self.request);
        if to_come && !self.blocks.is_empty() {
            table.keep(self.request, std::mem::take(&mut self.blocks));
        }
        let dead = table.dead.is_some();
        if table.waiting_for_room > 0 {
            connection.room.notify_one();
        }
        drop(table);
        if to_come && !dead {
            CANCEL.with(|cell| {
                let mut buffer = cell.take();
                let frame = buffer.bare(Kind::Cancel, self.request);
                connection.writer.post(&frame);
                cell.set(buffer);
            });
        }
    }
}

thread_local! {
    static CANCEL: Cell<FrameBuffer> = Cell::default();
}
