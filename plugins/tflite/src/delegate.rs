//! External delegates: libraries that run models elsewhere, such as Coral's Edge TPU.
//!
//! Which library that is, only the environment says: it is code, and a program far away
//! must not choose it.

use std::env;
use std::ffi::{c_char, c_void};
use std::path::PathBuf;

use vaccel_inference::runtime::Opened;
use vaccel_plugin::{Result, Variable, bail, err};

use crate::api::Delegate;

/// The variable that names the delegate.
pub(crate) const VARIABLE: Variable = Variable {
    name: "VACCEL_TFLITE_DELEGATE",
    meaning: "library with an external delegate (libedgetpu.so.1 for Coral), used by models that \
              are loaded with device=delegate; default: none",
};

type Create = unsafe extern "C" fn(
    *const *const c_char,
    *const *const c_char,
    usize,
    Option<unsafe extern "C" fn(*const c_char)>,
) -> *mut Delegate;
type Destroy = unsafe extern "C" fn(*mut Delegate);

/// A delegate of an external library.
pub(crate) struct External {
    pub(crate) raw: *mut Delegate,
    destroy: Destroy,
}

impl Drop for External {
    fn drop(&mut self) {
        // SAFETY: made by the library's own function; its interpreter is gone.
        unsafe { (self.destroy)(self.raw) }
    }
}

/// The library that the environment names.
pub(crate) fn library() -> Option<PathBuf> {
    env::var_os(VARIABLE.name)
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
}

impl External {
    /// Makes a delegate of the library that the environment names. It is opened here,
    /// and not by the runtime, which crashes when it is missing.
    ///
    /// # Errors
    /// `ENOTSUP` without a library, and `ENODEV` where it finds no device.
    pub(crate) fn new() -> Result<Self> {
        let Some(path) = library() else {
            bail!(
                ENOTSUP,
                "option `device`: set {} to the library of the delegate",
                VARIABLE.name
            );
        };
        // SAFETY: opening runs the library's own start-up code: the one who set the
        // variable chose it.
        let library = unsafe { Opened::new(&path) }
            .map_err(|e| err!(ENOTSUP, "{} cannot be opened: {e}", path.display()))?;
        // Its threads may outlive its delegates.
        let library: &'static Opened = Box::leak(Box::new(library));
        // SAFETY: the types that external_delegate_interface.h asks of such libraries.
        let (create, destroy) = unsafe {
            let create: Create =
                vaccel_inference::runtime::symbol(library, "tflite_plugin_create_delegate")?;
            let destroy: Destroy =
                vaccel_inference::runtime::symbol(library, "tflite_plugin_destroy_delegate")?;
            (create, destroy)
        };
        // SAFETY: no options.
        let raw = unsafe { create(std::ptr::null(), std::ptr::null(), 0, Some(ignore)) };
        if raw.is_null() {
            bail!(ENODEV, "{} found no device it could use", path.display());
        }
        Ok(Self { raw, destroy })
    }
}

unsafe extern "C" fn ignore(_: *const c_char) {}

/// What the runtime hands to its reporters, as text.
///
/// # Safety
/// A format and its arguments, as C passes them.
pub(crate) unsafe fn format(text: *const c_char, arguments: crate::api::VaList) -> String {
    unsafe extern "C" {
        fn vsnprintf(
            to: *mut c_char,
            size: usize,
            format: *const c_char,
            arguments: *mut c_void,
        ) -> i32;
    }
    let mut buffer = [0_u8; 512];
    // SAFETY: a buffer of that size; the rest is promised by the caller.
    let written = unsafe { vsnprintf(buffer.as_mut_ptr().cast(), buffer.len(), text, arguments) };
    let length = usize::try_from(written).unwrap_or(0).min(buffer.len() - 1);
    String::from_utf8_lossy(&buffer[..length])
        .trim_end()
        .to_owned()
}
