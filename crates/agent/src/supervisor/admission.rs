//! Clients on their way to a worker.

use std::time::{Duration, Instant};

use vaccel_abi::error::{EACCES, EREMOTEIO, EUSERS};

use super::Supervisor;
use crate::counts::{self, Refusal};
use crate::listen::Accepted;
use crate::policy::DEFAULT_TENANT;
use crate::pool::Connection;
use crate::refuse::refuse;
use crate::{debug, warn};

/// Pause after the machine had no descriptor left for a new connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections that are accepted before workers are heard again.
const ACCEPT_AT_ONCE: usize = 16;

impl Supervisor {
    pub(super) fn accept(&mut self, listener: usize) {
        for _ in 0..ACCEPT_AT_ONCE {
            // None after a signal has ended the listening in the same turn.
            let Some(listener) = self.listeners.get(listener) else {
                return;
            };
            match listener.accept() {
                Ok(Some(accepted)) => self.admit(accepted),
                Ok(None) => return,
                Err(e) => {
                    warn!("cannot accept a connection: {e}");
                    self.accept_after = Some(Instant::now() + ACCEPT_PAUSE);
                    return;
                }
            }
        }
    }

    pub(super) fn admit(&mut self, accepted: Accepted) {
        let limit = self.max_connections;
        if accepted.tls
            && let Some(tls) = &self.tls
        {
            if tls.handshakes() < limit {
                tls.begin(accepted);
            } else {
                warn!(
                    "hanging up on {}: {limit} handshakes already",
                    accepted.origin
                );
            }
            return;
        }
        if self.pool.tenants().policy().asks_for_tokens() {
            self.hellos.begin(accepted);
        } else {
            self.let_in(accepted);
        }
    }

    /// Finds out whose a connection is, and has it wait for a worker.
    pub(super) fn let_in(&mut self, accepted: Accepted) {
        let limit = self.max_connections;
        if self.pool.served() + self.waiting.len() >= limit {
            warn!("refusing {}: {limit} connections already", accepted.origin);
            counts::mine().refused(Refusal::Connections);
            let text = format!("the agent serves {limit} connections already; try again later");
            refuse(accepted.descriptor, EUSERS, text);
            return;
        }
        let tenants = self.pool.tenants_mut();
        let tenant = match tenants.admit(&accepted.identity, Instant::now()) {
            Ok(tenant) => tenant,
            Err(refusal) => {
                warn!("refusing {}: {}", accepted.origin, refusal.text);
                refuse(accepted.descriptor, refusal.code, refusal.text);
                return;
            }
        };
        let number = self.next_connection;
        self.next_connection += 1;
        self.board.note(|facts| facts.accepted += 1);
        let (mut origin, mut who) = (accepted.origin, accepted.who);
        if let Some(known) = tenants.get(tenant)
            && (tenants.policy().file.is_some() || known.tenant.name != DEFAULT_TENANT)
        {
            let name = &known.tenant.name;
            origin = format!("{origin} as tenant {name}");
            // What tenants share with themselves, they do not share with others of one user.
            who = Some(format!("tenant {name}"));
        }
        debug!(connection = number, "from {origin}");
        self.waiting.push_back(Connection {
            number,
            tenant,
            origin,
            who,
            descriptor: accepted.descriptor,
            taken: false,
            opened: false,
        });
    }

    /// Gives waiting connections to workers, or tells them why there is none. True when
    /// a worker got one.
    pub(super) fn assign(&mut self) -> bool {
        let mut assigned = false;
        // One that finds no worker does not hold up those of other tenants.
        for connection in std::mem::take(&mut self.waiting) {
            let Some(connection) = self.pool.assign(connection) else {
                assigned = true;
                continue;
            };
            match self.pool.broken(connection.tenant) {
                Some(reason) => {
                    let text = format!("no worker can be started: {reason}");
                    counts::mine().refused(Refusal::Worker);
                    self.pool.tenants_mut().left(connection.tenant);
                    refuse(connection.descriptor, EREMOTEIO, text);
                }
                None => self.waiting.push_back(connection),
            }
        }
        assigned
    }

    /// After the policy has changed: refuses clients that wait and that it does not name.
    pub(super) fn drop_strangers(&mut self) {
        for connection in std::mem::take(&mut self.waiting) {
            let known = self.pool.tenants().get(connection.tenant);
            if known.is_some_and(|known| !known.is_gone()) {
                self.waiting.push_back(connection);
                continue;
            }
            let text = "the agent's policy does not name your tenant any more".to_owned();
            refuse(connection.descriptor, EACCES, text);
        }
    }
}
