//! A resource: a model, a library or data that the application registered.

use crate::blob::{Blob, os_text};
use crate::error::Result;
use std::marker::PhantomData;
use std::path::Path;
use std::ptr::NonNull;
use vaccel_abi::resource::{
    PATH_LOCAL_DIR, RESOURCE_DATA, RESOURCE_LIB, RESOURCE_MODEL, vaccel_resource,
};

/// What a resource is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum ResourceType {
    /// A shared library.
    Library = RESOURCE_LIB,
    /// Data.
    Data = RESOURCE_DATA,
    /// A model.
    Model = RESOURCE_MODEL,
}

/// A registered resource.
#[derive(Debug, Clone, Copy)]
pub struct Resource<'a> {
    raw: NonNull<vaccel_resource>,
    life: PhantomData<&'a vaccel_resource>,
}

/// One field of the C structure. Fields are read one by one: the library
/// changes others (the reference count) meanwhile, so no reference to the whole
/// may exist.
macro_rules! field {
    ($view:expr, $field:ident) => {
        // SAFETY: a live resource of the host; the library does not write this
        // field while the resource is registered.
        unsafe { (&raw const (*$view.raw.as_ptr()).$field).read() }
    };
}

impl<'a> Resource<'a> {
    /// A view of what C passed; `EINVAL` when null or never registered.
    ///
    /// # Safety
    /// Null, or a resource that stays registered during `'a`.
    pub unsafe fn from_raw(raw: *mut vaccel_resource) -> Result<Self> {
        let Some(raw) = NonNull::new(raw) else {
            crate::bail!(EINVAL, "the resource is null");
        };
        let view = Self {
            raw,
            life: PhantomData,
        };
        if view.id() <= 0 {
            crate::bail!(
                EINVAL,
                "the resource is not initialised (its id is {})",
                view.id()
            );
        }
        Ok(view)
    }

    /// The C structure.
    #[must_use]
    pub fn as_ptr(&self) -> *mut vaccel_resource {
        self.raw.as_ptr()
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> i64 {
        field!(self, id)
    }

    /// What it is for; `None` for a number that C should not have put there.
    #[must_use]
    pub fn resource_type(&self) -> Option<ResourceType> {
        match field!(self, type_) {
            RESOURCE_LIB => Some(ResourceType::Library),
            RESOURCE_DATA => Some(ResourceType::Data),
            RESOURCE_MODEL => Some(ResourceType::Model),
            _ => None,
        }
    }

    /// `EINVAL` unless it is for this.
    pub fn expect(&self, wanted: ResourceType) -> Result<()> {
        if self.resource_type() == Some(wanted) {
            return Ok(());
        }
        Err(crate::err!(
            EINVAL,
            "resource {} is a {:?}, but a {wanted:?} is needed",
            self.id(),
            self.resource_type()
        ))
    }

    /// The paths or URLs it was made from; empty when made from memory.
    #[must_use]
    pub fn paths(&self) -> Vec<&'a Path> {
        let (paths, count) = (field!(self, paths), field!(self, nr_paths));
        if paths.is_null() {
            return Vec::new();
        }
        (0..count)
            .filter_map(|i| {
                // SAFETY: the host keeps `count` strings there.
                unsafe { os_text(paths.add(i).read()) }.map(Path::new)
            })
            .collect()
    }

    /// The folder it was made from; `None` when it is not a local folder.
    #[must_use]
    pub fn folder(&self) -> Option<&'a Path> {
        if field!(self, path_type) != PATH_LOCAL_DIR {
            return None;
        }
        let path = self.paths().first().copied()?;
        // A folder may be given as a URI; the rest of it is then a plain path.
        let stripped = path
            .to_str()
            .and_then(|text| text.strip_prefix("file://"))
            .map(Path::new);
        Some(stripped.unwrap_or(path))
    }

    /// The library's private folder for it.
    #[must_use]
    pub fn rundir(&self) -> Option<&'a Path> {
        let rundir = field!(self, rundir);
        // SAFETY: null or a string of the host.
        unsafe { os_text(rundir) }.map(Path::new)
    }

    /// Its files and buffers; those of a folder without their sub-folders' names.
    #[must_use]
    pub fn blobs(&self) -> Vec<Blob<'a>> {
        let (blobs, count) = (field!(self, blobs), field!(self, nr_blobs));
        if blobs.is_null() {
            return Vec::new();
        }
        (0..count)
            .filter_map(|i| {
                // SAFETY: the host keeps `count` pointers there.
                let blob = NonNull::new(unsafe { blobs.add(i).read() })?;
                // SAFETY: a blob of a registered resource.
                Some(unsafe { Blob::from_raw(blob) })
            })
            .collect()
    }

    /// The first blob; `EINVAL` when there is none.
    pub fn first_blob(&self) -> Result<Blob<'a>> {
        self.blobs()
            .first()
            .copied()
            .ok_or_else(|| crate::err!(EINVAL, "resource {} holds no file", self.id()))
    }

    /// The blob of this file name.
    #[must_use]
    pub fn blob(&self, name: &str) -> Option<Blob<'a>> {
        self.blobs().into_iter().find(|b| b.name() == Some(name))
    }
}
