//! The content on disk.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, Timestamps, flock, open, openat};

use super::{Hash, hex, scope_name, stamp};
use crate::rundir;
use crate::{debug, info, warn};

const FOLDER: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC)
    .union(OFlags::RDONLY);

/// Bytes that are read and hashed at a time.
const STEP: usize = 1 << 20;

/// A cache on disk.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    limit: u64,
    lock: File,
}

/// Content that is held: it is not removed as long as this lives.
#[derive(Debug)]
pub struct Entry {
    /// It, to be read only.
    pub file: File,
    /// Its folder, locked.
    pub hold: OwnedFd,
}

/// What became of content that was to be kept.
#[derive(Debug)]
pub enum Kept {
    /// It is in the cache.
    Yes(Entry),
    /// It is what it should be, but there is no room: the rest is in use.
    NoRoom,
    /// Its hash is another one.
    Wrong,
}

/// One entry, as eviction sees it.
struct Old {
    path: PathBuf,
    used: SystemTime,
    size: u64,
}

impl Store {
    /// Opens a cache, and makes it where there is none.
    ///
    /// # Errors
    /// When it cannot be made or belongs to another user.
    pub fn open(root: &Path, limit: u64) -> Result<Self> {
        if let Some(parent) = root.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(parent)
                .with_context(|| format!("cannot make the folder {}", parent.display()))?;
        }
        for part in ["", "objects", "partial", "tmp"] {
            rundir::prepare_private(&root.join(part))?;
        }
        let path = root.join("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        let store = Self {
            root: root.to_owned(),
            limit,
            lock,
        };
        store.sweep();
        Ok(store)
    }

    /// The folder of the cache.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The most bytes that it keeps.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Content that this scope has sent before.
    #[must_use]
    pub fn find(&self, scope: &str, hash: &Hash, size: u64) -> Option<Entry> {
        let path = self.object(hash);
        let hold = open(&path, FOLDER, Mode::empty()).ok()?;
        // Whoever removes it holds the lock, and then it is as good as gone.
        flock(&hold, FlockOperation::NonBlockingLockShared).ok()?;
        let mark = format!("for.{}", scope_name(scope));
        rustix::fs::statat(&hold, mark, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(openat(&hold, "data", flags, Mode::empty()).ok()?);
        let meta = file.metadata().ok()?;
        let now = stamp::text(&meta);
        if stamp::read(hold.as_fd()) != now {
            // Written to by somebody, or the machine has been started since.
            let same = meta.len() == size
                && hash_of(&file, size).is_ok_and(|found| found == *hash)
                && stamp::write(hold.as_fd(), &now).is_ok();
            if !same {
                warn!("{} is damaged: dropping it", path.display());
                self.discard(&path);
                return None;
            }
        }
        if meta.len() != size {
            return None;
        }
        touch(&hold);
        Some(Entry { file, hold })
    }

    /// Copies a file into the cache if it is what it should be.
    ///
    /// # Errors
    /// When it cannot be read or there is no space on the disk; nothing is left then.
    pub fn keep(&self, scope: &str, hash: &Hash, size: u64, from: &File) -> io::Result<Kept> {
        if !self.make_room(size)? {
            let same = hash_of(from, size)? == *hash;
            return Ok(if same { Kept::NoRoom } else { Kept::Wrong });
        }
        let path = self.temporary()?;
        DirBuilder::new().mode(0o700).create(&path)?;
        let result = self.copy_in(scope, hash, size, from, &path);
        if !matches!(result, Ok(Kept::Yes(_))) || path.exists() {
            rundir::remove(&path);
        }
        result
    }

    fn copy_in(
        &self,
        scope: &str,
        hash: &Hash,
        size: u64,
        from: &File,
        path: &Path,
    ) -> io::Result<Kept> {
        let hold = open(path, FOLDER, Mode::empty())?;
        flock(&hold, FlockOperation::NonBlockingLockExclusive)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut to = File::from(openat(&hold, "data", flags, Mode::RUSR)?);
        let found = walk(from, size, |bytes| to.write_all(bytes))?;
        if found != *hash {
            return Ok(Kept::Wrong);
        }
        stamp::write(hold.as_fd(), &stamp::text(&to.metadata()?))?;
        drop(to);
        mark(&hold, scope)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(openat(&hold, "data", flags, Mode::empty())?);
        let object = self.object(hash);
        let _names = self.names()?;
        // Somebody else may have sent the same.
        if let Ok(there) = open(&object, FOLDER, Mode::empty()) {
            mark(&there, scope)?;
            if let Some(entry) = self.find(scope, hash, size) {
                return Ok(Kept::Yes(entry));
            }
            self.discard(&object);
        }
        fs::rename(path, &object)?;
        flock(&hold, FlockOperation::NonBlockingLockShared)?;
        Ok(Kept::Yes(Entry { file, hold }))
    }

    /// Removes what was used longest ago until `more` bytes fit. False when they do not,
    /// because what is left is in use.
    fn make_room(&self, more: u64) -> io::Result<bool> {
        if more > self.limit {
            return Ok(false);
        }
        let _names = self.names()?;
        let mut all = Vec::new();
        for entry in fs::read_dir(self.root.join("objects"))?.flatten() {
            let path = entry.path();
            let (Ok(folder), Ok(data)) = (path.metadata(), path.join("data").metadata()) else {
                self.discard(&path);
                continue;
            };
            all.push(Old {
                used: folder.modified()?,
                size: data.len(),
                path,
            });
        }
        all.sort_by_key(|old| old.used);
        let mut sum = all
            .iter()
            .fold(more, |sum, old| sum.saturating_add(old.size));
        for old in all {
            if sum <= self.limit {
                break;
            }
            let Ok(folder) = open(&old.path, FOLDER, Mode::empty()) else {
                continue;
            };
            if flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok() {
                debug!("removing {} to make room", old.path.display());
                self.discard(&old.path);
                sum -= old.size;
            }
        }
        Ok(sum <= self.limit)
    }

    /// Takes an entry away; those who have its file open keep it.
    fn discard(&self, path: &Path) {
        let away = self.temporary();
        match away.and_then(|away| fs::rename(path, &away).map(|()| away)) {
            Ok(away) => rundir::remove(&away),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => warn!("cannot remove {}: {e}", path.display()),
        }
    }

    /// Removes what agents that were killed left behind.
    fn sweep(&self) {
        for entry in fs::read_dir(self.root.join("tmp"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = entry.path();
            let abandoned = match open(&path, FOLDER, Mode::empty()) {
                Ok(folder) => {
                    let old = path.metadata().is_ok_and(|meta| {
                        // A folder that another agent has just made is not locked yet.
                        let age = meta.modified().ok().and_then(|at| at.elapsed().ok());
                        age.is_some_and(|age| age.as_secs() > 60)
                    });
                    old && flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok()
                }
                Err(_) => false,
            };
            if abandoned {
                info!("removing {}, left behind by a killed agent", path.display());
                rundir::remove(&path);
            }
        }
    }

    /// Holds the names of the cache as they are until the result goes.
    pub(super) fn names(&self) -> io::Result<Names> {
        // A handle of its own: locks of one handle do not exclude each other.
        let handle = File::options().write(true).open(self.root.join("lock"))?;
        debug_assert_eq!(handle.metadata()?.ino(), self.lock.metadata()?.ino());
        flock(&handle, FlockOperation::LockExclusive)?;
        Ok(Names(handle))
    }

    fn object(&self, hash: &Hash) -> PathBuf {
        self.root.join("objects").join(hex(hash))
    }

    pub(super) fn temporary(&self) -> io::Result<PathBuf> {
        Ok(self
            .root
            .join("tmp")
            .join(format!("{:016x}", crate::random()?)))
    }
}

/// The lock of the names of a cache.
#[derive(Debug)]
pub(super) struct Names(#[allow(dead_code)] File);

/// Notes that a scope has sent the content of a folder.
fn mark(folder: &OwnedFd, scope: &str) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    openat(
        folder,
        format!("for.{}", scope_name(scope)),
        flags,
        Mode::RUSR,
    )?;
    Ok(())
}

/// Notes that an entry is used now.
fn touch(folder: &OwnedFd) {
    let now = rustix::fs::Timespec {
        tv_sec: 0,
        tv_nsec: rustix::fs::UTIME_NOW,
    };
    let times = Timestamps {
        last_access: now,
        last_modification: now,
    };
    if let Err(e) = rustix::fs::futimens(folder, &times) {
        debug!("cannot note the use of an entry of the cache: {e}");
    }
}

/// The hash of the first `size` bytes of a file.
fn hash_of(file: &File, size: u64) -> io::Result<Hash> {
    walk(file, size, |_| Ok(()))
}

/// Reads the first `size` bytes of a file, each once, and hashes what was read.
fn walk(file: &File, size: u64, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<Hash> {
    let mut hasher = blake3::Hasher::new();
    let mut space = vec![0; STEP];
    let mut at = 0;
    while at < size {
        let step = usize::try_from(size - at).map_or(STEP, |left| left.min(STEP));
        file.read_exact_at(&mut space[..step], at)?;
        hasher.update(&space[..step]);
        take(&space[..step])?;
        at += step as u64;
    }
    Ok(*hasher.finalize().as_bytes())
}
