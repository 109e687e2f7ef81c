//! The sessions of one connection.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use vaccel::{Session, hint};
use vaccel_abi::error::{ESESS, EUSERS};

use super::failure::{Failure, Result};

/// Sessions that a connection may have open. The C implementation has 1024 in a whole process.
const MAX: usize = 65_536;

/// The sessions of one connection, by the numbers that the client knows.
///
/// A number is drawn at random, so that one of another connection means nothing here.
#[derive(Debug, Default)]
pub struct Sessions {
    open: Mutex<HashMap<i64, Session>>,
}

impl Sessions {
    /// Opens a session and returns its number.
    ///
    /// # Errors
    /// `EUSERS` when there are too many; what the library returns.
    pub fn open(&self, flags: u32) -> Result<i64> {
        let too_many =
            || Failure::new(EUSERS, format!("a connection may have {MAX} sessions open"));
        if self.lock().len() >= MAX {
            return Err(too_many());
        }
        // The client's session is remote; the one here is not.
        let session = Session::with_hint(flags & !hint::REMOTE)?;
        let number = super::random_id()?;
        let mut open = self.lock();
        if open.len() >= MAX {
            return Err(too_many());
        }
        open.insert(number, session);
        Ok(number)
    }

    /// The session of a number.
    ///
    /// # Errors
    /// `ESESS` when this connection has none with it.
    pub fn get(&self, number: i64) -> Result<Session> {
        self.lock()
            .get(&number)
            .cloned()
            .ok_or_else(|| unknown(number))
    }

    /// Takes a session out; it is released when the last operation on it ends.
    ///
    /// # Errors
    /// `ESESS` when this connection has none with this number.
    pub fn close(&self, number: i64) -> Result<Session> {
        self.lock().remove(&number).ok_or_else(|| unknown(number))
    }

    /// Takes all out.
    pub fn close_all(&self) -> Vec<Session> {
        self.lock().drain().map(|(_, session)| session).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, Session>> {
        // No operation on the map can be left half done.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unknown(number: i64) -> Failure {
    Failure::new(ESESS, format!("this connection has no session {number}"))
}
