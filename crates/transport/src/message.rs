//! A frame that has arrived, in memory of its own.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vaccel_wire::{ALIGN, Args, Header, Limits, WireError};

use crate::buffer::{Buffer, Pool};
use crate::error::ReadError;

/// A frame that has arrived.
#[derive(Debug)]
pub struct Message {
    /// Its header.
    pub header: Header,
    /// Meta, a gap, and the payload at a multiple of 64.
    pub(crate) buffer: Buffer,
    pub(crate) meta: usize,
    payload: usize,
    /// Since when the rest was waited for; `None` when the frame came as a whole.
    pub(crate) began: Option<Instant>,
}

impl Message {
    pub(crate) fn new(pool: &Arc<Pool>, header: Header) -> Result<Self, ReadError> {
        let bytes = layout(&header);
        let Some((payload, len)) = bytes else {
            return Err(ReadError::Frame {
                header: Some(header),
                error: WireError::Overflow,
            });
        };
        let Some(buffer) = pool.take(len) else {
            return Err(ReadError::NoMemory { header, bytes: len });
        };
        Ok(Self {
            header,
            buffer,
            meta: header.meta_len as usize,
            payload,
            began: None,
        })
    }

    /// How long it took to arrive, until a time after it had: from its header on, and
    /// nothing for a frame that came as a whole.
    #[must_use]
    pub fn took(&self, arrived: Instant) -> Duration {
        self.began
            .map_or(Duration::ZERO, |began| arrived.duration_since(began))
    }

    /// The meta: what [`Args::decode`] takes.
    #[must_use]
    pub fn meta(&self) -> &[u8] {
        &self.buffer[..self.meta]
    }

    /// The payload, at an address that is a multiple of 64.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.buffer[self.payload..]
    }

    /// The payload for writing: an operation may use its inputs as scratch.
    #[must_use]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let at = self.payload;
        &mut self.buffer[at..]
    }

    /// Meta and payload at the same time, the payload for writing.
    #[must_use]
    pub fn parts_mut(&mut self) -> (&[u8], &mut [u8]) {
        let (meta, payload) = self.buffer.split_at_mut(self.payload);
        (&meta[..self.meta], payload)
    }

    /// The arguments, checked.
    ///
    /// # Errors
    /// Says what is wrong with the meta.
    pub fn args(&self, limits: &Limits) -> Result<Args<'_>, WireError> {
        Args::decode(&self.header, self.meta(), limits)
    }

    /// Where the bytes numbered `filled` and following are wanted: the rest of
    /// the meta, or of the payload.
    pub(crate) fn room(&mut self, filled: usize) -> &mut [u8] {
        let range: Range<usize> = if filled < self.meta {
            filled..self.meta
        } else {
            self.payload + (filled - self.meta)..self.buffer.len()
        };
        &mut self.buffer[range]
    }
}

/// Where the payload begins in the buffer of a message, and the buffer's size.
fn layout(header: &Header) -> Option<(usize, usize)> {
    let payload = (header.meta_len as usize).checked_next_multiple_of(ALIGN)?;
    let len = payload.checked_add(usize::try_from(header.payload_len).ok()?)?;
    (len <= isize::MAX as usize).then_some((payload, len))
}
