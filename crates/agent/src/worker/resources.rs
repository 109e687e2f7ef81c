//! The resources of one connection.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use vaccel::{Resource, ResourceType, Session};
use vaccel_abi::error::{EBUSY, ENOENT, ENOSPC, EPERM, EUSERS};
use vaccel_wire::control::ResourceBegin;

use super::content::Desk;
use super::failure::{Failure, Result};
use super::tenant::{Held, Tenant};
use super::upload::{Folder, Upload};
use crate::counts::{self, One, Refusal};
use crate::ledger;

/// Resources that a connection may have.
const MAX: usize = 4096;

/// The resources of one connection, by the numbers that the client knows.
///
/// A number is drawn at random, so that one of another connection means nothing here.
#[derive(Debug)]
pub struct Resources {
    known: Mutex<HashMap<i64, Arc<Entry>>>,
    /// Where uploads go.
    folder: PathBuf,
    next_folder: AtomicU64,
    used: Arc<Quota>,
    /// What the agent keeps.
    desk: Option<Desk>,
}

/// Bytes that the resources and kept tensors of a connection may take.
#[derive(Debug)]
pub struct Quota {
    used: AtomicU64,
    limit: u64,
    /// Whose they count as.
    tenant: Arc<Tenant>,
}

/// Bytes of a quota, given back when it goes.
#[derive(Debug)]
pub struct Share {
    quota: Arc<Quota>,
    bytes: u64,
    _held: Option<Held>,
}

