//! The leader: the caller who reads the stream, for itself and for others.

use super::reply::Expected;
use super::{Connection, parting};
use crate::error::{CallError, ReadError};
use crate::outputs::Outputs;
use crate::reader::FrameReader;
use crate::sys::{self, Ready};
use crate::table::{Meaning, Table};
use crate::timed::{Present, Source, Timed};
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use vaccel_wire::{FrameBuffer, GOING_AWAY, Header, Kind, WireError};

/// How often a writer that waits for room looks whether somebody still reads.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Reading {
    pub(super) frames: FrameReader,
    /// The socket's receive timeout.
    pub(super) timeout: Duration,
}
/// What a leader waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    Reply(u64, Expected),
    Room,
    /// The end of a request that was submitted.
    Submitted(u64),
    /// The end of all that are watched.
    Watched,
}
/// Why a leader stopped reading.
pub(super) enum Led {
    /// Its own reply, delivered.
    Reply(Result<(), CallError>),
    /// There is room for a further request.
    Room,
    TimedOut,
    Dead,
}
/// The right and duty to read the stream; passed on when dropped.
pub(super) struct Lead<'c>(&'c Connection);

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let mut table = self.0.lock();
        table.lead = false;
        if let Some(index) = table.sleeper() {
            self.0.replies[index].notify_one();
        } else if table.waiting_for_room > 0 {
            self.0.room.notify_one();
        } else if table.watched() > 0 {
            self.0.attention.notify_one();
        }
    }
}

impl Connection {
    /// Called while the socket is full: waits for room, and reads if nobody does.
    pub(super) fn while_full(&self, left: Option<Duration>) -> io::Result<()> {
        if self.writer.ring().is_some() {
            return self.while_ring_full(left);
        }
        let stream = self.writer.stream();
        let mut table = self.lock();
        if table.lead {
            drop(table);
            let time = left.map_or(LOOK, |l| l.min(LOOK));
            return sys::wait(stream.sender(), Ready::Write, Some(time)).map(drop);
        }
        table.lead = true;
        drop(table);
        let _lead = Lead(self);
        let fds = [
            (stream.as_fd(), Ready::Read),
            (stream.sender(), Ready::Write),
        ];
        let [there, _] = sys::wait_either(fds, left)?;
        if there {
            let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
            let mut present = Present(self.writer.stream());
            // An error that lasts is found again by the next who reads.
            while self.next(&mut reading.frames, &mut present, None).is_ok() {}
        }
        Ok(())
    }

    /// [`while_full`](Self::while_full) for a ring: its socket says nothing about room.
    fn while_ring_full(&self, left: Option<Duration>) -> io::Result<()> {
        let mut table = self.lock();
        let leads = !table.lead;
        table.lead = true;
        drop(table);
        if leads {
            let _lead = Lead(self);
            let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
            let mut present = Present(self.writer.stream());
            // An error that lasts is found again by the next who reads.
            while self.next(&mut reading.frames, &mut present, None).is_ok() {}
        }
        self.writer.wait_for_room(left)
    }

    /// Reads until the goal is reached. The caller has set `lead`; it is
    /// unset, and passed on, on return.
    pub(super) fn lead(&self, goal: Goal, deadline: Instant, outputs: &mut dyn Outputs) -> Led {
        let lead = Lead(self);
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let Reading { frames, timeout } = &mut *reading;
        let mut source = Timed {
            stream: self.writer.stream(),
            deadline,
            current: timeout,
        };
        let own = match goal {
            Goal::Reply(request, _) => Some(request),
            Goal::Room | Goal::Submitted(_) | Goal::Watched => None,
        };
        let led = loop {
            match self.next(frames, &mut source, own) {
                Ok(header) if Some(header.request) == own => {
                    let Goal::Reply(_, expected) = goal else {
                        continue;
                    };
                    match self.take(header, expected, frames, &mut source, outputs) {
                        Ok(result) => break Led::Reply(result),
                        Err(error) => break self.fault(&error, frames),
                    }
                }
                Ok(_) => {}
                Err(error) => break self.fault(&error, frames),
            }
            let reached = match goal {
                Goal::Reply(..) => false,
                Goal::Room => self.lock().has_room(),
                Goal::Submitted(request) => !self.lock().is_submitted(request),
                Goal::Watched => self.lock().watched() == 0,
            };
            if reached {
                break Led::Room;
            }
        };
        // Others may read from here on.
        drop(reading);
        drop(lead);
        led
    }

