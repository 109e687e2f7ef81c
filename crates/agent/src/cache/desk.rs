//! What the agent does for workers that ask for content, away from its loop.
//!
//! One thread looks content up and one checks what has arrived, which takes as long as
//! reading it. Workers may lie: what a worker says is believed only for connections that
//! it serves, and only about them.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use vaccel_abi::error::{EINVAL, EIO, ENOSPC};

use super::partial::Partial;
use super::store::{Entry, Kept, Store};
use super::{Hash, Scope, hex};
use crate::handoff::{Content, ToWorker, Wanted, send_to_worker};
use crate::{debug, warn};

/// Uploads that a connection may have under way; further content is not cached.
const MAX_UPLOADS: usize = 16;
/// Entries that a connection may hold.
const MAX_HELD: usize = 1024;

/// Takes what workers ask for.
#[derive(Debug)]
pub struct Desk {
    scope: Scope,
    /// Tells the connections of this agent from those of others.
    nonce: u64,
    jobs: Sender<Job>,
}

#[derive(Debug)]
enum Job {
    Ask {
        connection: u64,
        scope: String,
        wanted: Wanted,
        worker: OwnedFd,
    },
    Forget(u64),
}

/// What is checked before it becomes visible.
struct Check {
    connection: u64,
    scope: String,
    request: u64,
    hash: Hash,
    partial: Partial,
    worker: OwnedFd,
}

/// What connections hold.
#[derive(Debug, Default)]
struct Books {
    holders: HashMap<u64, Holder>,
}

#[derive(Debug, Default)]
struct Holder {
    held: HashMap<Hash, (OwnedFd, usize)>,
    uploads: HashMap<Hash, Partial>,
}

type Shared = Arc<(Store, Mutex<Books>)>;

