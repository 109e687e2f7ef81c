//! A blob: one file or buffer of a resource.

use crate::error::Result;
use std::borrow::Cow;
use std::ffi::{CStr, OsStr, c_char};
use std::io::Read;
use std::marker::PhantomData;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;
use vaccel_abi::blob::vaccel_blob;

/// One file or buffer of a resource.
#[derive(Debug, Clone, Copy)]
pub struct Blob<'a> {
    raw: NonNull<vaccel_blob>,
    life: PhantomData<&'a vaccel_blob>,
}

impl<'a> Blob<'a> {
    /// # Safety
    /// A blob of the host that lives and does not change during `'a`.
    pub(crate) unsafe fn from_raw(raw: NonNull<vaccel_blob>) -> Self {
        Self {
            raw,
            life: PhantomData,
        }
    }

    /// File name without folder; `None` when it has none or is not UTF-8.
    #[must_use]
    pub fn name(&self) -> Option<&'a str> {
        // SAFETY: the host's own field, null or a string.
        let name = unsafe { (&raw const (*self.raw.as_ptr()).name).read() };
        // SAFETY: the same.
        unsafe { os_text(name) }.and_then(OsStr::to_str)
    }

    /// Full path; `None` for bytes that are in memory alone.
    #[must_use]
    pub fn path(&self) -> Option<&'a Path> {
        // SAFETY: the host's own field, null or a string.
        let path = unsafe { (&raw const (*self.raw.as_ptr()).path).read() };
        // SAFETY: the same.
        unsafe { os_text(path) }
            .filter(|path| !path.is_empty())
            .map(Path::new)
    }

    /// The bytes where they are in memory already.
    #[must_use]
    pub fn memory(&self) -> Option<&'a [u8]> {
        // SAFETY: the host's own fields.
        let (data, size) = unsafe {
            let raw = self.raw.as_ptr();
            (
                (&raw const (*raw).data).read(),
                (&raw const (*raw).size).read(),
            )
        };
        // Failed mappings of the C implementation leave -1 here.
        if data.is_null() || data.addr() == usize::MAX || size > isize::MAX as usize {
            return None;
        }
        // SAFETY: the host says that many bytes are there, and keeps them while
        // the resource is registered.
        Some(unsafe { std::slice::from_raw_parts(data, size) })
    }

    /// The bytes: those in memory, else the file's, read now. `ENOENT` and the
    /// like name the file.
    pub fn bytes(&self) -> Result<Cow<'a, [u8]>> {
        if let Some(bytes) = self.memory() {
            return Ok(Cow::Borrowed(bytes));
        }
        let Some(path) = self.path() else {
            // An empty buffer has neither.
            return Ok(Cow::Borrowed(&[]));
        };
        read_file(path).map(Cow::Owned)
    }
}

/// Reads a regular file whole; its size is checked against memory first.
fn read_file(path: &Path) -> Result<Vec<u8>> {
    let read = || -> Result<Vec<u8>> {
        let file = std::fs::File::open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            crate::bail!(EINVAL, "not a regular file");
        }
        let size = usize::try_from(meta.len())
            .map_err(|_| crate::err!(ENOMEM, "{} bytes are too many", meta.len()))?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size)?;
        // A file that grows meanwhile is cut at the size that was checked.
        file.take(meta.len()).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|e| e.context(format_args!("cannot read `{}`", path.display())))
}

/// # Safety
/// Null, or a zero-terminated string that lives during `'a`.
pub(crate) unsafe fn os_text<'a>(at: *const c_char) -> Option<&'a OsStr> {
    // SAFETY: promised by the caller.
    (!at.is_null()).then(|| OsStr::from_bytes(unsafe { CStr::from_ptr(at) }.to_bytes()))
}
