//! The sessions of one connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vaccel::{Session, hint};
use vaccel_abi::error::{ESESS, EUSERS};

use super::failure::{Failure, Result};
use super::tenant::{Held, Tenant};
use crate::ledger::Quota;

/// Sessions that a connection may have open. The C implementation has 1024 in a whole process.
const MAX: usize = 65_536;

/// The sessions of one connection, by the numbers that the client knows.
///
/// A number is drawn at random, so that one of another connection means nothing here.
#[derive(Debug)]
pub struct Sessions {
    open: Mutex<HashMap<i64, (Session, Option<Held>)>>,
    tenant: Arc<Tenant>,
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
            return Err(too_many());
        }
        let held = self.tenant.count(Quota::Sessions, 1)?;
        // The client's session is remote; the one here is not.
        let session = Session::with_hint(flags & !hint::REMOTE)?;
        let number = super::random_id()?;
        let mut open = self.lock();
        if open.len() >= MAX {
            return Err(too_many());
        }
        open.insert(number, (session, held));
        Ok(number)
    }

    /// The session of a number.
    ///
    /// # Errors
    /// `ESESS` when this connection has none with it.
    pub fn get(&self, number: i64) -> Result<Session> {
        self.lock()
            .get(&number)
            .map(|(session, _)| session.clone())
            .ok_or_else(|| unknown(number))
    }

    /// Takes a session out; it is released when the last operation on it ends.
    ///
    /// # Errors
    /// `ESESS` when this connection has none with this number.
    pub fn close(&self, number: i64) -> Result<Session> {
        let (session, _) = self.lock().remove(&number).ok_or_else(|| unknown(number))?;
        Ok(session)
    }

    /// Takes all out.
    pub fn close_all(&self) -> Vec<Session> {
        let drained: Vec<_> = self.lock().drain().collect();
        drained
            .into_iter()
            .map(|(_, (session, _))| session)
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, (Session, Option<Held>)>> {
        // No operation on the map can be left half done.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unknown(number: i64) -> Failure {
    Failure::new(ESESS, format!("this connection has no session {number}"))
}
