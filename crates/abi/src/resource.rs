//! Resources: models, libraries and data that operations use.

use crate::blob::vaccel_blob;
use crate::list::{vaccel_list_entry, vaccel_list_t};
use crate::vaccel_id_t;
use libc::{c_char, c_uint, c_void, size_t};

/// `vaccel_resource_type_t`; one of the `RESOURCE_*` constants.
pub type ResourceType = u32;
/// A shared library.
pub const RESOURCE_LIB: ResourceType = 0;
/// Data.
pub const RESOURCE_DATA: ResourceType = 1;
/// A model.
pub const RESOURCE_MODEL: ResourceType = 2;
/// One past the last type.
pub const RESOURCE_MAX: ResourceType = 3;

/// `vaccel_path_type_t`; one of the `PATH_*` constants.
pub type PathType = u32;
/// Files of this machine.
pub const PATH_LOCAL_FILE: PathType = 0;
/// A folder of this machine.
pub const PATH_LOCAL_DIR: PathType = 1;
/// Something to download.
pub const PATH_REMOTE_FILE: PathType = 2;
/// One past the last type; also the type of a resource made from memory.
pub const PATH_MAX: PathType = 3;

/// A resource. Owned by the caller, filled by `vaccel_resource_init` and its kin.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct vaccel_resource {
    /// Number of the resource, positive while it lives.
    pub id: vaccel_id_t,
    /// Number on the remote side, set by a transport plugin.
    pub remote_id: vaccel_id_t,
    /// One of the `RESOURCE_*` constants.
    pub type_: ResourceType,
    /// One of the `PATH_*` constants.
    pub path_type: PathType,
    /// `nr_paths` malloc'ed strings, or null.
    pub paths: *mut *mut c_char,
    /// Their number.
    pub nr_paths: size_t,
    /// Private folder, malloc'ed, or null while none is needed.
    pub rundir: *mut c_char,
    /// `nr_blobs` malloc'ed blobs, or null before registration.
    pub blobs: *mut *mut vaccel_blob,
    /// Their number.
    pub nr_blobs: size_t,
    /// Link of the library's own use.
    pub entry: vaccel_list_entry,
    /// Sessions it is registered with.
    pub sessions: vaccel_list_t,
    /// Guards `sessions`.
    pub sessions_lock: libc::pthread_mutex_t,
    /// Number of registrations; atomic.
    pub refcount: c_uint,
    /// The plugin's own data.
    pub plugin_priv: *mut c_void,
}

/// Told how far files and memory on their way have come: data of the program, a name, the
/// bytes that have arrived, and of how many (0 when that is not known).
pub type ProgressFn =
    unsafe extern "C" fn(user: *mut libc::c_void, name: *const c_char, done: u64, total: u64);