impl Desk {
    /// Opens a cache and starts its threads.
    ///
    /// # Errors
    /// When the folder cannot be used or a thread not be started.
    pub fn open(folder: &Path, limit: u64, scope: Scope) -> Result<Self> {
        let shared: Shared = Arc::new((Store::open(folder, limit)?, Mutex::default()));
        let (jobs, work) = channel();
        let (checks, to_check) = channel();
        let start = |name: &str, run: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new()
                .name(name.into())
                .spawn(run)
                .context("cannot start a thread")
        };
        let own = Arc::clone(&shared);
        start("content", Box::new(move || serve(&own, &work, &checks)))?;
        start("check", Box::new(move || check_all(&shared, &to_check)))?;
        Ok(Self {
            scope,
            nonce: crate::random()?,
            jobs,
        })
    }

    /// Does what a worker wants for a connection that it serves.
    pub fn ask(&self, connection: u64, who: Option<&str>, wanted: Wanted, worker: OwnedFd) {
        let own = || format!("connection {connection} of agent {:016x}", self.nonce);
        let scope = match (self.scope, who) {
            (Scope::Host, _) => "host".to_owned(),
            (Scope::Peer, Some(who)) => who.to_owned(),
            (Scope::Peer, None) | (Scope::Connection, _) => own(),
        };
        self.tell(Job::Ask {
            connection,
            scope,
            wanted,
            worker,
        });
    }

    /// A connection has ended: it holds nothing any more.
    pub fn forget(&self, connection: u64) {
        self.tell(Job::Forget(connection));
    }

    fn tell(&self, job: Job) {
        if self.jobs.send(job).is_err() {
            warn!("the thread that looks content up has ended");
        }
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, Books> {
    // Each step leaves the books in order.
    shared.1.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(shared: &Shared, jobs: &Receiver<Job>, checks: &Sender<Check>) {
    for job in jobs {
        match job {
            Job::Forget(connection) => {
                let holder = lock(shared).holders.remove(&connection);
                drop(holder);
            }
            Job::Ask {
                connection,
                scope,
                wanted,
                worker,
            } => match wanted {
                Wanted::Find {
                    request,
                    hash,
                    size,
                } => {
                    let (content, file) = find(shared, connection, &scope, &hash, size);
                    let counts = crate::counts::mine();
                    let lookups = match content {
                        Content::Here => &counts.cache_hits,
                        _ => &counts.cache_misses,
                    };
                    lookups.fetch_add(1, Ordering::Relaxed);
                    answer(&worker, request, content, file.as_ref());
                }
                Wanted::Keep { request, hash } => {
                    let mut books = lock(shared);
                    let holder = books.holders.entry(connection).or_default();
                    let Some(partial) = holder.uploads.remove(&hash) else {
                        let content = Content::failed(EINVAL, "there is no such upload");
                        answer(&worker, request, content, None);
                        continue;
                    };
                    let check = Check {
                        connection,
                        scope,
                        request,
                        hash,
                        partial,
                        worker,
                    };
                    // Its thread lives as long as this one.
                    let _ = checks.send(check);
                }
                Wanted::Release { hash } => release(shared, connection, &hash),
            },
        }
    }
}

fn find(
    shared: &Shared,
    connection: u64,
    scope: &str,
    hash: &Hash,
    size: u64,
) -> (Content, Option<File>) {
    let store = &shared.0;
    lock(shared).holders.entry(connection).or_default();
    if let Some(entry) = store.find(scope, hash, size) {
        return match hold(shared, connection, hash, entry) {
            Some(file) => (Content::Here, Some(file)),
            None => (Content::NotKept, None),
        };
    }
    let mut books = lock(shared);
    let under_way = books
        .holders
        .values()
        .flat_map(|holder| holder.uploads.values())
        .fold(size, |sum, upload| sum.saturating_add(upload.size));
    let holder = books.holders.entry(connection).or_default();
    if under_way > store.limit()
        || holder.uploads.len() >= MAX_UPLOADS
        || holder.uploads.contains_key(hash)
    {
        return (Content::NotKept, None);
    }
    match Partial::begin(store, scope, hash, size) {
        Ok((partial, theirs)) => {
            let offset = partial.offset;
            holder.uploads.insert(*hash, partial);
            (Content::Send { offset }, Some(theirs))
        }
        Err(e) => {
            warn!("the cache cannot take an upload: {e}");
            (Content::NotKept, None)
        }
    }
}

/// Notes that a connection uses an entry; `None` when it uses too many.
fn hold(shared: &Shared, connection: u64, hash: &Hash, entry: Entry) -> Option<File> {
    let mut books = lock(shared);
    // A connection that has ended meanwhile holds nothing.
    let held = &mut books.holders.get_mut(&connection)?.held;
    if held.len() >= MAX_HELD && !held.contains_key(hash) {
        return None;
    }
    held.entry(*hash).or_insert((entry.hold, 0)).1 += 1;
    Some(entry.file)
}

fn release(shared: &Shared, connection: u64, hash: &Hash) {
    let mut books = lock(shared);
    let Some(holder) = books.holders.get_mut(&connection) else {
        return;
    };
    // An upload that was given up stays on disk, to be gone on with.
    holder.uploads.remove(hash);
    if let Some((_, count)) = holder.held.get_mut(hash) {
        *count -= 1;
        if *count == 0 {
            holder.held.remove(hash);
        }
    }
}

fn check_all(shared: &Shared, checks: &Receiver<Check>) {
    for mut check in checks {
        let (content, file) = look(shared, &mut check);
        answer(&check.worker, check.request, content, file.as_ref());
    }
}

fn look(shared: &Shared, check: &mut Check) -> (Content, Option<File>) {
    let Check {
        connection,
        scope,
        hash,
        partial,
        ..
    } = check;
    let kept = shared.0.keep(scope, hash, partial.size, &partial.file);
    // Complete or of no use: gone on with it is in no case.
    partial.remove();
    match kept {
        Ok(Kept::Yes(entry)) => match hold(shared, *connection, hash, entry) {
            Some(file) => (Content::Here, Some(file)),
            None => (Content::NotKept, None),
        },
        Ok(Kept::NoRoom) => (Content::NotKept, None),
        Ok(Kept::Wrong) => {
            let text = format!("what arrived does not have the hash {}", hex(hash));
            (Content::failed(EINVAL, text), None)
        }
        Err(e) => {
            let code = match e.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ENOSPC,
                _ => EIO,
            };
            let text = format!("the cache cannot keep what arrived: {e}");
            (Content::failed(code, text), None)
        }
    }
}

fn answer(worker: &OwnedFd, request: u64, content: Content, file: Option<&File>) {
    let message = ToWorker::Content { request, content };
    if let Err(e) = send_to_worker(worker, &message, file.map(AsFd::as_fd)) {
        // It has ended, or does not listen; either way nobody waits.
        debug!("a worker does not take content that it asked for: {e}");
    }
}
