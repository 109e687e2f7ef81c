//! The worker's side of the agent's cache.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use vaccel_abi::error::EREMOTEIO;

use super::failure::{Failure, Result};
use crate::cache::Hash;
use crate::handoff::{self, ToAgent, Wanted, send_to_agent};

/// Content with fewer bytes is sent each time: asking would take as long, and each piece
/// that is kept takes a descriptor.
pub const SMALLEST: u64 = 64 << 10;

type Answer = (handoff::Content, Option<OwnedFd>);

/// Asks the agent for content.
#[derive(Debug)]
pub struct Contents {
    channel: OwnedFd,
    /// Who waits for which answer; `None` once the agent has gone.
    waiting: Mutex<Option<HashMap<u64, SyncSender<Answer>>>>,
    next: AtomicU64,
}

/// Contents, for one connection.
#[derive(Debug, Clone)]
pub struct Desk {
    contents: Arc<Contents>,
    connection: u64,
}

/// What the agent has of some content.
#[derive(Debug)]
pub enum Found {
    /// All of it.
    Here(Held),
    /// A file to write the rest to.
    Send(Sending),
    /// Nothing, and it does not keep it.
    NotKept,
}

/// Content in the cache, which stays there as long as this lives.
#[derive(Debug)]
pub struct Held {
    file: File,
    _claim: Option<Claim>,
}

/// Content that is arriving.
#[derive(Debug)]
pub struct Sending {
    /// Where its bytes go.
    pub file: File,
    /// Bytes that are there.
    pub offset: u64,
    claim: Claim,
}

/// Tells the agent when it is not needed any more.
#[derive(Debug)]
struct Claim {
    desk: Desk,
    hash: Hash,
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Without an agent there is nobody to tell.
        let _ = self.desk.tell(Wanted::Release { hash: self.hash });
    }
}

impl Contents {
    /// Asks through a channel to the agent.
    #[must_use]
    pub fn new(channel: OwnedFd) -> Self {
        Self {
            channel,
            waiting: Mutex::new(Some(HashMap::new())),
            next: AtomicU64::new(1),
        }
    }

    /// An answer has come.
    pub fn hear(&self, request: u64, answer: handoff::Content, file: Option<OwnedFd>) {
        let waiting = self.lock().as_mut().and_then(|all| all.remove(&request));
        if let Some(waiting) = waiting {
            // Whoever asked waits for ever, or has ended with the connection.
            let _ = waiting.send((answer, file));
        }
    }

    /// The agent has gone: nobody waits for it any more.
    pub fn close(&self) {
        *self.lock() = None;
    }

    /// The desk for a connection.
    #[must_use]
    pub fn desk(self: &Arc<Self>, connection: u64) -> Desk {
        Desk {
            contents: Arc::clone(self),
            connection,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<HashMap<u64, SyncSender<Answer>>>> {
        // No step leaves the list half done.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    /// Asks for content, or for a place to write it to.
    ///
    /// # Errors
    /// When the agent has gone.
    pub fn find(&self, hash: &Hash, size: u64) -> Result<Found> {
        let hash = *hash;
        let answer = self.ask(|request| Wanted::Find {
            request,
            hash,
            size,
        })?;
        let claim = || Claim {
            desk: self.clone(),
            hash,
        };
        match answer {
            (handoff::Content::Here, Some(fd)) => Ok(Found::Here(Held {
                file: fd.into(),
                _claim: Some(claim()),
            })),
            (handoff::Content::Send { offset }, Some(fd)) => Ok(Found::Send(Sending {
                file: fd.into(),
                offset,
                claim: claim(),
            })),
            (handoff::Content::Failed { code, reason }, _) => Err(Failure::new(code, reason)),
            _ => Ok(Found::NotKept),
        }
    }

    fn ask(&self, wanted: impl FnOnce(u64) -> Wanted) -> Result<Answer> {
        let request = self.contents.next.fetch_add(1, Ordering::Relaxed);
        let (answer, come) = sync_channel(1);
        match self.contents.lock().as_mut() {
            Some(waiting) => waiting.insert(request, answer),
            None => return Err(gone()),
        };
        self.tell(wanted(request))?;
        come.recv().map_err(|_| gone())
    }

    fn tell(&self, wanted: Wanted) -> Result<()> {
        let message = ToAgent::Content {
            number: self.connection,
            wanted,
        };
        send_to_agent(&self.contents.channel, &message).map_err(|_| gone())
    }
}

impl Sending {
    /// Has what arrived checked, and kept where there is room.
    ///
    /// # Errors
    /// `EINVAL` when it does not have its hash; `ENOSPC` and others when the agent
    /// cannot keep it.
    pub fn keep(self) -> Result<Held> {
        let Self { file, claim, .. } = self;
        let hash = claim.hash;
        match claim.desk.ask(|request| Wanted::Keep { request, hash })? {
            (handoff::Content::Here, Some(fd)) => Ok(Held {
                file: fd.into(),
                _claim: Some(claim),
            }),
            (handoff::Content::NotKept, _) => Ok(Held { file, _claim: None }),
            (handoff::Content::Failed { code, reason }, _) => Err(Failure::new(code, reason)),
            (handoff::Content::Here, None) => {
                Err(Failure::new(libc::EMFILE, "too many open files"))
            }
            _ => Err(Failure::new(EREMOTEIO, "the agent gave an odd answer")),
        }
    }
}

impl Held {
    /// A path by which this process may open it, for reading, as long as this lives.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.file.as_raw_fd()).into()
    }

    /// It.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }
}

fn gone() -> Failure {
    Failure::new(EREMOTEIO, "the agent has gone")
}
