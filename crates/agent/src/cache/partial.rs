//! Uploads that have not ended: files that a worker writes, and that outlive it, so that
//! a client that lost its connection goes on where it was.

use std::fs::{self, DirEntry, File};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};

use super::store::Store;
use super::{Hash, hex, scope_name};

/// Uploads that wait to be gone on with, of all clients together.
const MAX: usize = 64;
/// And how long they wait.
const PATIENCE: Duration = Duration::from_secs(3600);

/// An upload.
#[derive(Debug)]
pub struct Partial {
    /// Bytes that were announced.
    pub size: u64,
    /// Bytes that are there.
    pub offset: u64,
    /// The agent's handle; locked.
    pub file: File,
    /// Its name; `None` when it goes with its handles.
    path: Option<PathBuf>,
}

impl Partial {
    /// Begins an upload, or goes on with one that this scope has not ended. Returns it
    /// with a handle for the worker.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn begin(store: &Store, scope: &str, hash: &Hash, size: u64) -> io::Result<(Self, File)> {
        let _names = store.names()?;
        let folder = store.root().join("partial");
        let path = folder.join(format!("{}.{}", scope_name(scope), hex(hash)));
        let mut options = File::options();
        options.read(true).write(true);
        if !path.exists() && !make_place(&folder)? {
            return anonymous(store, size);
        }
        let file = options.clone().create(true).truncate(false).open(&path)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            // Somebody sends the same at this moment.
            return anonymous(store, size);
        }
        let mut offset = file.metadata()?.len();
        if offset > size {
            file.set_len(0)?;
            offset = 0;
        }
        let theirs = options.open(&path)?;
        let partial = Self {
            size,
            offset,
            file,
            path: Some(path),
        };
        Ok((partial, theirs))
    }

    /// Removes its name: it is complete, or of no use.
    pub fn remove(&mut self) {
        if let Some(path) = self.path.take() {
            // Gone already is as good.
            let _ = fs::remove_file(path);
        }
    }
}

/// An upload that cannot be gone on with later.
fn anonymous(store: &Store, size: u64) -> io::Result<(Partial, File)> {
    let path = store.temporary()?;
    let mut options = File::options();
    options.read(true).write(true);
    let file = options.clone().create_new(true).open(&path)?;
    let theirs = options.open(&path);
    fs::remove_file(&path)?;
    let partial = Partial {
        size,
        offset: 0,
        file,
        path: None,
    };
    Ok((partial, theirs?))
}

/// Removes uploads that nobody went on with; false when there are too many that may yet be.
fn make_place(folder: &std::path::Path) -> io::Result<bool> {
    let mut idle: Vec<(SystemTime, DirEntry)> = Vec::new();
    let mut busy = 0;
    for entry in fs::read_dir(folder)?.flatten() {
        let Ok(file) = File::open(entry.path()) else {
            continue;
        };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            idle.push((file.metadata()?.modified()?, entry));
        } else {
            busy += 1;
        }
    }
    idle.sort_by_key(|(at, _)| *at);
    let mut left = idle.len();
    for (at, entry) in idle {
        let old = at.elapsed().is_ok_and(|age| age > PATIENCE);
        if old || busy + left >= MAX {
            fs::remove_file(entry.path())?;
            left -= 1;
        }
    }
    Ok(busy + left < MAX)
}
