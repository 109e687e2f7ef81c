//! A tenant, as its worker knows it: what it may, and what it has.
//!
//! Everything that a client wants is held to the [`Terms`] that the agent sent. What they
//! follow from is the agent's business. A refusal names the limit, and is counted in the
//! tenant's ledger.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use vaccel_abi::error::{EACCES, EAGAIN, ENOENT, ENOMEM, ENOSPC, EUSERS};
use vaccel_abi::op::{OP_EXEC, OP_EXEC_WITH_RESOURCE};
use vaccel_abi::table::OpSpec;
use vaccel_wire::control::{
    RESOURCE_COMMIT, RESOURCE_DATA, RESOURCE_DETACH, SESSION_CLOSE, TENSOR_FREE,
};

use super::failure::{Failure, Result};
use crate::ledger::{self, Ledger, Quota};
use crate::terms::{Library, Terms};

/// The largest library whose hash is asked for.
const MAX_LIBRARY: u64 = 1 << 30;

/// A tenant whose connections this worker serves.
#[derive(Debug)]
pub struct Tenant {
    number: u64,
    row: usize,
    ledger: Ledger,
    terms: RwLock<Terms>,
    /// Libraries whose hash was right, as they were then, by what the terms say of them.
    checked: Mutex<HashMap<(String, String), Arc<OwnedFd>>>,
}

/// What is counted as the tenant's, until it goes.
#[derive(Debug)]
pub struct Held {
    tenant: Arc<Tenant>,
    what: Quota,
    amount: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.tenant
            .ledger
            .give(self.tenant.row, self.what, self.amount);
    }
}

/// What a request in flight counts; nothing where there is no limit.
#[derive(Debug, Default)]
pub struct Pass {
    in_flight: Option<Held>,
    memory: Option<Held>,
}

impl Pass {
    /// The request is about to be answered by a frame of so many bytes: whoever reads that may send the
    /// next one at once, which must find room. What is left counts until the pass goes.
    pub fn answering(&mut self, bytes: u64) {
        self.in_flight = None;
        if let Some(memory) = &mut self.memory {
            let free = memory.amount.saturating_sub(bytes);
            memory
                .tenant
                .ledger
                .give(memory.tenant.row, memory.what, free);
            memory.amount -= free;
        }
    }
}

impl Tenant {
    /// One whose ledger is `ledger`, with this worker's row.
    #[must_use]
    pub fn new(number: u64, row: usize, ledger: Ledger, terms: Terms) -> Self {
        Self {
            number,
            row,
            ledger,
            terms: RwLock::new(terms),
            checked: Mutex::default(),
        }
    }

    /// The agent's number for it.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// What it may.
    pub fn terms(&self) -> RwLockReadGuard<'_, Terms> {
        // Replaced in one step.
        self.terms.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// It may something else from now on.
    pub fn set_terms(&self, terms: Terms) {
        *self.terms.write().unwrap_or_else(PoisonError::into_inner) = terms;
    }

    /// Counts something that has no other error.
    pub fn note(&self, what: Quota) {
        self.ledger.refuse(what);
    }

    /// Lets a request in that has been read.
    ///
    /// # Errors
    /// `EACCES` for an operation that is not allowed, `EAGAIN` and `ENOMEM` for more than
    /// there may be at a time.
    pub fn admit(self: &Arc<Self>, operation: u16, bytes: u64) -> Result<Pass> {
        // What gives back is never refused; nor is what a client has been let in to send.
        if matches!(
            operation,
            SESSION_CLOSE | RESOURCE_DETACH | TENSOR_FREE | RESOURCE_DATA | RESOURCE_COMMIT
        ) {
            return Ok(Pass::default());
        }
        self.pace()?;
        match operation >= super::control::FIRST {
            true => Ok(Pass::default()),
            false => self.begin(operation, bytes),
        }
    }

