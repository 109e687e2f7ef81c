//! Workers that have ended, and what becomes of whom they served.

use std::process::ExitStatus;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::worker::Use;
use super::{Connection, Pool, Worker};
use crate::board::End;
use crate::process::{describe, reap_strangers};
use crate::refuse::{SESSIONS_LOST, farewell};
use crate::{debug, error, warn};

/// Why a worker was killed whose control group had no more memory.
const STARVED: &str = "quota `memory`: its control group has no more";

impl Pool {
    /// Buries the workers that have ended. Returns connections that they had not taken yet.
    pub fn reap(&mut self) -> Vec<Connection> {
        let mut returned = Vec::new();
        let mut i = 0;
        while i < self.workers.len() {
            match self.workers[i].process.try_wait() {
                None => i += 1,
                Some(status) => {
                    // What it said last may not have been heard yet.
                    if self.workers[i].is_heard() {
                        self.hear(i);
                    }
                    let worker = self.workers.swap_remove(i);
                    self.bury(worker, status, &mut returned);
                }
            }
        }
        reap_strangers(|pid| self.workers.iter().any(|w| w.process.id() == pid));
        returned
    }

    fn bury(&mut self, worker: Worker, status: ExitStatus, returned: &mut Vec<Connection>) {
        let Worker {
            number,
            process,
            plugins,
            used,
            connections,
            told,
            verdict,
            ..
        } = worker;
        let now = Instant::now();
        let starved = || process.ran_out_of_memory().then(|| STARVED.to_owned());
        let how = match verdict.or_else(starved) {
            Some(verdict) => format!("{} ({verdict})", describe(status)),
            None => describe(status),
        };
        let id = process.id();
        let end = match (status.success(), status.code()) {
            (true, _) => End::Finished,
            (false, Some(_)) => End::Failed,
            (false, None) => End::Killed,
        };
        self.board.worker_ended(number, end);
        if status.success() || !connections.is_empty() {
            debug!("worker {number} (process {id}) {how}");
        } else {
            warn!("worker {number} (process {id}) {how}");
        }
        let backoff = self.backoffs.of(&plugins);
        if !status.success() && used == Use::Nobody && backoff.reason().is_none() {
            // It died while it waited: another one could do the same, for ever.
            let reason = format!("worker {number} {how} before it served anybody");
            backoff.failed(reason, now);
        }
        if let (false, Some(tenant)) = (status.success(), used.only()) {
            self.tenants.crashed(tenant, now);
            if let Some(known) = self.tenants.get(tenant) {
                self.board.tenant_crashed(&known.tenant.name);
            }
        }
        for told in told {
            self.tenants.free_row(told.tenant, told.row);
        }
        for connection in connections {
            if let Some(cache) = &self.settings.cache {
                cache.forget(connection.number);
            }
            if connection.taken {
                error!(
                    connection = connection.number,
                    "from {}: worker {number} (process {id}) {how} while it served it",
                    connection.origin,
                );
                // It is the last that the client reads, so it must not come into a frame.
                let counts = process.counts();
                let between = counts.is_some_and(|shared| {
                    shared.counts().midway(connection.number).load(Relaxed) == 0
                });
                let words = format!("the agent's worker for it {how}; {SESSIONS_LOST}");
                let words = (connection.opened && between).then_some(&words[..]);
                farewell(connection.descriptor, words);
                self.tenants.left(connection.tenant);
            } else {
                debug!(
                    connection = connection.number,
                    "worker {number} had not taken it"
                );
                returned.push(connection);
            }
        }
        self.cleaner.dispose(process);
        if let Some(tenant) = used.only() {
            self.settle(tenant);
        }
    }
}
