//! A session: what a program opens to call operations.

use std::ffi::CStr;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use vaccel_abi::arg::vaccel_arg;
use vaccel_abi::error;
use vaccel_abi::plugin;
use vaccel_abi::session::vaccel_session;

use crate::error::{Error, Result};
use crate::library::Library;
use crate::resource::Resource;

/// What kind of plugin should serve a session; values may be combined with `|`.
pub mod hint {
    use super::plugin;

    /// The first that can.
    pub const ANY: u32 = 0;
    /// Runs on the processor.
    pub const CPU: u32 = plugin::PLUGIN_CPU;
    /// Runs on a GPU.
    pub const GPU: u32 = plugin::PLUGIN_GPU;
    /// Runs on an FPGA.
    pub const FPGA: u32 = plugin::PLUGIN_FPGA;
    /// Needs no device.
    pub const SOFTWARE: u32 = plugin::PLUGIN_SOFTWARE;
    /// Runs TensorFlow models.
    pub const TENSORFLOW: u32 = plugin::PLUGIN_TENSORFLOW;
    /// Runs Torch models.
    pub const TORCH: u32 = plugin::PLUGIN_TORCH;
    /// Runs on an NVIDIA Jetson.
    pub const JETSON: u32 = plugin::PLUGIN_JETSON;
    /// For tests.
    pub const DEBUG: u32 = plugin::PLUGIN_DEBUG;
    /// On another machine, through a transport plugin.
    pub const REMOTE: u32 = plugin::PLUGIN_REMOTE;
}

/// An open session.
///
/// Operations are its methods. Clones are the same session; the last one to go
/// releases it, and with it the registrations of its resources. Threads
/// may share a session and call operations on it at the same time.
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

struct Inner {
    raw: NonNull<vaccel_session>,
    library: &'static Library,
}

// SAFETY: the library guards its structures with locks of its own, keeps no
// thread-local state of a session, and plugins must take calls from any thread.
unsafe impl Send for Inner {}
// SAFETY: as above; operations of one session may run at the same time.
unsafe impl Sync for Inner {}

impl Session {
    /// Opens a session with the first plugin that can serve it.
    ///
    /// # Errors
    /// What [`Library::get`] returns; `ESESS` when the library could not start
    /// (a plugin that failed to load, say); `ENOTSUP` when no plugin is loaded.
    pub fn new() -> Result<Self> {
        Self::with_hint(hint::ANY)
    }

    /// Opens a session with a plugin of a certain kind; see [`hint`].
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn with_hint(flags: u32) -> Result<Self> {
        let library = Library::get()?;
        let mut raw = ptr::null_mut();
        // SAFETY: `raw` receives the pointer.
        let code = unsafe { (library.functions().session_new)(&raw mut raw, flags) };
        library.check("cannot open a session", code)?;
        let raw = NonNull::new(raw)
            .ok_or_else(|| Error::new(error::EFAULT, "the library returned no session"))?;
        Ok(Self {
            inner: Arc::new(Inner { raw, library }),
        })
    }

    /// Changes the kind of plugin that serves the session.
    ///
    /// # Errors
    /// `ENOTSUP` while resources are registered or when no such plugin is loaded.
    pub fn update(&self, flags: u32) -> Result<()> {
        // SAFETY: the session is open while `self` lives.
        let code = unsafe { (self.library().functions().session_update)(self.as_ptr(), flags) };
        self.library().check("cannot update the session", code)
    }

    /// Number of the session in this process.
    #[must_use]
    pub fn id(&self) -> i64 {
        // SAFETY: the session is open while `self` lives; the number does not change.
        unsafe { (*self.as_ptr()).id }
    }

    /// Name of the plugin that serves it; empty when the plugin has none.
    ///
    /// Not to be asked while another thread updates the session.
    #[must_use]
    pub fn plugin(&self) -> String {
        // SAFETY: the session is open while `self` lives; its plugin stays loaded as
        // long, and names are C strings that do not change.
        unsafe {
            let plugin = (*self.as_ptr()).plugin;
            let info = plugin.as_ref().and_then(|plugin| plugin.info.as_ref());
            match info.filter(|info| !info.name.is_null()) {
                Some(info) => CStr::from_ptr(info.name).to_string_lossy().into_owned(),
                None => String::new(),
            }
        }
    }

    /// True when a transport plugin carries its operations elsewhere.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        // SAFETY: the session is open while `self` lives.
        unsafe { (*self.as_ptr()).is_virtio }
    }

    /// True when a resource is registered with the session.
    #[must_use]
    pub fn has_resource(&self, resource: &Resource) -> bool {
        // SAFETY: both live for the call.
        unsafe {
            (self.library().functions().session_has_resource)(self.as_ptr(), resource.as_ptr())
        }
    }

    /// The C structure, for calls this crate does not offer.
    ///
    /// It is valid as long as a clone of the session lives.
    #[must_use]
    pub fn as_ptr(&self) -> *mut vaccel_session {
        self.inner.raw.as_ptr()
    }

    pub(crate) fn library(&self) -> &'static Library {
        self.inner.library
    }

    /// Does nothing: measures the way to the plugin and back.
    ///
    /// # Errors
    /// `ENOTSUP` when the plugin does not offer it; any error of a transport.
    pub fn noop(&self) -> Result<()> {
        // SAFETY: the session is open while `self` lives.
        let code = unsafe { (self.library().functions().noop)(self.as_ptr()) };
        self.library().check("noop", code)
    }

    /// Calls an operation in its generic form, as `vaccel_genop` does.
    ///
    /// `read[0]` is one `UINT8` with the code of the operation; the rest follows the
    /// table of operations in `vaccel_abi::table`.
    ///
    /// # Errors
    /// `EINVAL` when the arguments are not those of the operation; what the operation returns.
    ///
    /// # Safety
    /// Every `buf` that is not null must point to `size` bytes, readable for
    /// arguments in `read` and writable for those in `write`, aligned for its type.
    /// Buffers that the operation allocates (`owned` is set on return) are the
    /// caller's to free with libc `free`.
    pub unsafe fn genop(&self, read: &mut [vaccel_arg], write: &mut [vaccel_arg]) -> Result<()> {
        let count = |list: &[vaccel_arg]| {
            i32::try_from(list.len()).map_err(|_| Error::invalid("too many arguments"))
        };
        let (nr_read, nr_write) = (count(read)?, count(write)?);
        // SAFETY: the session is open; the caller vouches for the arguments.
        let code = unsafe {
            (self.library().functions().genop)(
                self.as_ptr(),
                pointer(read),
                nr_read,
                pointer(write),
                nr_write,
            )
        };
        self.library().check("genop", code)
    }
}

/// The array as C expects it: null when there is nothing in it.
pub(crate) fn pointer(list: &mut [vaccel_arg]) -> *mut vaccel_arg {
    if list.is_empty() {
        ptr::null_mut()
    } else {
        list.as_mut_ptr()
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("id", &self.id()).finish()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The library logs what goes wrong here; there is nobody to tell.
        // SAFETY: made by `session_new`, deleted once, and nobody holds it any more.
        unsafe { (self.library.functions().session_delete)(self.raw.as_ptr()) };
    }
}