    /// Holds requests to their rate.
    ///
    /// # Errors
    /// `EAGAIN` when there were too many.
    pub fn pace(&self) -> Result<()> {
        let terms = self.terms();
        let Some(rate) = terms.limits.rate else {
            return Ok(());
        };
        self.ledger
            .pass(ledger::now(), rate, terms.limits.burst)
            .map_err(|wait| {
                let text = format!(
                    "{rate} requests a second, {} at once; try again in {:.3} ms",
                    terms.limits.burst,
                    wait as f64 / 1e6
                );
                self.refuse(&terms, Quota::Rate, EAGAIN, &text)
            })
    }

    /// Lets an operation of the library run.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    pub fn begin(self: &Arc<Self>, operation: u16, bytes: u64) -> Result<Pass> {
        let terms = self.terms();
        if !terms.allows(operation) {
            let name = vaccel_abi::table::find(operation.into()).map_or("", |spec| spec.name);
            let text = format!("the operation {operation} `{name}` is not allowed");
            return Err(self.refuse(&terms, Quota::Allowed, EACCES, &text));
        }
        let take = |what, amount, limit: Option<u64>| {
            let limit = limit.map(|limit| self.hold(&terms, what, amount, limit));
            limit.transpose()
        };
        Ok(Pass {
            in_flight: take(Quota::InFlight, 1, terms.limits.in_flight)?,
            memory: take(Quota::Memory, bytes, terms.limits.memory)?,
        })
    }

    /// Counts a session, a resource, or bytes; `None` where there is no limit.
    ///
    /// # Errors
    /// `EUSERS`, and `ENOSPC` for bytes, when there are too many.
    pub fn count(self: &Arc<Self>, what: Quota, amount: u64) -> Result<Option<Held>> {
        let terms = self.terms();
        let limit = match what {
            Quota::Sessions => terms.limits.sessions,
            Quota::Resources => terms.limits.resources,
            Quota::ModelBytes => terms.limits.model_bytes,
            _ => None,
        };
        let held = limit.map(|limit| self.hold(&terms, what, amount, limit));
        held.transpose()
    }

    fn hold(self: &Arc<Self>, terms: &Terms, what: Quota, amount: u64, limit: u64) -> Result<Held> {
        match self.ledger.take(self.row, what, amount, limit) {
            Ok(()) => Ok(Held {
                tenant: Arc::clone(self),
                what,
                amount,
            }),
            Err(used) => {
                let code = match what {
                    Quota::ModelBytes => ENOSPC,
                    Quota::Memory => ENOMEM,
                    Quota::InFlight => EAGAIN,
                    _ => EUSERS,
                };
                let text =
                    format!("{used} are in use, {limit} is the most, {amount} more are wanted");
                Err(self.refuse(terms, what, code, &text))
            }
        }
    }

    /// Checks what a client wants to send.
    ///
    /// # Errors
    /// `EACCES` when it may not.
    pub fn may_upload(&self, library: bool) -> Result<()> {
        let terms = self.terms();
        if !terms.uploads {
            let text = "clients may not send resources";
            return Err(self.refuse(&terms, Quota::Allowed, EACCES, text));
        }
        if library && !terms.client_code {
            let text = "clients may not send libraries (`client_code`)";
            return Err(self.refuse(&terms, Quota::Allowed, EACCES, text));
        }
        Ok(())
    }

    /// Checks an operation that may run code of the client's.
    ///
    /// # Errors
    /// `EACCES` when it may not.
    pub fn may_run(&self, spec: &OpSpec) -> Result<()> {
        let terms = self.terms();
        if spec.code == OP_EXEC_WITH_RESOURCE && !terms.client_code {
            let text = "clients may not run code that they have sent (`client_code`)";
            return Err(self.refuse(&terms, Quota::Allowed, EACCES, text));
        }
        Ok(())
    }

    /// What to load in place of a library that a client names; `None` for that itself.
    ///
    /// # Errors
    /// `EACCES` for a library that is not allowed or does not have its hash.
    pub fn library(&self, spec: &OpSpec, name: &[u8]) -> Result<Option<CString>> {
        if spec.code != OP_EXEC {
            return Ok(None);
        }
        let terms = self.terms();
        let Some(allowed) = &terms.exec else {
            return Ok(None);
        };
        let name = name.split(|&b| b == 0).next().unwrap_or_default();
        let name = String::from_utf8_lossy(name);
        let mut found = allowed
            .iter()
            .filter(|library| library.is(&name))
            .peekable();
        if found.peek().is_none() {
            let text = format!("the library `{name}` may not be called (`exec`)");
            return Err(self.refuse(&terms, Quota::Allowed, EACCES, &text));
        }
        // One of the hashes must be right, where there are several.
        let mut last = None;
        for library in found {
            match self.checked(&name, library) {
                Ok(path) => return Ok(path),
                Err(text) => last = Some(text),
            }
        }
        match last {
            Some((code, text)) => Err(self.refuse(&terms, Quota::Allowed, code, &text)),
            None => Ok(None),
        }
    }

    /// A copy of a library that has the right hash and cannot be changed any more.
    fn checked(&self, name: &str, library: &Library) -> Result<Option<CString>, (i32, String)> {
        let Some(hash) = &library.blake3 else {
            return Ok(None);
        };
        let key = (name.to_owned(), hash.clone());
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        let fd = match checked.get(&key) {
            Some(fd) => Arc::clone(fd),
            None => {
                let fd = Arc::new(copy(name, hash)?);
                checked.insert(key, Arc::clone(&fd));
                fd
            }
        };
        // Has no zero in it. The descriptor stays open as long as the tenant is served.
        Ok(CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok())
    }

    fn refuse(&self, terms: &Terms, what: Quota, code: i32, text: &str) -> Failure {
        self.ledger.refuse(what);
        let kind = match what {
            Quota::Allowed => "policy",
            _ => "quota",
        };
        let (name, tenant) = (what.name(), &terms.tenant);
        Failure::new(
            code,
            format!("{kind} `{name}` of tenant `{tenant}`: {text}"),
        )
    }
}

