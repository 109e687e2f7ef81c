//! The private folder of this process, for sockets, libraries and other files.

use crate::{Error, Result, err, fail, log_warn};
use std::ffi::{CStr, CString};
use std::fs::DirBuilder;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// Longest path of a run folder: what is made inside must fit a session's field.
const MAX: usize = 3072;

/// The run folder of one process; removed with everything inside by [`Self::remove`].
///
/// Where no place can be written to, there is none: what lives in memory works all
/// the same, and what needs a file says why there can be none.
#[derive(Debug)]
pub struct Rundir {
    path: std::result::Result<CString, Error>,
    owner: u32,
    forks: u32,
}

/// How often this process and its ancestors were made by fork.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// Makes sure that [`FORKS`] counts: asking the kernel for the process each time
/// would cost more than the rest of opening a session.
fn count_forks() {
    extern "C" fn child() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
    static ONCE: Once = Once::new();
    // SAFETY: the handler does nothing but an atomic addition, and lives as long
    // as this library, which is never unloaded.
    ONCE.call_once(|| unsafe {
        libc::pthread_atfork(None, None, Some(child));
    });
}

impl Rundir {
    /// Makes a new folder with mode 0700 in `$VACCEL_RUNDIR` when that is set, else
    /// in the first place that works:
    /// `/run/user/<uid>/vaccel`, `$XDG_RUNTIME_DIR/vaccel`, `$TMPDIR`, `/tmp`. When
    /// none of them does, there is no folder, and [`Self::path`] says why.
    ///
    /// # Errors
    /// Those of the folder that `$VACCEL_RUNDIR` names: what was asked for by name
    /// is not left out.
    pub fn create() -> Result<Self> {
        count_forks();
        // SAFETY: no preconditions.
        let uid = unsafe { libc::getuid() };
        let folder = |name| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|p| p.is_absolute())
        };
        let mut tried = Vec::new();
        let mut last = None;
        // An agent keeps the files of a worker in a folder that it removes itself.
        if let Some(base) = folder("VACCEL_RUNDIR") {
            return Self::create_in(&base, false);
        }
        let runtime = [
            Some(PathBuf::from(format!("/run/user/{uid}"))),
            folder("XDG_RUNTIME_DIR"),
        ];
        let temporary = [folder("TMPDIR"), Some(PathBuf::from("/tmp"))];
        let places = runtime
            .into_iter()
            .map(|p| (p, true))
            .chain(temporary.into_iter().map(|p| (p, false)));
        for (base, private) in places {
            let Some(base) = base else { continue };
            match Self::create_in(&base, private) {
                Ok(rundir) => return Ok(rundir),
                Err(e) => {
                    tried.push(format!("{}: {}", base.display(), e.message()));
                    last = Some(e);
                }
            }
        }
        let code = last.map_or(vaccel_abi::error::EIO, |e: Error| e.code());
        let why = format!(
            "no folder for run-time files could be made ({}); set TMPDIR to a writable folder",
            tried.join("; ")
        );
        log_warn!("{why}; resources must be in memory");
        Ok(Self::new(Err(Error::new(code, why))))
    }

    fn new(path: std::result::Result<CString, Error>) -> Self {
        Self {
            path,
            owner: std::process::id(),
            forks: FORKS.load(Ordering::Relaxed),
        }
    }

    /// Below a folder that belongs to this user, `vaccel/` collects the folders
    /// of all processes; in a shared one each process has a folder of its own,
    /// because a shared `vaccel/` could belong to somebody else.
    fn create_in(base: &Path, private: bool) -> Result<Self> {
        let template = if private {
            if !base.is_dir() {
                fail!(ENOENT, "not a folder");
            }
            let parent = base.join("vaccel");
            match DirBuilder::new().mode(0o700).create(&parent) {
                Ok(()) => {}
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Error::io(parent.display(), &e)),
            }
            parent.join("XXXXXX")
        } else {
            base.join("vaccel.XXXXXX")
        };
        let shown = template.display().to_string();
        let bytes = template.into_os_string().into_vec();
        if bytes.len() > MAX {
            fail!(ENAMETOOLONG, "the path is longer than {MAX} bytes");
        }
        let template = CString::new(bytes).map_err(|_| err!(EINVAL, "the path has a zero"))?;
        let raw = template.into_raw();
        // SAFETY: a writable zero-terminated string whose length mkdtemp keeps.
        let (failed, path) = unsafe {
            let failed = libc::mkdtemp(raw).is_null();
            let error = std::io::Error::last_os_error();
            (failed.then_some(error), CString::from_raw(raw))
        };
        match failed {
            Some(e) => Err(Error::io(shown, &e)),
            None => Ok(Self::new(Ok(path))),
        }
    }

    /// The folder.
    ///
    /// # Errors
    /// Why there is none.
    pub fn path(&self) -> Result<&CStr> {
        match &self.path {
            Ok(path) => Ok(path),
            Err(why) => Err(why.clone()),
        }
    }

    /// True where there is a folder.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.path.is_ok()
    }

    /// False in a child made by fork: the folder is its parent's.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.forks == FORKS.load(Ordering::Relaxed)
    }

    /// Removes the folder and what is in it. Links are removed, not followed.
    pub fn remove(&self) {
        // A child made without fork handlers must not remove it either.
        if !self.is_ours() || self.owner != std::process::id() {
            return;
        }
        if let Ok(path) = &self.path {
            remove_all(as_path(path));
        }
    }
}

