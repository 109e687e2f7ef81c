//! Sessions: what an application opens to call operations.

use crate::list::{vaccel_list_entry, vaccel_list_t};
use crate::plugin::vaccel_plugin;
use crate::resource::RESOURCE_MAX;
use crate::vaccel_id_t;
use libc::{c_char, c_uint, c_void};

/// Bytes of [`vaccel_session::rundir`], the terminating zero included.
pub const RUNDIR_MAX: usize = 4096;

/// A session. Owned by the caller, filled by `vaccel_session_init`.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct vaccel_session {
    /// Number of the session, positive while it lives.
    pub id: vaccel_id_t,
    /// Number on the remote side, set by a transport plugin.
    pub remote_id: vaccel_id_t,
    /// The `PLUGIN_*` bits the session was opened with.
    pub hint: c_uint,
    /// True when operations go through a transport plugin.
    pub is_virtio: bool,
    /// Private folder; zero-terminated.
    pub rundir: [c_char; RUNDIR_MAX],
    /// Link of the library's own use.
    pub entry: vaccel_list_entry,
    /// Registered resources, one list for each type.
    pub resources: [vaccel_list_t; RESOURCE_MAX as usize],
    /// Their numbers.
    pub resource_counts: [usize; RESOURCE_MAX as usize],
    /// Guards the lists.
    pub resources_lock: libc::pthread_mutex_t,
    /// The plugin that serves this session.
    pub plugin: *mut vaccel_plugin,
    /// The plugin's own data.
    pub priv_: *mut c_void,
}
