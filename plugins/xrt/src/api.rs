//! The functions of XRT's C interface that are used: `xrt/xrt_device.h`, `xrt_bo.h` and
//! `xrt_kernel.h` of XRT 2.13. Opened in a process of its own only.

use libc::{c_char, c_int, c_uint, c_void, size_t};
use std::ffi::CStr;

/// A device, kernel, run or buffer of XRT.
pub(crate) type Handle = *mut c_void;

/// `XCL_BO_SYNC_BO_TO_DEVICE`.
pub(crate) const TO_DEVICE: c_int = 0;
/// `XCL_BO_SYNC_BO_FROM_DEVICE`.
pub(crate) const FROM_DEVICE: c_int = 1;
/// `ERT_CMD_STATE_COMPLETED`.
pub(crate) const COMPLETED: c_int = 4;
/// `ERT_CMD_STATE_TIMEOUT`.
pub(crate) const TIMEOUT: c_int = 8;

macro_rules! functions {
    ($($name:ident: fn($($arg:ty),* $(, ...$dots:tt)?) -> $ret:ty;)*) => {
        /// XRT's functions.
        #[allow(non_snake_case)]
        #[derive(Clone, Copy)]
        pub(crate) struct Api {
            $(pub(crate) $name: functions!(@type ($($arg),*) $($dots)? -> $ret),)*
        }

        impl Api {
            /// Looks every function up, or names the one that is missing.
            ///
            /// # Safety
            /// `library` is an open `libxrt_coreutil.so.2`.
            pub(crate) unsafe fn bind(library: Handle) -> Result<Self, &'static str> {
                Ok(Self {
                    $($name: {
                        let name = concat!(stringify!($name), "\0");
                        // SAFETY: an open library, and a text that ends with a zero.
                        let found = unsafe { libc::dlsym(library, name.as_ptr().cast()) };
                        if found.is_null() {
                            return Err(stringify!($name));
                        }
                        // SAFETY: the type is that of the function in XRT's headers.
                        unsafe {
                            std::mem::transmute::<
                                Handle,
                                functions!(@type ($($arg),*) $($dots)? -> $ret),
                            >(found)
                        }
                    },)*
                })
            }
        }
    };
    (@type ($($arg:ty),*) -> $ret:ty) => { unsafe extern "C" fn($($arg),*) -> $ret };
    (@type ($($arg:ty),*) values -> $ret:ty) => { unsafe extern "C" fn($($arg),*, ...) -> $ret };
}

functions! {
    xrtDeviceOpen: fn(c_uint) -> Handle;
    xrtDeviceLoadXclbin: fn(Handle, *const c_void) -> c_int;
    xrtDeviceGetXclbinUUID: fn(Handle, *mut u8) -> c_int;
    xrtPLKernelOpen: fn(Handle, *const u8, *const c_char) -> Handle;
    xrtKernelArgGroupId: fn(Handle, c_int) -> c_int;
    xrtKernelClose: fn(Handle) -> c_int;
    xrtBOAlloc: fn(Handle, size_t, u64, u32) -> Handle;
    xrtBOWrite: fn(Handle, *const c_void, size_t, size_t) -> c_int;
    xrtBORead: fn(Handle, *mut c_void, size_t, size_t) -> c_int;
    xrtBOSync: fn(Handle, c_int, size_t, size_t) -> c_int;
    xrtBOFree: fn(Handle) -> c_int;
    xrtRunOpen: fn(Handle) -> Handle;
    xrtRunSetArg: fn(Handle, c_int, ...values) -> c_int;
    xrtRunStart: fn(Handle) -> c_int;
    xrtRunWaitFor: fn(Handle, c_uint) -> c_int;
    xrtRunClose: fn(Handle) -> c_int;
}

impl Api {
    /// Opens XRT. The libraries that lie beside it are opened first where they are needed:
    /// unpacked packages are found by nobody else.
    pub(crate) fn open(file: &CStr, beside: &[&CStr]) -> Result<Self, String> {
        for library in beside {
            // SAFETY: a text that ends with a zero; start-up code of a library that was
            // installed for this. One that is not there is the system's.
            unsafe { libc::dlopen(library.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
        }
        // SAFETY: as above.
        let library = unsafe { libc::dlopen(file.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if library.is_null() {
            // SAFETY: set by the call that failed.
            let reason = unsafe { CStr::from_ptr(libc::dlerror()) };
            return Err(reason.to_string_lossy().into_owned());
        }
        // SAFETY: just opened.
        unsafe { Self::bind(library) }
            .map_err(|name| format!("{} has no function `{name}`", file.to_string_lossy()))
    }
}
