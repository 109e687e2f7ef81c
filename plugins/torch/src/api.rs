//! The functions of the shim: see `shim/torch.cpp`.

use std::ffi::{CStr, c_char, c_int, c_void};

use vaccel_inference::runtime::Opened;
use vaccel_plugin::{Error, Result, code};

/// A loaded module.
#[repr(C)]
pub(crate) struct Model([u8; 0]);
/// What a run gave.
#[repr(C)]
pub(crate) struct Outcome([u8; 0]);

/// `vaccel_torch_shim_tensor`.
#[repr(C)]
pub(crate) struct Tensor {
    pub(crate) number: i32,
    pub(crate) rank: i32,
    pub(crate) dims: *const i64,
    pub(crate) data: *mut c_void,
    pub(crate) size: usize,
}

vaccel_inference::functions! {
    /// The shim's functions.
    pub(crate) struct Functions {
        vaccel_torch_shim_version: fn() -> *const c_char;
        vaccel_torch_shim_has_cuda: fn() -> c_int;
        vaccel_torch_shim_load: fn(
            *const c_char,
            *const c_char,
            usize,
            *const c_char,
            c_int,
            *mut *mut Model,
        ) -> *mut c_char;
        vaccel_torch_shim_free: fn(*mut Model);
        vaccel_torch_shim_name: fn(*const Model, c_int, usize) -> *const c_char;
        vaccel_torch_shim_run:
            fn(*mut Model, *const Tensor, usize, *mut *mut Outcome) -> *mut c_char;
        vaccel_torch_shim_result: fn(*const Outcome, usize, *mut Tensor) -> c_int;
        vaccel_torch_shim_result_free: fn(*mut Outcome);
    }
    optional {}
}

/// The functions.
pub(crate) struct Api {
    pub(crate) f: Functions,
}

impl Api {
    /// Looks the functions up.
    pub(crate) fn bind(library: &Opened) -> Result<Self> {
        Ok(Self {
            f: Functions::bind(library)?,
        })
    }

    /// Version of libtorch.
    pub(crate) fn version(&self) -> String {
        // SAFETY: a string that the shim keeps.
        let text = unsafe { CStr::from_ptr((self.f.vaccel_torch_shim_version)()) };
        text.to_string_lossy().into_owned()
    }

    /// True where there is a GPU that libtorch can use.
    pub(crate) fn has_cuda(&self) -> bool {
        // SAFETY: no arguments.
        unsafe { (self.f.vaccel_torch_shim_has_cuda)() != 0 }
    }

    /// An error of the shim's text, which is freed.
    ///
    /// # Safety
    /// Null or a text that the shim allocated, not freed yet.
    pub(crate) unsafe fn check(&self, text: *mut c_char) -> Result<()> {
        unsafe extern "C" {
            fn free(p: *mut c_void);
        }
        if text.is_null() {
            return Ok(());
        }
        // SAFETY: promised by the caller; the shim allocates with the same C library.
        let said = unsafe {
            let said = CStr::from_ptr(text).to_string_lossy().into_owned();
            free(text.cast());
            said
        };
        let code = if said.contains("not enough memory") || said.contains("bad_alloc") {
            code::ENOMEM
        } else {
            code::EINVAL
        };
        Err(Error::new(code, said))
    }
}