impl Share {
    /// Takes bytes; `what` they are for is for the message.
    ///
    /// # Errors
    /// `ENOSPC` when there are not as many.
    pub fn take(quota: &Arc<Quota>, what: &str, bytes: u64) -> Result<Self> {
        let fits = |used: u64| used.checked_add(bytes).filter(|&sum| sum <= quota.limit);
        quota
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .map_err(|used| {
                counts::mine().refused(Refusal::ResourceBytes);
                Failure::new(
                    ENOSPC,
                    format!(
                        "{what} has {bytes} bytes; the connection has {} of {} left",
                        quota.limit - used,
                        quota.limit
                    ),
                )
            })?;
        counts::mine()
            .resource_bytes
            .fetch_add(bytes, Ordering::Relaxed);
        let mut share = Self {
            quota: Arc::clone(quota),
            bytes,
            _held: None,
        };
        // Where the tenant has too much, the share goes back as it goes.
        share._held = quota.tenant.count(ledger::Quota::ModelBytes, bytes)?;
        Ok(share)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.quota.used.fetch_sub(self.bytes, Ordering::Relaxed);
        counts::mine()
            .resource_bytes
            .fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// One resource. Fields go in this order: the resource, then its files, then its share.
#[derive(Debug)]
struct Entry {
    /// The library's resource once it is complete; read without the lock by operations.
    resource: OnceLock<Resource>,
    state: Mutex<State>,
    folder: OnceLock<Folder>,
    _share: Share,
    _held: Option<Held>,
    _one: One,
}

#[derive(Debug)]
struct State {
    /// What is arriving; `None` once it is complete or has failed.
    upload: Option<Upload>,
    /// The session that began it, or the sessions it is registered with.
    sessions: HashSet<i64>,
}

impl Entry {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Each step below leaves a state that the next one understands.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resources {
    /// No resources; files go to `folder`, and take no more than `limit` bytes
    /// together with memory.
    #[must_use]
    pub fn new(folder: PathBuf, limit: u64, desk: Option<Desk>, tenant: &Arc<Tenant>) -> Self {
        Self {
            known: Mutex::default(),
            folder,
            next_folder: AtomicU64::new(1),
            used: Arc::new(Quota {
                used: AtomicU64::new(0),
                limit,
                tenant: Arc::clone(tenant),
            }),
            desk,
        }
    }

    /// Whose they are.
    #[must_use]
    pub fn tenant(&self) -> &Arc<Tenant> {
        &self.used.tenant
    }

    /// Where uploads go.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// What resources share with whatever else the connection keeps.
    #[must_use]
    pub fn quota(&self) -> Arc<Quota> {
        Arc::clone(&self.used)
    }

    /// Begins a resource and returns its number, and whether nothing need be sent.
    ///
    /// # Errors
    /// What [`Upload::begin`] returns; `EACCES` when the tenant may not send it; `ENOSPC`
    /// when it is too large; `EUSERS` when there are too many.
    pub fn begin(&self, session: i64, begin: &ResourceBegin<'_, '_>) -> Result<(i64, bool)> {
        let too_many = || {
            counts::mine().refused(Refusal::Resources);
            Failure::new(EUSERS, format!("a connection may have {MAX} resources"))
        };
        if self.lock().len() >= MAX {
            return Err(too_many());
        }
        let library = begin.type_ == ResourceType::Library.as_raw();
        self.tenant().may_upload(library)?;
        let held = self.tenant().count(ledger::Quota::Resources, 1)?;
        let bytes = begin
            .blobs()
            .fold(0u64, |sum, blob| sum.saturating_add(blob.size));
        let share = Share::take(&self.used, "the resource", bytes)?;
        let number = self.next_folder.fetch_add(1, Ordering::Relaxed);
        let upload = Upload::begin(
            begin,
            &self.folder.join(format!("resource.{number}")),
            self.desk.as_ref(),
        )?;
        let complete = upload.is_complete();
        let entry = Arc::new(Entry {
            resource: OnceLock::new(),
            state: Mutex::new(State {
                upload: Some(upload),
                sessions: HashSet::from([session]),
            }),
            folder: OnceLock::new(),
            _share: share,
            _held: held,
            _one: One::of(&counts::mine().resources),
        });
        let id = super::random_id()?;
        let mut known = self.lock();
        if known.len() >= MAX {
            return Err(too_many());
        }
        known.insert(id, entry);
        Ok((id, complete))
    }

    /// How many bytes of each blob of a resource that is arriving are there.
    ///
    /// # Errors
    /// `ENOENT` for an unknown number; `EINVAL` when it is complete.
    pub fn offsets(&self, id: i64) -> Result<Vec<u64>> {
        let entry = self.get(id)?;
        let state = entry.lock();
        let upload = state.upload.as_ref().ok_or_else(|| complete(id))?;
        Ok(upload.offsets().collect())
    }

    /// Adds a piece to a resource that is arriving.
    ///
    /// # Errors
    /// `ENOENT` for an unknown number; what [`Upload::write`] returns.
    pub fn write(&self, id: i64, blob: u32, offset: u64, bytes: &[u8]) -> Result<()> {
        let entry = self.get(id)?;
        let mut state = entry.lock();
        let upload = state.upload.as_mut().ok_or_else(|| complete(id))?;
        upload.write(blob, offset, bytes)
    }

    /// Completes a resource and registers it with a session.
    ///
    /// # Errors
    /// As [`Upload::finish`], and what registering returns; the resource is gone then.
    pub fn commit(&self, id: i64, number: i64, session: &Session) -> Result<()> {
        let entry = self.get(id)?;
        let mut state = entry.lock();
        let upload = state.upload.take().ok_or_else(|| complete(id))?;
        let result = upload.finish().and_then(|(resource, folder)| {
            if let Some(folder) = folder {
                // Set once: the upload was taken above.
                let _ = entry.folder.set(folder);
            }
            resource.register(session)?;
            Ok(resource)
        });
        match result {
            Ok(resource) => {
                state.sessions = HashSet::from([number]);
                let _ = entry.resource.set(resource);
                Ok(())
            }
            Err(failure) => {
                drop(state);
                self.lock().remove(&id);
                Err(failure)
            }
        }
    }

    /// Registers a resource with a further session.
    ///
    /// # Errors
    /// `ENOENT` for an unknown number; `EBUSY` while it is arriving; what registering returns.
    pub fn attach(&self, id: i64, number: i64, session: &Session) -> Result<()> {
        let entry = self.get(id)?;
        let mut state = entry.lock();
        let resource = entry.resource.get().ok_or_else(|| arriving(id))?;
        if state.sessions.is_empty() {
            // Its last session has just given it back.
            return Err(unknown(id));
        }
        if !state.sessions.contains(&number) {
            resource.register(session)?;
            state.sessions.insert(number);
        }
        Ok(())
    }

    /// Takes a resource back from a session; from the last one, it goes.
    ///
    /// # Errors
    /// `ENOENT` for an unknown number; `EPERM` when it is not registered with the
    /// session; what the library returns.
    pub fn detach(&self, id: i64, number: i64, session: &Session) -> Result<()> {
        let entry = self.get(id)?;
        let mut state = entry.lock();
        if !state.sessions.remove(&number) {
            return Err(not_attached(id, number));
        }
        let result = match entry.resource.get() {
            Some(resource) => resource.unregister(session),
            None => Ok(()),
        };
        if state.sessions.is_empty() {
            drop(state);
            self.lock().remove(&id);
        }
        Ok(result?)
    }

    /// The library's resource of a number, for an operation.
    ///
    /// # Errors
    /// `ENOENT` for an unknown number; `EBUSY` while it is arriving.
    pub fn resource(&self, id: i64) -> Result<Resource> {
        let entry = self.get(id)?;
        entry.resource.get().cloned().ok_or_else(|| arriving(id))
    }

    /// The bytes of the first piece of a resource as they are now.
    ///
    /// # Errors
    /// As [`resource`](Self::resource); `EPERM` when it is not registered with the
    /// session; what the library returns.
    pub fn sync(&self, id: i64, number: i64, session: &Session) -> Result<Vec<u8>> {
        let entry = self.get(id)?;
        let resource = entry.resource.get().ok_or_else(|| arriving(id))?;
        if !entry.lock().sessions.contains(&number) {
            return Err(not_attached(id, number));
        }
        Ok(resource.sync(session)?)
    }

    /// One of the sessions that a resource is registered with.
    ///
    /// # Errors
    /// `ENOENT` for an unknown number.
    pub fn session_of(&self, id: i64) -> Result<i64> {
        let entry = self.get(id)?;
        let session = entry.lock().sessions.iter().next().copied();
        session.ok_or_else(|| unknown(id))
    }

    /// Forgets a session that has been closed: resources that no other session has, go.
    pub fn forget_session(&self, number: i64) {
        // An entry may be busy for long; the others must stay within reach meanwhile.
        let all: Vec<(i64, Arc<Entry>)> = {
            let known = self.lock();
            known
                .iter()
                .map(|(id, entry)| (*id, Arc::clone(entry)))
                .collect()
        };
        for (id, entry) in all {
            let mut state = entry.lock();
            if state.sessions.remove(&number) && state.sessions.is_empty() {
                drop(state);
                self.lock().remove(&id);
            }
        }
    }

    /// Lets go of everything.
    pub fn clear(&self) {
        let all: Vec<_> = self.lock().drain().collect();
        drop(all);
    }

    fn get(&self, id: i64) -> Result<Arc<Entry>> {
        self.lock().get(&id).cloned().ok_or_else(|| unknown(id))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, Arc<Entry>>> {
        // No operation on the map can be left half done.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unknown(id: i64) -> Failure {
    Failure::new(ENOENT, format!("this connection has no resource {id}"))
}

fn arriving(id: i64) -> Failure {
    Failure::new(EBUSY, format!("the resource {id} is not complete yet"))
}

fn complete(id: i64) -> Failure {
    Failure::invalid(format!("the resource {id} is complete already"))
}

fn not_attached(id: i64, session: i64) -> Failure {
    Failure::new(
        EPERM,
        format!("the resource {id} is not registered with session {session}"),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tenant::tests::tenant;
    use super::*;

    #[test]
    fn a_quota_is_given_back_with_its_share() {
        let quota = Arc::new(Quota {
            used: AtomicU64::new(0),
            limit: 100,
            tenant: tenant(crate::terms::tests::open()),
        });
        let share = Share::take(&quota, "it", 60).unwrap();
        let refused = Share::take(&quota, "it", 60).unwrap_err();
        assert_eq!(refused.code, ENOSPC);
        assert!(refused.message.contains("40 of 100 left"), "{refused}");
        assert!(Share::take(&quota, "it", u64::MAX).is_err());
        drop(share);
        assert!(Share::take(&quota, "it", 100).is_ok());
    }
}
