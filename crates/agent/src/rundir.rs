//! Private folders of the agent and its workers.
//!
//! ```text
//! <run dir>/agent.<random>/lock        held by the living agent
//! <run dir>/agent.<random>/worker.<n>/ everything a worker writes
//! ```
//!
//! A worker's folder is removed by the agent, so that it goes even when the worker
//! was killed. What a killed agent left behind is removed by the next one
//! that starts: nobody holds its lock any more.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};

const PREFIX: &str = "agent.";

/// The default folder for sockets and private files: `/run/vaccel` for root,
/// `$XDG_RUNTIME_DIR/vaccel` for others, else a folder of one's own in the
/// temporary folder.
#[must_use]
pub fn default_folder() -> PathBuf {
    let user = rustix::process::geteuid();
    if user.is_root() {
        return "/run/vaccel".into();
    }
    match absolute("XDG_RUNTIME_DIR") {
        Some(folder) => folder.join("vaccel"),
        None => absolute("TMPDIR")
            .unwrap_or_else(|| "/tmp".into())
            .join(format!("vaccel-{}", user.as_raw())),
    }
}

fn absolute(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}

/// Makes the default folder where it is not there, and refuses one that is somebody else's.
///
/// # Errors
/// When it cannot be made or belongs to another user.
pub fn prepare(folder: &Path) -> Result<()> {
    // Sockets in root's folder have permissions of their own.
    let mode = if folder.starts_with("/run") {
        0o755
    } else {
        0o700
    };
    prepare_with(folder, mode)
}

/// As [`prepare`], for a folder that nobody else may look into.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_private(folder: &Path) -> Result<()> {
    prepare_with(folder, 0o700)
}

fn prepare_with(folder: &Path, mode: u32) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let owner = fs::symlink_metadata(folder)
        .with_context(|| format!("cannot look at {}", folder.display()))?;
    if !owner.is_dir() || owner.uid() != rustix::process::geteuid().as_raw() {
        bail!(
            "{} is not a folder of this user; name another one with --run-dir or --cache",
            folder.display()
        );
    }
    Ok(())
}

/// The folder of one agent, removed with everything in it when it goes.
#[derive(Debug)]
pub struct Rundir {
    path: PathBuf,
    _lock: File,
}

impl Rundir {
    /// Makes a folder below `base`, after removing those of agents that are dead.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn create(base: &Path) -> Result<Self> {
        prepare(base)?;
        sweep(base);
        let path = base.join(format!("{PREFIX}{:016x}", crate::random()?));
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make the folder {}", path.display()))?;
        let lock = File::create_new(path.join("lock"))
            .and_then(|file| {
                flock(&file, FlockOperation::NonBlockingLockExclusive)?;
                Ok(file)
            })
            .with_context(|| format!("cannot lock the folder {}", path.display()))?;
        Ok(Self { path, _lock: lock })
    }

    /// Makes the folder of a worker.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn worker(&self, number: u64) -> Result<PathBuf> {
        let path = self.path.join(format!("worker.{number}"));
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make the folder {}", path.display()))?;
        Ok(path)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Rundir {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Removes a folder and what is in it; links are not followed.
pub fn remove(path: &Path) {
    match fs::remove_dir_all(path) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => crate::warn!("cannot remove {}: {e}", path.display()),
    }
}

/// Removes the folders of agents that do not live any more.
fn sweep(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else {
        return;
    };
    for entry in entries.flatten() {
        if is_ours(&entry.file_name()) && is_abandoned(&entry.path()) {
            crate::info!(
                "removing {}, left behind by an agent that was killed",
                entry.path().display()
            );
            remove(&entry.path());
        }
    }
}

fn is_ours(name: &OsString) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(PREFIX))
}

fn is_abandoned(folder: &Path) -> bool {
    match File::open(folder.join("lock")) {
        Ok(lock) => flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok(),
        // Being made at this moment, or not a folder of an agent.
        Err(_) => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_goes_with_everything_in_it() {
        let base = tempfile::tempdir().unwrap();
        let rundir = Rundir::create(base.path()).unwrap();
        let worker = rundir.worker(1).unwrap();
        fs::write(worker.join("upload"), "x").unwrap();
        drop(rundir);
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_agent_left_is_removed_and_what_a_living_one_has_is_not() {
        let base = tempfile::tempdir().unwrap();
        let dead = base.path().join("agent.dead");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join("lock"), "").unwrap();
        let other = base.path().join("somebody.else");
        fs::create_dir(&other).unwrap();
        let living = Rundir::create(base.path()).unwrap();
        assert!(!dead.exists());
        let second = Rundir::create(base.path()).unwrap();
        assert!(living.path().exists() && second.path().exists() && other.exists());
    }

    #[test]
    fn removing_does_not_follow_links() {
        let base = tempfile::tempdir().unwrap();
        let keep = base.path().join("keep");
        fs::write(&keep, "x").unwrap();
        let rundir = Rundir::create(base.path()).unwrap();
        let worker = rundir.worker(1).unwrap();
        std::os::unix::fs::symlink(base.path(), worker.join("up")).unwrap();
        drop(rundir);
        assert!(keep.exists());
    }
}