    /// Reads what is there; the caller has set `lead`.
    pub(super) fn lead_present(&self, present: &mut Present<'_>) {
        let _lead = Lead(self);
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match self.next(&mut reading.frames, present, None) {
                Ok(_) => {}
                Err(error) => {
                    // Nothing there is no fault.
                    self.fault(&error, &reading.frames);
                    return;
                }
            }
        }
    }

    /// What an error of reading means for the leader and the connection.
    fn fault(&self, error: &ReadError, frames: &FrameReader) -> Led {
        if matches!(error, ReadError::TimedOut) {
            return Led::TimedOut;
        }
        let ended = matches!(error, ReadError::Closed | ReadError::Truncated);
        let said = ended.then(|| self.parting(frames)).flatten();
        let fault = self.writer.fault().or_else(|| self.writer.stream().fault());
        let reason = match (said.map(Arc::from).or(fault), error) {
            (Some(reason), _) => reason.to_string(),
            (None, ReadError::Closed) => "the agent hung up".into(),
            (None, ReadError::Truncated) => "the agent hung up in the middle of a reply".into(),
            (None, ReadError::Frame { error, .. }) => {
                format!("the agent sent what is no frame: {error}")
            }
            (None, other) => other.to_string(),
        };
        self.die(reason);
        Led::Dead
    }

    /// Reads one frame and hands it to whom it concerns; the caller's own stays
    /// in the reader.
    pub(super) fn next<S: Source>(
        &self,
        frames: &mut FrameReader,
        source: &mut S,
        own: Option<u64>,
    ) -> Result<Header, ReadError> {
        let header = frames.head(source)?;
        match header.kind {
            Kind::Reply | Kind::ReplyInPieces | Kind::Pong => {}
            Kind::Ping => {
                frames.skip();
                if header.operation == GOING_AWAY {
                    // It wants no answer, and may not take one any more.
                    self.leaving.store(true, Ordering::Relaxed);
                    return Ok(header);
                }
                let mut buffer = FrameBuffer::new();
                self.writer.post(&buffer.bare(Kind::Pong, header.request));
                return Ok(header);
            }
            // Pieces are announced to whoever takes them, and go past everybody else.
            Kind::Piece if Some(header.request) == own => return Ok(header),
            Kind::Request | Kind::Cancel | Kind::Piece => {
                return Err(ReadError::Frame {
                    header: Some(header),
                    error: WireError::Field {
                        message: "a frame from the agent",
                        field: "kind",
                        value: header.kind as u64,
                    },
                });
            }
        }
        if Some(header.request) == own {
            return Ok(header);
        }
        if parting::is_last(&header) {
            return Err(self.part(frames, source));
        }
        let meaning = self.lock().meaning(header.request);
        match meaning {
            Meaning::Pending | Meaning::Submitted if header.kind == Kind::ReplyInPieces => {
                // It is a reply when all of it is there.
                frames.gather()?;
            }
            Meaning::Pending => {
                let message = frames.receive(source)?;
                let mut table = self.lock();
                let wanted = table.answer(header.request, message);
                drop(table);
                if wanted {
                    self.replies[Table::index(header.request)].notify_one();
                } else {
                    self.room.notify_one();
                }
            }
            Meaning::Submitted => {
                let message = frames.receive(source)?;
                self.complete(header.request, &message);
            }
            Meaning::Abandoned => {
                frames.skip();
                self.leave(header.request);
            }
            Meaning::Unknown => {
                return Err(ReadError::Frame {
                    header: Some(header),
                    error: WireError::Field {
                        message: "a reply",
                        field: "number of the request",
                        value: header.request,
                    },
                });
            }
        }
        Ok(header)
    }
}
