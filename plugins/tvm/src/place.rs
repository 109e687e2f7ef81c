//! A name for a model's file that TVM takes: it has to end with `.so`, and no other file may
//! have had it before, because the loader knows libraries by their names.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use vaccel_plugin::{Result, err};

/// A folder with one link, gone when dropped: what was opened stays.
pub(crate) struct Place {
    folder: PathBuf,
    /// Where there is no other file than this one.
    _memory: Option<File>,
}

impl Place {
    /// For a file on disk.
    pub(crate) fn of_file(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path).map_err(|e| err!(EIO, "{}: {e}", path.display()))?;
        Self::link(&path, None)
    }

    /// For a file in memory.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Result<Self> {
        let no = |e: std::io::Error| err!(ENOMEM, "no memory for the model: {e}");
        // SAFETY: a text that ends with a zero.
        let fd = unsafe { libc::memfd_create(c"vaccel-tvm".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err(no(std::io::Error::last_os_error()));
        }
        // SAFETY: just opened.
        let mut file = unsafe { File::from_raw_fd(fd) };
        file.write_all(bytes).map_err(no)?;
        let name = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        Self::link(&name, Some(file))
    }

    fn link(to: &Path, memory: Option<File>) -> Result<Self> {
        let folder = std::env::temp_dir().join("vaccel-tvm-XXXXXX");
        let mut name = folder.into_os_string().into_vec();
        name.push(0);
        let no = |e: std::io::Error| err!(EIO, "no place for the model's name: {e}");
        // SAFETY: a text that ends with a zero, which the call changes.
        if unsafe { libc::mkdtemp(name.as_mut_ptr().cast()) }.is_null() {
            return Err(no(std::io::Error::last_os_error()));
        }
        name.pop();
        let place = Self {
            folder: PathBuf::from(std::ffi::OsStr::from_bytes(&name)),
            _memory: memory,
        };
        std::os::unix::fs::symlink(to, place.path()).map_err(no)?;
        Ok(place)
    }

    /// The name.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join("model.so")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.path());
        let _ = std::fs::remove_dir(&self.folder);
    }
}
