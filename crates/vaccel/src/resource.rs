//! A resource: a model, a library or data that operations use.

use std::ffi::{CString, c_char};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, PoisonError};

use vaccel_abi::blob::vaccel_blob;
use vaccel_abi::error;
use vaccel_abi::resource::{RESOURCE_DATA, RESOURCE_LIB, RESOURCE_MODEL, vaccel_resource};

use crate::error::{Error, Result};
use crate::library::Library;
use crate::session::Session;

/// What a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceType {
    /// A shared library, for [`Session::exec_with_resource`].
    Library,
    /// Data.
    Data,
    /// A model.
    Model,
}

impl ResourceType {
    /// The number of C.
    #[must_use]
    pub fn as_raw(self) -> u32 {
        match self {
            Self::Library => RESOURCE_LIB,
            Self::Data => RESOURCE_DATA,
            Self::Model => RESOURCE_MODEL,
        }
    }

    /// The type of a number of C; `None` when there is none.
    #[must_use]
    pub fn from_raw(raw: u32) -> Option<Self> {
        match raw {
            RESOURCE_LIB => Some(Self::Library),
            RESOURCE_DATA => Some(Self::Data),
            RESOURCE_MODEL => Some(Self::Model),
            _ => None,
        }
    }
}

/// A resource.
///
/// Clones are the same resource; the last one to go takes it back from all
/// sessions it is registered with. It must be [registered](Resource::register)
/// with a session before an operation of that session uses it.
#[derive(Clone)]
pub struct Resource {
    inner: Arc<Inner>,
}

struct Inner {
    raw: NonNull<vaccel_resource>,
    library: &'static Library,
    /// Held while the library writes to the blobs or this crate reads them.
    blobs: Mutex<()>,
    /// Bytes that the library uses in place. Declared last, and freed after `drop`.
    _memory: Vec<Memory>,
}

/// Bytes the library points at; only touched through that pointer.
struct Memory(*mut [u8]);

