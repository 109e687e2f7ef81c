//! Bytes of a resource on their way in: to files of a private folder, or to memory.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, mkdirat, open, openat, symlinkat};
use vaccel::{Resource, ResourceType};
use vaccel_abi::blob::{BLOB_BUFFER, BLOB_FILE, BLOB_MAPPED};
use vaccel_abi::error::{EINVAL, ENOTSUP};
use vaccel_abi::resource::{PATH_LOCAL_DIR, PATH_REMOTE_FILE};
use vaccel_wire::check_name;
use vaccel_wire::control::ResourceBegin;

use super::content::{Desk, Found, Held, SMALLEST, Sending};
use super::failure::{Failure, Result};
use crate::cache::Hash;

/// Files and buffers of one resource.
const MAX_BLOBS: usize = 4096;

/// A folder that is removed, with what is in it, when it goes.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Content of the cache that links in it lead to.
    held: Vec<Held>,
}

impl Folder {
    fn create(path: PathBuf) -> Result<Self> {
        DirBuilder::new().mode(0o700).create(&path)?;
        let held = Vec::new();
        Ok(Self { path, held })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        crate::rundir::remove(&self.path);
    }
}

/// A resource whose bytes are arriving.
#[derive(Debug)]
pub struct Upload {
    kind: ResourceType,
    path_type: u32,
    blobs: Vec<Blob>,
    /// The file written to last: pieces usually come one after the other.
    open: Option<(usize, File)>,
    /// `None` when everything goes to memory.
    folder: Option<Folder>,
}

#[derive(Debug)]
struct Blob {
    name: CString,
    size: u64,
    written: u64,
    place: Place,
}

#[derive(Debug)]
enum Place {
    File {
        /// It has been made.
        exists: bool,
    },
    Memory(Vec<u8>),
    /// On its way into the cache.
    Sending(Sending),
    /// In the cache.
    Here(Held),
}

impl Upload {
    /// Checks what a client announces and makes the folder `folder` when files are among it.
    ///
    /// # Errors
    /// `EINVAL` for types and names that do not exist or clash; `ENOTSUP` for a
    /// resource that the agent would have to download.
    ///
    /// Content that the agent keeps need not be sent.
    pub fn begin(
        begin: &ResourceBegin<'_, '_>,
        folder: &Path,
        desk: Option<&Desk>,
    ) -> Result<Self> {
        let kind = ResourceType::from_raw(begin.type_)
            .ok_or_else(|| Failure::invalid(format!("{} is no type of resource", begin.type_)))?;
        if begin.path_type == PATH_REMOTE_FILE {
            return Err(Failure::new(
                ENOTSUP,
                "the agent downloads nothing; make the resource from a file instead",
            ));
        }
        if begin.nr_blobs() == 0 || begin.nr_blobs() > MAX_BLOBS {
            return Err(Failure::invalid(format!(
                "a resource has 1 to {MAX_BLOBS} files, not {}",
                begin.nr_blobs()
            )));
        }
        let mut names = HashSet::new();
        let mut blobs = Vec::with_capacity(begin.nr_blobs());
        for head in begin.blobs() {
            check_name(head.name.to_bytes())?;
            if !names.insert(head.name) {
                return Err(Failure::invalid(format!(
                    "two files are named {:?}",
                    head.name
                )));
            }
            let place = match head.type_ {
                BLOB_FILE | BLOB_MAPPED => Place::File { exists: false },
                // Grows with what arrives: a size alone reserves nothing.
                BLOB_BUFFER => Place::Memory(Vec::new()),
                other => {
                    return Err(Failure::invalid(format!("{other} is no type of blob")));
                }
            };
            blobs.push(Blob {
                name: head.name.to_owned(),
                size: head.size,
                written: 0,
                place,
            });
        }
        // A folder is made of files, and a resource of either files or memory.
        let files = blobs
            .iter()
            .filter(|b| matches!(b.place, Place::File { .. }))
            .count();
        let as_files = files > 0 || begin.path_type == PATH_LOCAL_DIR;
        for (blob, head) in blobs.iter_mut().zip(begin.blobs()) {
            if as_files {
                blob.place = Place::File { exists: false };
            }
            if let Some(desk) = desk.filter(|_| blob.size >= SMALLEST)
                && let Ok(hash) = head.hash.try_into()
            {
                blob.look_up(desk, hash)?;
            }
        }
        Ok(Self {
            kind,
            path_type: begin.path_type,
            blobs,
            open: None,
            folder: as_files
                .then(|| Folder::create(folder.to_owned()))
                .transpose()?,
        })
    }

