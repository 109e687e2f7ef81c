//! The session of a call.

use crate::backend::Model;
use crate::error::Result;
use crate::host;
use crate::models::Models;
use crate::resource::{Resource, ResourceType};
use std::ffi::OsStr;
use std::marker::PhantomData;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;
use vaccel_abi::plugin::PluginType;
use vaccel_abi::session::{RUNDIR_MAX, vaccel_session};

/// The session that an operation was called in.
#[derive(Debug, Clone, Copy)]
pub struct Session<'a> {
    raw: NonNull<vaccel_session>,
    models: &'a Models,
    life: PhantomData<&'a vaccel_session>,
}

impl<'a> Session<'a> {
    /// # Safety
    /// Null, or a session that lives during `'a`.
    #[inline]
    pub(crate) unsafe fn from_raw(raw: *mut vaccel_session, models: &'a Models) -> Result<Self> {
        match NonNull::new(raw) {
            Some(raw) => Ok(Self {
                raw,
                models,
                life: PhantomData,
            }),
            None => Err(null_session()),
        }
    }

    /// The C structure.
    #[must_use]
    pub fn as_ptr(&self) -> *mut vaccel_session {
        self.raw.as_ptr()
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> i64 {
        // SAFETY: a live session of the host, which does not write this field.
        unsafe { (&raw const (*self.raw.as_ptr()).id).read() }
    }

    /// The `PLUGIN_*` bits it was opened with.
    #[must_use]
    pub fn hint(&self) -> PluginType {
        // SAFETY: as in `id`.
        unsafe { (&raw const (*self.raw.as_ptr()).hint).read() }
    }

    /// Its private folder, which goes away with it; `None` when it has none.
    #[must_use]
    pub fn rundir(&self) -> Option<&'a Path> {
        // SAFETY: the host fills the array before any operation and leaves it
        // alone afterwards.
        let bytes: &'a [u8; RUNDIR_MAX] =
            unsafe { &*(&raw const (*self.raw.as_ptr()).rundir).cast() };
        let end = bytes.iter().position(|b| *b == 0)?;
        (end > 0).then(|| Path::new(OsStr::from_bytes(&bytes[..end])))
    }

    /// The resources of a type that are registered with it, the earliest first.
    pub fn resources(&self, type_: ResourceType) -> Result<Vec<Resource<'a>>> {
        // SAFETY: a live session of the host.
        let found = unsafe { host::resources_by_type(self.as_ptr(), type_ as u32) }?;
        found
            .into_iter()
            // SAFETY: registered with the session, and the application may not
            // release it while an operation of the session runs.
            .map(|raw| unsafe { Resource::from_raw(raw) })
            .collect()
    }

    /// The earliest registered resource of a type.
    pub fn resource(&self, type_: ResourceType) -> Result<Option<Resource<'a>>> {
        Ok(self.resources(type_)?.first().copied())
    }

    /// The model that was loaded from a resource in this session; `ENOENT` when
    /// none was.
    pub fn model(&self, resource: &Resource<'_>) -> Result<Arc<dyn Model>> {
        self.models.get(self.id(), resource.id())
    }

    /// The model of a resource, loaded with `load` when it is not loaded yet:
    /// for an operation that takes its model from the session, as the image
    /// operations do. Dropped when the resource is unregistered.
    pub fn model_or_load(
        &self,
        resource: &Resource<'_>,
        load: impl FnOnce() -> Result<Box<dyn Model>>,
    ) -> Result<Arc<dyn Model>> {
        self.models.load(self.id(), resource.id(), load)
    }

    pub(crate) fn models(&self) -> &'a Models {
        self.models
    }
}

#[cold]
fn null_session() -> crate::Error {
    crate::Error::invalid("the session is null")
}
