//! A library that is a resource: its first blob, and what that needs.

use crate::library::Library;
use crate::policy::Policy;
use libc::c_int;
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use vaccel_plugin::{Args, ArgsMut, Blob, Resource, Result, bail, err};

/// The library and the others of its resource, which it was linked against.
#[derive(Debug)]
pub(crate) struct Bundle {
    library: Library,
    /// Dropped after the library: fields drop in order.
    _needed: Vec<Library>,
}

impl Bundle {
    /// Loads the first blob, and before it the others: the linker then finds
    /// them by the names (SONAME) that the first one was linked with.
    pub(crate) fn open(resource: &Resource<'_>, mode: c_int, policy: &dyn Policy) -> Result<Self> {
        let blobs = resource.blobs();
        let Some((first, others)) = blobs.split_first() else {
            bail!(EINVAL, "resource {} holds no library", resource.id());
        };
        let needed = open_all(others, mode, policy)?;
        Ok(Self {
            library: open_one(first, mode, policy)?,
            _needed: needed,
        })
    }

    pub(crate) fn call(
        &self,
        symbol: &CStr,
        read: &Args<'_>,
        write: &mut ArgsMut<'_>,
    ) -> Result<()> {
        self.library.call(symbol, read, write)
    }
}

/// Loads libraries that may need each other, whatever their order: those that
/// fail are tried again as long as others succeed.
fn open_all(blobs: &[Blob<'_>], mode: c_int, policy: &dyn Policy) -> Result<Vec<Library>> {
    let mut loaded = Vec::new();
    let mut waiting: Vec<&Blob<'_>> = blobs.iter().collect();
    while !waiting.is_empty() {
        let before = waiting.len();
        let mut failed = None;
        waiting.retain(|blob| match open_one(blob, mode, policy) {
            Ok(library) => {
                loaded.push(library);
                false
            }
            Err(e) => {
                failed = Some(e);
                true
            }
        });
        if let Some(e) = failed
            && waiting.len() == before
        {
            return Err(e);
        }
    }
    Ok(loaded)
}

fn open_one(blob: &Blob<'_>, mode: c_int, policy: &dyn Policy) -> Result<Library> {
    let name = blob.name().unwrap_or("without a name");
    if let Some(path) = blob.path() {
        let text = CString::new(path.as_os_str().as_bytes())
            .map_err(|_| err!(EINVAL, "the path of library `{name}` holds a zero byte"))?;
        return Library::open(&policy.path(&text)?, mode);
    }
    policy.memory(name)?;
    let bytes = blob.bytes()?;
    if bytes.is_empty() {
        bail!(EINVAL, "library `{name}` is empty");
    }
    Library::from_memory(name, &bytes, mode)
}
