//! ONNX Runtime's table of functions, and its errors.

use std::ffi::{CStr, CString, c_char};
use std::ptr;

use ort_sys::{OrtApi, OrtApiBase, OrtErrorCode, OrtStatusPtr};
use vaccel_inference::runtime::{Opened, symbol};
use vaccel_plugin::{Error, Result, bail, code, err};

/// Version of the table that is asked for; runtimes from 1.24 on have it.
const VERSION: u32 = 24;

/// The table, and the environment that all models share.
pub(crate) struct Api {
    pub(crate) table: &'static OrtApi,
    pub(crate) env: *mut ort_sys::OrtEnv,
    pub(crate) memory: *mut ort_sys::OrtMemoryInfo,
    pub(crate) allocator: *mut ort_sys::OrtAllocator,
    version: String,
}

// SAFETY: the environment, the description of memory and the default allocator are made
// once, never changed, never released, and may be used from any thread by their contract.
unsafe impl Send for Api {}
// SAFETY: as above.
unsafe impl Sync for Api {}

impl Api {
    /// Looks the table up and makes the environment.
    ///
    /// # Errors
    /// `ENOTSUP` for a runtime that is too old.
    pub(crate) fn bind(library: &Opened) -> Result<Self> {
        type GetBase = unsafe extern "C" fn() -> *const OrtApiBase;
        // SAFETY: the type of this function in onnxruntime_c_api.h.
        let get: GetBase = unsafe { symbol(library, "OrtGetApiBase") }?;
        // SAFETY: the base lives as long as the library; both functions take any version.
        let (version, table) = unsafe {
            let base = get();
            if base.is_null() {
                bail!(ENOTSUP, "it gives no functions");
            }
            let version = CStr::from_ptr(((*base).GetVersionString)());
            (
                version.to_string_lossy().into_owned(),
                ((*base).GetApi)(VERSION),
            )
        };
        if table.is_null() {
            bail!(
                ENOTSUP,
                "it is version {version}, and 1.{VERSION} or newer is needed"
            );
        }
        let mut api = Self {
            // SAFETY: not null, and it lives as long as the library, which is never closed.
            table: unsafe { &*table },
            env: ptr::null_mut(),
            memory: ptr::null_mut(),
            allocator: ptr::null_mut(),
            version,
        };
        let (mut env, mut memory, mut allocator) =
            (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: live places, written once.
        unsafe {
            api.check((api.table.CreateEnv)(
                ort_sys::OrtLoggingLevel::ORT_LOGGING_LEVEL_FATAL,
                c"vaccel".as_ptr(),
                &raw mut env,
            ))?;
            api.check((api.table.DisableTelemetryEvents)(env))?;
            api.check((api.table.CreateCpuMemoryInfo)(
                ort_sys::OrtAllocatorType::OrtDeviceAllocator,
                ort_sys::OrtMemType::OrtMemTypeDefault,
                &raw mut memory,
            ))?;
            api.check((api.table.GetAllocatorWithDefaultOptions)(
                &raw mut allocator,
            ))?;
        }
        (api.env, api.memory, api.allocator) = (env, memory, allocator);
        Ok(api)
    }

    /// Version of the runtime.
    pub(crate) fn version(&self) -> String {
        self.version.clone()
    }

    /// An error of a status, which is released.
    pub(crate) fn check(&self, status: OrtStatusPtr) -> Result<()> {
        if status.0.is_null() {
            return Ok(());
        }
        // SAFETY: a status that is not null is one to be read and then released once. The
        // code is read as a number: a newer runtime may have codes of its own.
        let (number, text) = unsafe {
            let get: unsafe extern "system" fn(*const ort_sys::OrtStatus) -> i32 =
                std::mem::transmute(self.table.GetErrorCode);
            let number = get(status.0);
            let text = CStr::from_ptr((self.table.GetErrorMessage)(status.0));
            let text = text.to_string_lossy().into_owned();
            (self.table.ReleaseStatus)(status.0);
            (number, text)
        };
        let is = |code: OrtErrorCode| number == code as i32;
        let code = if is(OrtErrorCode::ORT_NO_SUCHFILE) {
            code::ENOENT
        } else if is(OrtErrorCode::ORT_NOT_IMPLEMENTED) {
            code::ENOTSUP
        } else if text.contains("bad_alloc") || text.contains("Failed to allocate memory") {
            code::ENOMEM
        } else {
            code::EINVAL
        };
        Err(Error::new(code, text))
    }

    /// A text that the runtime allocated, copied and freed.
    ///
    /// # Safety
    /// A string of the default allocator, not freed yet.
    pub(crate) unsafe fn take_text(&self, text: *mut c_char) -> String {
        // SAFETY: promised by the caller.
        unsafe {
            let copy = CStr::from_ptr(text).to_string_lossy().into_owned();
            let freed = (self.table.AllocatorFree)(self.allocator, text.cast());
            // Nothing can be done about memory that cannot be freed.
            let _ = self.check(freed);
            copy
        }
    }

    /// Execution providers that the runtime was built with.
    pub(crate) fn providers(&self) -> Vec<String> {
        let mut list: *mut *mut c_char = ptr::null_mut();
        let mut count = 0;
        // SAFETY: both places are live; the list is read before it is released.
        unsafe {
            let got = (self.table.GetAvailableProviders)(&raw mut list, &raw mut count);
            if self.check(got).is_err() || list.is_null() {
                return Vec::new();
            }
            let names = (0..usize::try_from(count).unwrap_or(0))
                .map(|i| CStr::from_ptr(*list.add(i)).to_string_lossy().into_owned())
                .collect();
            let _ = self.check((self.table.ReleaseAvailableProviders)(list, count));
            names
        }
    }
}

/// A string for C; `EINVAL` for a zero inside of it.
pub(crate) fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| err!(EINVAL, "`{text}` has a zero byte in it"))
}