impl Memory {
    fn new(data: Vec<u8>) -> Self {
        Self(Box::into_raw(data.into_boxed_slice()))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw` in `new`, taken back once.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

// SAFETY: the library guards its structures with locks of its own; the bytes in
// `_memory` are reached through the library alone, under `blobs`.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Resource {
    /// A resource from a file, a folder or a URI (`file://`, `http://`, `https://`).
    ///
    /// Nothing is read before the resource is registered with a session.
    ///
    /// # Errors
    /// `ENOENT` when there is no such file; `EINVAL` for a name that is not a path or URI.
    pub fn open(path: impl AsRef<Path>, kind: ResourceType) -> Result<Self> {
        let library = Library::get()?;
        let path = c_path(path.as_ref())?;
        let mut raw = ptr::null_mut();
        // SAFETY: the path outlives the call, which copies it.
        let code = unsafe {
            (library.functions().resource_new)(&raw mut raw, path.as_ptr(), kind.as_raw())
        };
        library.check(&format!("cannot make a resource of {path:?}"), code)?;
        Self::from_raw(raw, library, Vec::new())
    }

    /// A resource from several files, in order.
    ///
    /// # Errors
    /// As [`Resource::open`]; `EINVAL` for an empty list.
    pub fn open_all<P: AsRef<Path>>(paths: &[P], kind: ResourceType) -> Result<Self> {
        let library = Library::get()?;
        let paths = paths
            .iter()
            .map(|path| c_path(path.as_ref()))
            .collect::<Result<Vec<_>>>()?;
        let mut pointers: Vec<*const c_char> = paths.iter().map(|path| path.as_ptr()).collect();
        let mut raw = ptr::null_mut();
        // SAFETY: the strings outlive the call, which copies them.
        let code = unsafe {
            (library.functions().resource_multi_new)(
                &raw mut raw,
                pointers.as_mut_ptr(),
                pointers.len(),
                kind.as_raw(),
            )
        };
        library.check("cannot make a resource of several files", code)?;
        Self::from_raw(raw, library, Vec::new())
    }

    /// A resource from bytes, kept in memory and used in place.
    ///
    /// `name` is the name of a file, without a folder.
    ///
    /// # Errors
    /// `EINVAL` for no bytes or for a name that is not that of a file.
    pub fn from_bytes(data: Vec<u8>, kind: ResourceType, name: &str) -> Result<Self> {
        let library = Library::get()?;
        let name = c_string(name)?;
        let memory = Memory::new(data);
        let mut raw = ptr::null_mut();
        // SAFETY: the bytes live as long as the resource; the name is copied.
        let code = unsafe {
            (library.functions().resource_from_buf)(
                &raw mut raw,
                memory.0.cast(),
                memory.0.len(),
                kind.as_raw(),
                name.as_ptr(),
                true,
            )
        };
        library.check(
            &format!("cannot make a resource of bytes named {name:?}"),
            code,
        )?;
        Self::from_raw(raw, library, vec![memory])
    }

    /// A resource from several named pieces of memory, in order.
    ///
    /// # Errors
    /// As [`Resource::from_bytes`].
    pub fn from_pieces(pieces: Vec<(String, Vec<u8>)>, kind: ResourceType) -> Result<Self> {
        let library = Library::get()?;
        let mut blobs = Blobs {
            list: Vec::with_capacity(pieces.len()),
            library,
        };
        let mut memory = Vec::with_capacity(pieces.len());
        for (name, data) in pieces {
            let name = c_string(&name)?;
            let data = Memory::new(data);
            let mut blob = ptr::null_mut();
            // SAFETY: the bytes live as long as the resource, as the blobs made
            // from this one point at them; the name is copied.
            let code = unsafe {
                (library.functions().blob_from_buf)(
                    &raw mut blob,
                    data.0.cast_const().cast(),
                    data.0.len(),
                    false,
                    name.as_ptr(),
                    ptr::null(),
                    false,
                )
            };
            library.check(&format!("cannot make a blob of bytes named {name:?}"), code)?;
            blobs.list.push(blob.cast_const());
            memory.push(data);
        }
        let mut raw = ptr::null_mut();
        // SAFETY: the blobs live for the call, which makes its own from them.
        let code = unsafe {
            (library.functions().resource_from_blobs)(
                &raw mut raw,
                blobs.list.as_mut_ptr(),
                blobs.list.len(),
                kind.as_raw(),
            )
        };
        library.check("cannot make a resource of blobs", code)?;
        Self::from_raw(raw, library, memory)
    }

    fn from_raw(
        raw: *mut vaccel_resource,
        library: &'static Library,
        memory: Vec<Memory>,
    ) -> Result<Self> {
        let raw = NonNull::new(raw)
            .ok_or_else(|| Error::new(error::EFAULT, "the library returned no resource"))?;
        Ok(Self {
            inner: Arc::new(Inner {
                raw,
                library,
                blobs: Mutex::new(()),
                _memory: memory,
            }),
        })
    }

    /// Number of the resource in this process.
    #[must_use]
    pub fn id(&self) -> i64 {
        // SAFETY: the resource lives while `self` does; the number does not change.
        unsafe { (*self.as_ptr()).id }
    }

    /// The C structure, for calls this crate does not offer.
    ///
    /// It is valid as long as a clone of the resource lives.
    #[must_use]
    pub fn as_ptr(&self) -> *mut vaccel_resource {
        self.inner.raw.as_ptr()
    }

    /// Makes the resource known to a session; a second time does nothing.
    ///
    /// On a remote session this sends the bytes.
    ///
    /// # Errors
    /// What reading the files, the plugin or the transport returns.
    pub fn register(&self, session: &Session) -> Result<()> {
        let _blobs = self.lock();
        // SAFETY: both live for the call.
        let code = unsafe {
            (self.inner.library.functions().resource_register)(self.as_ptr(), session.as_ptr())
        };
        self.inner
            .library
            .check("cannot register the resource", code)
    }

    /// Takes the resource back from a session.
    ///
    /// # Errors
    /// `EINVAL` when it is not registered with it; what the plugin or the transport returns.
    pub fn unregister(&self, session: &Session) -> Result<()> {
        let _blobs = self.lock();
        // SAFETY: both live for the call.
        let code = unsafe {
            (self.inner.library.functions().resource_unregister)(self.as_ptr(), session.as_ptr())
        };
        self.inner
            .library
            .check("cannot unregister the resource", code)
    }

    /// Brings the bytes here up to date with those where the operations run,
    /// and returns a copy of the first piece.
    ///
    /// # Errors
    /// `EPERM` when the resource is not registered with the session; `EINVAL`
    /// when it is not made from memory; what the plugin returns.
    pub fn sync(&self, session: &Session) -> Result<Vec<u8>> {
        let _blobs = self.lock();
        let library = self.inner.library;
        // SAFETY: both live for the call.
        let code = unsafe { (library.functions().resource_sync)(self.as_ptr(), session.as_ptr()) };
        library.check("cannot synchronise the resource", code)?;
        self.first_blob()
    }

    /// A copy of the first piece of the resource.
    fn first_blob(&self) -> Result<Vec<u8>> {
        // SAFETY: the resource lives; the lock is held, so its blobs stay as they are.
        let blob = unsafe {
            let raw = &*self.as_ptr();
            if raw.nr_blobs == 0 || raw.blobs.is_null() {
                ptr::null_mut()
            } else {
                *raw.blobs
            }
        };
        if blob.is_null() {
            return Err(Error::invalid("the resource holds no bytes"));
        }
        let mut size = 0;
        // SAFETY: a blob of a living resource.
        let data = unsafe { (self.inner.library.functions().blob_data)(blob, &raw mut size) };
        if data.is_null() {
            return if size == 0 {
                Ok(Vec::new())
            } else {
                Err(Error::new(
                    error::EIO,
                    "the bytes of the resource cannot be read",
                ))
            };
        }
        // SAFETY: the library says that there are `size` bytes.
        Ok(unsafe { std::slice::from_raw_parts(data, size) }.to_vec())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ()> {
        // There is nothing in it that a panic could leave half done.
        self.inner
            .blobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resource").field("id", &self.id()).finish()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: made by one of the constructors, deleted once, and nobody holds
        // it any more; the memory it uses is freed after this.
        unsafe { (self.library.functions().resource_delete)(self.raw.as_ptr()) };
    }
}

/// Blobs that go when the resource has been made from them.
struct Blobs {
    list: Vec<*const vaccel_blob>,
    library: &'static Library,
}

impl Drop for Blobs {
    fn drop(&mut self) {
        for &blob in &self.list {
            // SAFETY: made by `blob_from_buf`, deleted once.
            unsafe { (self.library.functions().blob_delete)(blob.cast_mut()) };
        }
    }
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::invalid(format!("{text:?} contains a zero byte")))
}

fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_encoded_bytes())
        .map_err(|_| Error::invalid(format!("{} contains a zero byte", path.display())))
}
