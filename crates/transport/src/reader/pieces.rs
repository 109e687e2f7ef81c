//! Replies that come in pieces.

use super::{FrameReader, State, recv, waited};
use crate::error::ReadError;
use crate::message::Message;
use crate::pieces::Into;
use crate::timed::Source;
use std::io;
use std::time::Instant;
use vaccel_wire::{HEADER_LEN, Header, Kind};

impl FrameReader {
    /// Puts more of a piece where its reply is gathered; a reply that is complete is
    /// announced next.
    pub(super) fn piece<S: Source>(&mut self, source: &mut S) -> Result<(), ReadError> {
        let State::Piece(request, left) = &mut self.state else {
            return Ok(());
        };
        if let Some((message, filled)) = self.opened.message(*request) {
            let room = message.room(*filled);
            let most = room.len().min(*left);
            let room = &mut room[..most];
            let there = room.len().min(self.end - self.start);
            let n = if there > 0 {
                let bytes = &self.buffer[self.start..self.start + there];
                room[..there].copy_from_slice(bytes);
                self.start += there;
                there
            } else {
                recv(self.ring.as_ref(), source, room, true).map_err(waited)?
            };
            if n == 0 {
                return Err(ReadError::Truncated);
            }
            *filled += n;
            *left -= n;
        }
        if *left == 0 {
            let request = *request;
            self.state = match self.opened.end(request) {
                Some(mut message) => {
                    message.header.kind = Kind::Reply;
                    let all = message.meta + message.payload().len();
                    State::Gather(message, all)
                }
                None => State::Head,
            };
        }
        Ok(())
    }

    /// The header of a piece is there.
    pub(super) fn announced(&mut self, header: Header) -> Result<(), ReadError> {
        let to = self.opened.announce(header)?;
        self.state = match to {
            Into::Reader => State::Ready(header),
            Into::Nothing => State::Skip(header.payload_len),
            // A message that was had for all of it has room for a piece.
            Into::Message(..) => State::Piece(header.request, header.payload_len as usize),
        };
        if !matches!(to, Into::Reader) {
            self.start += HEADER_LEN;
        }
        if matches!(to, Into::Nothing) {
            self.opened.end(header.request);
        }
        Ok(())
    }

    /// Takes the head of the announced reply in pieces; they go to a message, which is
    /// announced as a reply when it is complete.
    pub(crate) fn gather(&mut self) -> Result<(), ReadError> {
        let (header, into) = match std::mem::replace(&mut self.state, State::Head) {
            State::Ready(header) => {
                let from = self.start + HEADER_LEN;
                self.start = from + header.meta_len as usize;
                let mut message = Message::new(&self.pool, header)?;
                let meta = message.meta;
                message.buffer[..meta].copy_from_slice(&self.buffer[from..from + meta]);
                message.began = Some(Instant::now());
                (header, Into::Message(message, meta))
            }
            State::Gather(message, filled) => (message.header, Into::Message(message, filled)),
            other => {
                self.state = other;
                return Err(ReadError::Io(io::ErrorKind::InvalidInput.into()));
            }
        };
        self.opened.enter(header, into, &self.limits)
    }

    /// Takes the head of the announced reply in pieces. Each of them is announced, to be
    /// taken with [`scatter`](Self::scatter).
    pub(crate) fn take_in_pieces(&mut self) -> Result<(), ReadError> {
        let State::Ready(header) = self.state else {
            return Err(ReadError::Io(io::ErrorKind::InvalidInput.into()));
        };
        self.start += HEADER_LEN + header.meta_len as usize;
        self.state = State::Head;
        self.opened.enter(header, Into::Reader, &self.limits)
    }

    /// No more pieces of a reply are wanted.
    pub(crate) fn forget(&mut self, request: u64) {
        self.opened.forget(request);
    }

    /// What follows of a reply in pieces is not wanted either.
    pub(super) fn skip_pieces(&mut self, header: Header) {
        match header.kind {
            Kind::ReplyInPieces => self.opened.refuse(header),
            Kind::Piece => drop(self.opened.end(header.request)),
            _ => {}
        }
    }
}