    /// Bytes that the client announced, all together; saturates.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.blobs
            .iter()
            .fold(0, |sum, blob| sum.saturating_add(blob.size))
    }

    /// How many bytes of each blob are there.
    pub fn offsets(&self) -> impl Iterator<Item = u64> {
        self.blobs.iter().map(|blob| blob.written)
    }

    /// True when nothing need be sent.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.blobs.iter().all(|blob| blob.written == blob.size)
    }

    /// Adds a piece.
    ///
    /// # Errors
    /// `EINVAL` when it is out of order or beyond the size announced; `ENOSPC`
    /// and others when it cannot be written.
    pub fn write(&mut self, index: u32, offset: u64, bytes: &[u8]) -> Result<()> {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let count = self.blobs.len();
        let blob = self.blobs.get_mut(index).ok_or_else(|| {
            Failure::invalid(format!(
                "the resource has {count} files; there is no number {index}"
            ))
        })?;
        if offset != blob.written {
            return Err(Failure::invalid(format!(
                "{:?} goes on at {}, not at {offset}",
                blob.name, blob.written
            )));
        }
        let end = offset.saturating_add(bytes.len() as u64);
        if end > blob.size {
            return Err(Failure::invalid(format!(
                "{:?} has {} bytes; the piece goes up to {end}",
                blob.name, blob.size
            )));
        }
        match &mut blob.place {
            Place::Memory(memory) => {
                if memory.try_reserve(bytes.len()).is_err() {
                    return Err(std::io::Error::from(std::io::ErrorKind::OutOfMemory).into());
                }
                memory.extend_from_slice(bytes);
            }
            Place::File { exists } => {
                let mut file = match self.open.take() {
                    Some((open, file)) if open == index => file,
                    _ => open_file(self.folder.as_ref(), &blob.name, *exists)?,
                };
                *exists = true;
                file.write_all(bytes)?;
                self.open = Some((index, file));
            }
            Place::Sending(sending) => sending.file.write_all_at(bytes, offset)?,
            Place::Here(_) => {}
        }
        blob.written = end;
        Ok(())
    }

    /// Makes the resource of what has arrived; the folder must live as long as it.
    ///
    /// # Errors
    /// `EINVAL` when bytes are missing; what the library returns.
    pub fn finish(mut self) -> Result<(Resource, Option<Folder>)> {
        self.open = None;
        for blob in &self.blobs {
            if blob.written != blob.size {
                return Err(Failure::invalid(format!(
                    "{:?} has {} of {} bytes",
                    blob.name, blob.written, blob.size
                )));
            }
        }
        let Some(mut folder) = self.folder.take() else {
            return Ok((self.finish_in_memory()?, None));
        };
        for blob in &mut self.blobs {
            let none = Place::File { exists: true };
            let held = match std::mem::replace(&mut blob.place, none) {
                Place::Sending(sending) => kept(sending, &blob.name)?,
                Place::Here(held) => held,
                // Empty files may have had no piece.
                Place::File { exists: false } => {
                    open_file(Some(&folder), &blob.name, false)?;
                    continue;
                }
                Place::File { exists: true } | Place::Memory(_) => continue,
            };
            // The file itself, not a copy; it cannot be written to.
            let (at, last) = parent(&folder, &blob.name)?;
            symlinkat(held.path(), &at, last).map_err(|e| clash(&blob.name, e))?;
            folder.held.push(held);
        }
        let path = |blob: &Blob| {
            folder
                .path
                .join(std::ffi::OsStr::from_bytes(blob.name.to_bytes()))
        };
        let resource = if self.path_type == PATH_LOCAL_DIR {
            Resource::open(&folder.path, self.kind)?
        } else if let [only] = &self.blobs[..] {
            Resource::open(path(only), self.kind)?
        } else {
            let paths: Vec<PathBuf> = self.blobs.iter().map(path).collect();
            Resource::open_all(&paths, self.kind)?
        };
        Ok((resource, Some(folder)))
    }

    fn finish_in_memory(self) -> Result<Resource> {
        let mut pieces = Vec::with_capacity(self.blobs.len());
        for blob in self.blobs {
            let bytes = match blob.place {
                Place::Memory(bytes) => bytes,
                Place::Sending(sending) => content_of(&kept(sending, &blob.name)?, blob.size)?,
                Place::Here(held) => content_of(&held, blob.size)?,
                Place::File { .. } => return Err(Failure::invalid("files and memory are mixed")),
            };
            let name = blob
                .name
                .into_string()
                .map_err(|_| Failure::new(EINVAL, "the name of a buffer is not UTF-8"))?;
            pieces.push((name, bytes));
        }
        match <[_; 1]>::try_from(pieces) {
            Ok([(name, bytes)]) => Ok(Resource::from_bytes(bytes, self.kind, &name)?),
            Err(pieces) => Ok(Resource::from_pieces(pieces, self.kind)?),
        }
    }
}

