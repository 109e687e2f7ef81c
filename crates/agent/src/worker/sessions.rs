//! The sessions of one connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vaccel::{Session, hint};
use vaccel_abi::error::{ESESS, EUSERS};

use super::failure::{Failure, Result};
use super::tenant::{Held, Tenant};
use crate::counts::{self, One, Refusal};
use crate::ledger::Quota;

/// Sessions that a connection may have open. The C implementation has 1024 in a whole process.
const MAX: usize = 65_536;

/// The sessions of one connection, by the numbers that the client knows.
///
/// A number is drawn at random, so that one of another connection means nothing here.
#[derive(Debug)]
pub struct Sessions {
    open: Mutex<HashMap<i64, Open>>,
    tenant: Arc<Tenant>,
}

#[derive(Debug)]
struct Open {
    session: Session,
    /// Where what its plugin does is counted.
    plugin: usize,
    _one: One,
    _held: Option<Held>,
}

impl Sessions {
    /// None yet.
    #[must_use]
    pub fn new(tenant: &Arc<Tenant>) -> Self {
        Self {
            open: Mutex::default(),
            tenant: Arc::clone(tenant),
        }
    }

    /// Opens a session and returns its number.
    ///
    /// # Errors
    /// `EUSERS` when the connection or its tenant has too many; what the library returns.
    pub fn open(&self, flags: u32) -> Result<i64> {
        let too_many =
            || Failure::new(EUSERS, format!("a connection may have {MAX} sessions open"));
        if self.lock().len() >= MAX {
            counts::mine().refused(Refusal::Sessions);
            return Err(too_many());
        }
        let held = self.tenant.count(Quota::Sessions, 1)?;
        // The client's session is remote; the one here is not.
        let session = Session::with_hint(flags & !hint::REMOTE)?;
        let number = super::random_id()?;
        let counts = counts::mine();
        let one = One::of(&counts.sessions);
        let mut open = self.lock();
        if open.len() >= MAX {
            return Err(too_many());
        }
        let plugin = counts.plugin(&session.plugin());
        let entry = Open {
            session,
            plugin,
            _one: one,
            _held: held,
        };
        open.insert(number, entry);
        Ok(number)
    }

    /// The session of a number.
    ///
    /// # Errors
    /// `ESESS` when this connection has none with it.
    pub fn get(&self, number: i64) -> Result<Session> {
        self.get_counted(number).map(|(session, _)| session)
    }

    /// The session of a number, and where what its plugin does is counted.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_counted(&self, number: i64) -> Result<(Session, usize)> {
        match self.lock().get(&number) {
            Some(open) => Ok((open.session.clone(), open.plugin)),
            None => Err(unknown(number)),
        }
    }

    /// Changes the kind of plugin that serves a session.
    ///
    /// # Errors
    /// As [`get`](Self::get); what the library returns.
    pub fn update(&self, number: i64, flags: u32) -> Result<()> {
        let session = self.get(number)?;
        // One update at a time, and none while a session is asked for its plugin.
        let mut open = self.lock();
        session.update(flags & !hint::REMOTE)?;
        if let Some(open) = open.get_mut(&number) {
            open.plugin = counts::mine().plugin(&session.plugin());
        }
        Ok(())
    }

    /// Takes a session out; it is released when the last operation on it ends.
    ///
    /// # Errors
    /// `ESESS` when this connection has none with this number.
    pub fn close(&self, number: i64) -> Result<Session> {
        let open = self.lock().remove(&number);
        open.map(|open| open.session).ok_or_else(|| unknown(number))
    }

    /// Takes all out.
    pub fn close_all(&self) -> Vec<Session> {
        self.lock().drain().map(|(_, open)| open.session).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, Open>> {
        // No operation on the map can be left half done.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unknown(number: i64) -> Failure {
    Failure::new(ESESS, format!("this connection has no session {number}"))
}
