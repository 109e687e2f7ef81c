//! A file of a model, on disk or in memory.

use std::borrow::Cow;
use std::fs::Metadata;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use vaccel_plugin::{Blob, Error, Result, bail, err};

/// A file on disk or bytes in memory.
#[derive(Debug, Clone)]
pub struct Item<'a> {
    /// What errors call it.
    pub name: String,
    /// Its file name, by which others refer to it. That of a resource's file is the
    /// resource's: on disk it may be stored under another.
    file_name: String,
    place: Place<'a>,
}

#[derive(Debug, Clone)]
enum Place<'a> {
    File(PathBuf),
    Memory(&'a [u8]),
}

/// Tells one state of a file from another, and one buffer from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// A file on disk.
    File {
        /// Device it is on.
        device: u64,
        /// Its number there.
        inode: u64,
        /// Length in bytes.
        size: u64,
        /// When it was changed: seconds and nanoseconds.
        modified: (i64, i64),
    },
    /// Bytes in memory.
    Memory {
        /// How many.
        size: usize,
        /// A hash of them.
        hash: u64,
    },
}

impl<'a> Item<'a> {
    /// A file of a resource, on disk where it can be reached, else in memory; `None`
    /// for one that is nowhere.
    pub fn of_blob(blob: &Blob<'a>) -> Option<Self> {
        let mut item = match (blob.path(), blob.memory()) {
            (Some(path), Some(_)) if path.is_file() => Self::file(path),
            (_, Some(bytes)) => Self {
                name: blob.name().unwrap_or("a buffer").to_owned(),
                file_name: String::new(),
                place: Place::Memory(bytes),
            },
            // Reading it will say what is wrong with it.
            (Some(path), None) => Self::file(path),
            (None, None) => return None,
        };
        if let Some(name) = blob.name() {
            item.file_name = name.to_owned();
        }
        Some(item)
    }
}

impl Item<'_> {
    /// A file; its path is its name.
    pub fn file(path: impl Into<PathBuf>) -> Item<'static> {
        let path = path.into();
        let file_name = path.file_name().unwrap_or_default();
        Item {
            name: path.display().to_string(),
            file_name: file_name.to_string_lossy().into_owned(),
            place: Place::File(path),
        }
    }

    /// Its file name.
    #[must_use]
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// Its path; `None` for memory.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::File(path) => Some(path),
            Place::Memory(_) => None,
        }
    }

    /// What it is now, without reading a file.
    ///
    /// # Errors
    /// `ENOENT` and the like for a file that is gone.
    pub fn identity(&self) -> Result<Identity> {
        match &self.place {
            Place::File(path) => {
                let meta = std::fs::metadata(path).map_err(|e| unreadable(&self.name, e))?;
                Ok(Identity::of(&meta))
            }
            Place::Memory(bytes) => {
                let mut hasher = DefaultHasher::new();
                bytes.hash(&mut hasher);
                Ok(Identity::Memory {
                    size: bytes.len(),
                    hash: hasher.finish(),
                })
            }
        }
    }

    /// All bytes; a file's size is checked against memory first.
    ///
    /// # Errors
    /// What the system says; `EINVAL` for what is no regular file, `ENOMEM` for too large a one.
    pub fn bytes(&self) -> Result<Cow<'_, [u8]>> {
        self.bytes_up_to(u64::MAX)
    }

    /// All bytes, of which there may be so many.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes), and `EINVAL` for more of them.
    pub fn bytes_up_to(&self, limit: u64) -> Result<Cow<'_, [u8]>> {
        let too_long = |size: u64| err!(EINVAL, "{}: {size} bytes are too many", self.name);
        match &self.place {
            Place::Memory(bytes) if bytes.len() as u64 > limit => Err(too_long(bytes.len() as u64)),
            Place::Memory(bytes) => Ok(Cow::Borrowed(bytes)),
            Place::File(path) => {
                let failed = |e| unreadable(&self.name, e);
                let file = std::fs::File::open(path).map_err(failed)?;
                let meta = file.metadata().map_err(failed)?;
                if !meta.is_file() {
                    bail!(EINVAL, "{} is not a regular file", self.name);
                }
                let size = usize::try_from(meta.len()).map_err(|_| too_long(meta.len()))?;
                if meta.len() > limit {
                    return Err(too_long(meta.len()));
                }
                let mut bytes = Vec::new();
                bytes
                    .try_reserve_exact(size)
                    .map_err(|e| Error::from(e).context(&self.name))?;
                // A file that grows meanwhile is cut at the size that was checked.
                file.take(meta.len())
                    .read_to_end(&mut bytes)
                    .map_err(failed)?;
                Ok(Cow::Owned(bytes))
            }
        }
    }
}

impl Identity {
    fn of(meta: &Metadata) -> Self {
        Self::File {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
        }
    }
}

/// The error of a file that cannot be read.
pub(crate) fn unreadable(name: &str, e: std::io::Error) -> Error {
    Error::from(e).context(format_args!("cannot read {name}"))
}