impl Blob {
    /// Asks the agent whether it has the content.
    fn look_up(&mut self, desk: &Desk, hash: &Hash) -> Result<()> {
        match desk.find(hash, self.size)? {
            Found::Here(held) => {
                self.written = self.size;
                self.place = Place::Here(held);
            }
            Found::Send(sending) => {
                self.written = sending.offset;
                self.place = Place::Sending(sending);
            }
            Found::NotKept => {}
        }
        Ok(())
    }
}

/// Has content that arrived checked and kept.
fn kept(sending: Sending, name: &CStr) -> Result<Held> {
    sending.keep().map_err(|failure| Failure {
        message: format!("{name:?}: {failure}"),
        ..failure
    })
}

/// The bytes of content in the cache, in memory that is ours.
fn content_of(held: &Held, size: u64) -> Result<Vec<u8>> {
    let no_memory = || std::io::Error::from(std::io::ErrorKind::OutOfMemory);
    let size = usize::try_from(size).map_err(|_| no_memory())?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|_| no_memory())?;
    bytes.resize(size, 0);
    held.file().read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Opens a file below a folder for writing, and makes the folders on the way.
fn open_file(folder: Option<&Folder>, name: &CStr, exists: bool) -> Result<File> {
    let folder = folder.ok_or_else(|| Failure::invalid("the resource has no files"))?;
    let (at, last) = parent(folder, name)?;
    let mut flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::APPEND;
    if !exists {
        flags |= OFlags::CREATE | OFlags::EXCL;
    }
    let file = openat(&at, last, flags, Mode::RUSR | Mode::WUSR).map_err(|e| clash(name, e))?;
    Ok(file.into())
}

/// The folder of a file below a folder, made where it is not there, and the file's own name.
///
/// Every step is taken from the folder before it and follows no link, so that the
/// result lies below the folder whatever has been put there meanwhile.
fn parent<'n>(folder: &Folder, name: &'n CStr) -> Result<(OwnedFd, &'n [u8])> {
    let step = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
    let mut at: OwnedFd = open(&folder.path, step, Mode::empty()).map_err(std::io::Error::from)?;
    let mut parts: Vec<&[u8]> = name.to_bytes().split(|&b| b == b'/').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match mkdirat(&at, part, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(e) => return Err(std::io::Error::from(e).into()),
        }
        at = openat(&at, part, step, Mode::empty()).map_err(|e| clash(name, e))?;
    }
    Ok((at, last))
}

fn clash(name: &CStr, e: rustix::io::Errno) -> Failure {
    match e {
        // One blob is named `a`, another one `a/b`.
        rustix::io::Errno::EXIST | rustix::io::Errno::NOTDIR | rustix::io::Errno::ISDIR => {
            Failure::invalid(format!("{name:?} is a file and a folder"))
        }
        e => std::io::Error::from(e).into(),
    }
}
