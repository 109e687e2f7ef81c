//! The functions of CUDA that are used: the driver, cuBLAS and NVRTC, each opened when
//! it is first needed. Types and numbers are those of cuda.h, cublas_v2.h and nvrtc.h,
//! which have kept them since CUDA 11.

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::mem::ManuallyDrop;
use vaccel_plugin::{Error, Result, bail, cause, err};

/// A `CUcontext`, `CUmodule`, `CUfunction`, `cublasHandle_t` or `nvrtcProgram`.
pub(crate) type Handle = *mut c_void;
/// A `CUdeviceptr`.
pub(crate) type Address = u64;

pub(crate) const COMPUTE_CAPABILITY_MAJOR: c_int = 75;
pub(crate) const COMPUTE_CAPABILITY_MINOR: c_int = 76;

pub(crate) const INSTALL_DRIVER: &str = "install NVIDIA's driver (Debian: `apt-get install libcuda1`), on a machine with a GPU of theirs";
pub(crate) const INSTALL_TOOLKIT: &str = "install CUDA 11 or later: `apt-get install libcublas11 libnvrtc11.2`, or `pip install nvidia-cublas-cu12 nvidia-cuda-nvrtc-cu12` with their lib folders in LD_LIBRARY_PATH";

/// Opens the first of these files. `ENOENT` has the dynamic linker's words.
fn open(files: &[&str], remedy: &str) -> Result<Library> {
    let mut said = Vec::new();
    for file in files {
        // SAFETY: constructors of NVIDIA's libraries do nothing of note.
        match unsafe { Library::open(Some(*file), RTLD_NOW | RTLD_LOCAL) } {
            Ok(library) => return Ok(library),
            Err(error) => said.push(cause(&error)),
        }
    }
    // The first is the one that a new installation has; the others only repeat it.
    bail!(
        ENOENT,
        "cannot open {} ({}); {remedy}",
        files[0],
        said.first().map_or("", String::as_str)
    )
}

macro_rules! library {
    ($(#[$doc:meta])* $library:ident from $files:expr, $remedy:expr;
     $($field:ident = $name:ident($($type:ty),*);)*) => {
        $(#[$doc])*
        pub(crate) struct $library {
            $(pub(crate) $field: unsafe extern "C" fn($($type),*) -> c_int,)*
            /// Never unloaded: it has threads, and state in the driver.
            _library: ManuallyDrop<Library>,
        }

        impl $library {
            /// Opens it; `ENOENT` says what to install.
            pub(crate) fn open() -> Result<Self> {
                let library = open($files, $remedy)?;
                Ok(Self {
                    $($field: {
                        // SAFETY: the type is that of NVIDIA's header.
                        let symbol = unsafe { library.get(concat!(stringify!($name), "\0").as_bytes()) };
                        *symbol.map_err(|error| err!(
                            ENOENT,
                            "{} has no {} ({}); {}",
                            $files[0], stringify!($name), cause(&error), $remedy
                        ))?
                    },)*
                    _library: ManuallyDrop::new(library),
                })
            }
        }
    };
}

library! {
    /// The driver.
    Driver from &["libcuda.so.1", "libcuda.so"], INSTALL_DRIVER;
    init = cuInit(c_uint);
    version = cuDriverGetVersion(*mut c_int);
    count = cuDeviceGetCount(*mut c_int);
    device = cuDeviceGet(*mut c_int, c_int);
    name = cuDeviceGetName(*mut c_char, c_int, c_int);
    memory = cuDeviceTotalMem_v2(*mut usize, c_int);
    attribute = cuDeviceGetAttribute(*mut c_int, c_int, c_int);
    retain = cuDevicePrimaryCtxRetain(*mut Handle, c_int);
    release = cuDevicePrimaryCtxRelease_v2(c_int);
    set_current = cuCtxSetCurrent(Handle);
    synchronize = cuCtxSynchronize();
    allocate = cuMemAlloc_v2(*mut Address, usize);
    free = cuMemFree_v2(Address);
    write = cuMemcpyHtoD_v2(Address, *const c_void, usize);
    read = cuMemcpyDtoH_v2(*mut c_void, Address, usize);
    copy = cuMemcpyDtoD_v2(Address, Address, usize);
    load = cuModuleLoadData(*mut Handle, *const c_void);
    unload = cuModuleUnload(Handle);
    function = cuModuleGetFunction(*mut Handle, Handle, *const c_char);
    launch = cuLaunchKernel(Handle, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, Handle, *mut *mut c_void, *mut *mut c_void);
    error_name = cuGetErrorName(c_int, *mut *const c_char);
}

library! {
    /// cuBLAS.
    Blas from &["libcublas.so.12", "libcublas.so.13", "libcublas.so.11", "libcublas.so"], INSTALL_TOOLKIT;
    create = cublasCreate_v2(*mut Handle);
    destroy = cublasDestroy_v2(Handle);
    sgemm = cublasSgemm_v2(Handle, c_int, c_int, c_int, c_int, c_int, *const f32, Address, c_int, Address, c_int, *const f32, Address, c_int);
}

library! {
    /// The compiler of kernels.
    Compiler from &["libnvrtc.so.12", "libnvrtc.so.13", "libnvrtc.so.11.2", "libnvrtc.so"], INSTALL_TOOLKIT;
    create = nvrtcCreateProgram(*mut Handle, *const c_char, *const c_char, c_int, *const *const c_char, *const *const c_char);
    compile = nvrtcCompileProgram(Handle, c_int, *const *const c_char);
    ptx_size = nvrtcGetPTXSize(Handle, *mut usize);
    ptx = nvrtcGetPTX(Handle, *mut c_char);
    log_size = nvrtcGetProgramLogSize(Handle, *mut usize);
    log = nvrtcGetProgramLog(Handle, *mut c_char);
    destroy = nvrtcDestroyProgram(*mut Handle);
}

impl Driver {
    /// `Err` unless the status is 0, with its name.
    pub(crate) fn check(&self, what: &str, status: c_int) -> Result<()> {
        if status == 0 {
            return Ok(());
        }
        let mut name = std::ptr::null();
        // SAFETY: a place for a static text.
        let known = unsafe { (self.error_name)(status, &raw mut name) } == 0 && !name.is_null();
        let name = if known {
            // SAFETY: the driver's own text.
            unsafe { CStr::from_ptr(name) }.to_string_lossy()
        } else {
            "an error of CUDA".into()
        };
        Err(match status {
            2 => err!(ENOMEM, "{what}: {name} ({status})"),
            // No device, and kinds of drivers that do not fit.
            3 | 34 | 35 | 100 | 101 | 803 | 804 => {
                err!(ENODEV, "{what}: {name} ({status}); {INSTALL_DRIVER}")
            }
            _ => err!(EIO, "{what}: {name} ({status})"),
        })
    }
}

/// An error of cuBLAS or NVRTC, which have small numbers of their own.
pub(crate) fn failed(what: &str, status: c_int) -> Error {
    err!(EIO, "{what} failed with status {status}")
}