/// A C string as a path.
#[must_use]
pub fn as_path(path: &CStr) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(path.to_bytes()))
}

/// Makes `<base>/<name>` with mode 0700. A folder that an earlier life of the
/// same number left behind is emptied first.
///
/// # Errors
/// Those of the file system.
pub fn make(path: &Path) -> Result {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    let result = match builder.create(path) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            remove_all(path);
            builder.create(path)
        }
        // Somebody tidied up /tmp.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => builder.recursive(true).create(path),
        other => other,
    };
    result.map_err(|e| Error::io(path.display(), &e))
}

/// Removes a folder and what is in it; links are removed, not followed. Says so
/// in the log when that fails.
pub fn remove_all(path: &Path) {
    let quick = std::fs::remove_dir(path);
    let result = match quick {
        Err(e) if e.raw_os_error() == Some(libc::ENOTDIR) => std::fs::remove_file(path),
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => std::fs::remove_dir_all(path),
        other => other,
    };
    match result {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => log_warn!("cannot remove {}: {e}", path.display()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_run_folder_is_private_and_goes_away_with_its_contents() {
        let rundir = Rundir::create().unwrap();
        let path = as_path(rundir.path().unwrap()).to_owned();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::create_dir(path.join("session.1")).unwrap();
        std::fs::write(path.join("session.1/left"), "x").unwrap();
        rundir.remove();
        assert!(!path.exists());
    }

    #[test]
    fn a_place_that_is_no_folder_is_named_in_the_error() {
        let base = tempfile::tempdir().unwrap();
        let file = base.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let e = Rundir::create_in(&file, false).unwrap_err();
        assert_eq!(e.code(), vaccel_abi::error::ENOTDIR);
        assert!(e.message().contains(file.to_str().unwrap()), "{e}");
    }

    #[test]
    fn removing_does_not_follow_links() {
        let base = tempfile::tempdir().unwrap();
        let keep = base.path().join("keep");
        std::fs::create_dir(&keep).unwrap();
        std::fs::write(keep.join("file"), "x").unwrap();
        let victim = base.path().join("session.1");
        make(&victim).unwrap();
        std::os::unix::fs::symlink(&keep, victim.join("link")).unwrap();
        remove_all(&victim);
        assert!(!victim.exists());
        assert!(keep.join("file").exists());
    }

    #[test]
    fn a_folder_left_behind_is_emptied_and_used() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("session.1");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("left"), "x").unwrap();
        make(&path).unwrap();
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
    }
}