/// Copies a library while its hash is computed, and seals the copy.
fn copy(path: &str, hash: &str) -> Result<OwnedFd, (i32, String)> {
    let fail = |e: std::io::Error| {
        let code = if e.kind() == std::io::ErrorKind::NotFound {
            ENOENT
        } else {
            EACCES
        };
        (code, format!("the library `{path}` cannot be read: {e}"))
    };
    let mut file = File::open(path).map_err(fail)?.take(MAX_LIBRARY + 1);
    let fd = memfd_create(
        "vaccel-library",
        MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
    )
    .map_err(|e| fail(e.into()))?;
    let mut copy = File::from(fd);
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; 256 << 10];
    let mut size = 0;
    loop {
        let length = file.read(&mut piece).map_err(fail)?;
        if length == 0 {
            break;
        }
        size += length as u64;
        hasher.update(&piece[..length]);
        copy.write_all(&piece[..length]).map_err(fail)?;
    }
    let is = hasher.finalize().to_hex();
    if size > MAX_LIBRARY || is.as_str() != hash {
        let text = format!("the library `{path}` has the BLAKE3 hash {is}, and {hash} is allowed");
        return Err((EACCES, text));
    }
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    fcntl_add_seals(&copy, seals).map_err(|e| fail(e.into()))?;
    Ok(copy.into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::*;
    use crate::terms::tests::open;
    use vaccel_abi::table::find;

    /// A tenant with terms.
    pub(crate) fn tenant(terms: Terms) -> Arc<Tenant> {
        let (ledger, _fd) = Ledger::create().unwrap();
        ledger.set_rows(1);
        Arc::new(Tenant::new(1, 0, ledger, terms))
    }

    #[test]
    fn what_is_held_counts_until_it_goes_and_a_refusal_names_the_quota() {
        let mut terms = open();
        terms.limits.sessions = Some(2);
        let tenant = tenant(terms);
        let one = tenant.count(Quota::Sessions, 1).unwrap();
        let _two = tenant.count(Quota::Sessions, 1).unwrap();
        let refused = tenant.count(Quota::Sessions, 1).unwrap_err();
        assert_eq!(refused.code, EUSERS);
        assert!(
            refused
                .message
                .contains("quota `sessions` of tenant `test`: 2 are in use"),
            "{refused}"
        );
        assert_eq!(tenant.ledger.refused(Quota::Sessions), 1);
        drop(one);
        tenant.count(Quota::Sessions, 1).unwrap();
        assert!(
            tenant.count(Quota::Resources, 1).unwrap().is_none(),
            "no limit"
        );
    }

    #[test]
    fn operations_are_held_to_what_is_allowed_to_number_to_memory_and_to_rate() {
        let mut terms = open();
        terms.ops = Some(vec![0]);
        terms.limits.in_flight = Some(1);
        terms.limits.memory = Some(100);
        let tenant = tenant(terms.clone());
        let code = |operation, bytes| tenant.admit(operation, bytes).map_err(|f| f.code).map(drop);
        assert_eq!(code(1, 0), Err(EACCES));
        assert_eq!(code(0, 101), Err(ENOMEM));
        let mut pass = tenant.admit(0, 100).unwrap();
        assert_eq!(code(0, 0), Err(EAGAIN));
        pass.answering(30);
        assert_eq!((code(0, 71), code(0, 70)), (Err(ENOMEM), Ok(())));
        pass.answering(200);
        assert_eq!((code(0, 71), code(0, 70)), (Err(ENOMEM), Ok(())));
        drop(pass);
        assert_eq!(code(0, 100), Ok(()));
        terms.limits.rate = Some(1);
        terms.limits.burst = 2;
        tenant.set_terms(terms);
        assert_eq!(
            (code(0, 0), code(0, 0), code(0, 0)),
            (Ok(()), Ok(()), Err(EAGAIN))
        );
        // What gives back is never refused.
        assert_eq!(code(SESSION_CLOSE, 0), Ok(()));
    }

    #[test]
    fn a_library_is_called_only_as_allowed_and_as_it_was_when_its_hash_was_right() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.so");
        std::fs::write(&path, "content").unwrap();
        let name = path.to_str().unwrap().to_owned();
        let exec = find(OP_EXEC).unwrap();
        let mut terms = open();
        let library = |hash: Option<&[u8]>| {
            let blake3 = hash.map(|bytes| blake3::hash(bytes).to_hex().to_string());
            Some(vec![Library {
                path: name.clone(),
                blake3,
            }])
        };
        terms.exec = Some(vec![]);
        let tenant = tenant(terms.clone());
        let refused = tenant.library(exec, name.as_bytes()).unwrap_err();
        assert!(refused.code == EACCES && refused.message.contains("a.so` may not be called"));
        terms.exec = library(None);
        tenant.set_terms(terms.clone());
        assert_eq!(tenant.library(exec, name.as_bytes()), Ok(None));
        assert!(tenant.library(exec, b"a.so").is_err());
        terms.exec = library(Some(b"other"));
        tenant.set_terms(terms.clone());
        let refused = tenant.library(exec, name.as_bytes()).unwrap_err();
        assert!(refused.message.contains("has the BLAKE3 hash"), "{refused}");
        terms.exec = library(Some(b"content"));
        tenant.set_terms(terms);
        let with_zero = format!("{name}\0");
        let load = tenant.library(exec, with_zero.as_bytes()).unwrap().unwrap();
        std::fs::write(&path, "changed").unwrap();
        let load = load.to_str().unwrap();
        assert_eq!(std::fs::read(load).unwrap(), b"content");
        assert!(
            File::options()
                .write(true)
                .open(load)
                .and_then(|mut f| f.write(b"x"))
                .is_err()
        );
        let again = tenant.library(exec, name.as_bytes()).unwrap().unwrap();
        assert_eq!(again.to_str().unwrap(), load);
    }

    #[test]
    fn code_of_clients_runs_only_where_it_is_allowed() {
        let mut terms = open();
        terms.client_code = false;
        let tenant = tenant(terms.clone());
        let resource = find(OP_EXEC_WITH_RESOURCE).unwrap();
        assert_eq!(tenant.may_run(resource).unwrap_err().code, EACCES);
        assert!(tenant.may_run(find(0).unwrap()).is_ok());
        assert!(tenant.may_upload(true).is_err() && tenant.may_upload(false).is_ok());
        terms.uploads = false;
        tenant.set_terms(terms);
        assert!(tenant.may_upload(false).is_err());
    }
}
