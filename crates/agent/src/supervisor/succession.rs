//! The process that takes the place of this one, and the way out.

use std::time::Instant;

use super::{Life, Supervisor};
use crate::board::Phase;
use crate::successor::{State, Successor};
use crate::tls::Tls;
use crate::{info, warn};

impl Supervisor {
    /// Starts the process that takes the place of this one.
    pub(super) fn replace(&mut self) {
        if self.draining.or(self.leaving).is_some() || self.successor.is_some() {
            warn!("told to start the program anew: that is under way, or the agent ends");
            return;
        }
        let Life {
            program, server, ..
        } = &self.life;
        match Successor::start(program, &self.listeners, server.as_ref()) {
            Ok(successor) => {
                info!("process {} is to take over", successor.id());
                self.successor = Some(successor);
            }
            Err(e) => warn!("serving on: {e:#}"),
        }
    }

    /// Leaves new clients to the successor once it is ready.
    pub(super) fn hear_successor(&mut self) {
        let state = self.successor.as_mut().map(Successor::state);
        match (state, &self.successor) {
            (Some(State::Ready), Some(successor)) => {
                info!(
                    "process {} takes new clients; {} connections may stay for {:?}",
                    successor.id(),
                    self.pool.served() + self.waiting.len(),
                    self.drain_timeout
                );
                self.life.notifier.replaced_by(successor.id());
                self.leaving = Some(Instant::now() + self.drain_timeout);
                self.board.note(|facts| facts.phase = Phase::Draining);
                for mut listener in self.listeners.drain(..) {
                    listener.keep_file();
                }
                // It lives on by itself.
                self.successor = None;
                self.pool.leave();
            }
            (Some(State::Failed), _) => {
                if let Some(successor) = self.successor.take() {
                    let id = successor.id();
                    let how = successor.bury();
                    warn!("serving on: process {id} does not take over: {how}; see the log above");
                }
            }
            _ => {}
        }
    }

    /// While a successor takes new clients: serves those that had come before, and ends
    /// when they have gone or their time is over.
    pub(super) fn see_off(&mut self, assigned: bool) {
        // In this order: who is not counted any more has arrived.
        let handshakes = self.tls.as_ref().map_or(0, Tls::handshakes) + self.hellos.pending();
        let spoken = self.hellos.arrived();
        spoken.into_iter().for_each(|client| self.let_in(client));
        if !self.waiting.is_empty() {
            self.pool.refill(&self.waiting);
        } else if assigned {
            self.pool.leave();
        }
        let served = self.pool.served() + self.waiting.len() + handshakes;
        if served == 0 || self.leaving.is_some_and(|until| until <= Instant::now()) {
            info!("ending: {served} connections are left");
            self.drain();
        }
    }
}
