//! The functions of OpenCL that are used, found in the loader when they are first
//! needed. Types and numbers are those of the Khronos headers (CL/cl.h 1.2).

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::ffi::{c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use vaccel_plugin::{Error, Result, bail, cause, err};

/// A `cl_platform_id`, `cl_device_id`, `cl_mem` and so on: all are pointers.
pub(crate) type Handle = *mut c_void;

pub(crate) const DEVICE_TYPE_CPU: u64 = 2;
pub(crate) const DEVICE_TYPE_GPU: u64 = 4;
pub(crate) const DEVICE_TYPE_ACCELERATOR: u64 = 8;
pub(crate) const DEVICE_TYPE_ALL: u64 = 0xffff_ffff;
pub(crate) const PLATFORM_VERSION: u32 = 0x0901;
pub(crate) const PLATFORM_NAME: u32 = 0x0902;
pub(crate) const DEVICE_TYPE: u32 = 0x1000;
pub(crate) const DEVICE_MAX_WORK_GROUP_SIZE: u32 = 0x1004;
pub(crate) const DEVICE_GLOBAL_MEM_SIZE: u32 = 0x101f;
pub(crate) const DEVICE_LOCAL_MEM_SIZE: u32 = 0x1023;
pub(crate) const DEVICE_NAME: u32 = 0x102b;
pub(crate) const DEVICE_EXTENSIONS: u32 = 0x1030;
pub(crate) const PROGRAM_BUILD_LOG: u32 = 0x1183;
pub(crate) const KERNEL_NUM_ARGS: u32 = 0x1191;
pub(crate) const PARAMETER_ADDRESS: u32 = 0x1196;
pub(crate) const PARAMETER_TYPE: u32 = 0x1198;
pub(crate) const ADDRESS_GLOBAL: u32 = 0x119b;
pub(crate) const ADDRESS_LOCAL: u32 = 0x119c;
pub(crate) const ADDRESS_CONSTANT: u32 = 0x119d;
pub(crate) const MEM_READ_WRITE: u64 = 1;
pub(crate) const TRUE: u32 = 1;

macro_rules! functions {
    ($($field:ident = $name:ident($($type:ty),*) -> $result:ty;)*) => {
        /// The loader, open for as long as the process lives: drivers have threads.
        pub(crate) struct Api {
            $(pub(crate) $field: unsafe extern "C" fn($($type),*) -> $result,)*
            _library: ManuallyDrop<Library>,
        }

        impl Api {
            fn of(library: Library, file: &str) -> Result<Self> {
                Ok(Self {
                    $($field: {
                        // SAFETY: the type is that of CL/cl.h.
                        let symbol = unsafe { library.get(concat!(stringify!($name), "\0").as_bytes()) };
                        *symbol.map_err(|error| err!(
                            ENOENT,
                            "`{file}` is not an OpenCL loader: it has no {} ({})",
                            stringify!($name),
                            cause(&error)
                        ))?
                    },)*
                    _library: ManuallyDrop::new(library),
                })
            }
        }
    };
}

type Notify = Option<unsafe extern "C" fn(*const c_char, *const c_void, usize, *mut c_void)>;
type Built = Option<unsafe extern "C" fn(Handle, *mut c_void)>;

functions! {
    platforms = clGetPlatformIDs(u32, *mut Handle, *mut u32) -> c_int;
    platform_info = clGetPlatformInfo(Handle, u32, usize, *mut c_void, *mut usize) -> c_int;
    devices = clGetDeviceIDs(Handle, u64, u32, *mut Handle, *mut u32) -> c_int;
    device_info = clGetDeviceInfo(Handle, u32, usize, *mut c_void, *mut usize) -> c_int;
    create_context = clCreateContext(*const isize, u32, *const Handle, Notify, *mut c_void, *mut c_int) -> Handle;
    release_context = clReleaseContext(Handle) -> c_int;
    create_queue = clCreateCommandQueue(Handle, Handle, u64, *mut c_int) -> Handle;
    release_queue = clReleaseCommandQueue(Handle) -> c_int;
    program_of_source = clCreateProgramWithSource(Handle, u32, *const *const c_char, *const usize, *mut c_int) -> Handle;
    program_of_binary = clCreateProgramWithBinary(Handle, u32, *const Handle, *const usize, *const *const u8, *mut c_int, *mut c_int) -> Handle;
    build = clBuildProgram(Handle, u32, *const Handle, *const c_char, Built, *mut c_void) -> c_int;
    build_info = clGetProgramBuildInfo(Handle, Handle, u32, usize, *mut c_void, *mut usize) -> c_int;
    release_program = clReleaseProgram(Handle) -> c_int;
    create_kernel = clCreateKernel(Handle, *const c_char, *mut c_int) -> Handle;
    kernel_info = clGetKernelInfo(Handle, u32, usize, *mut c_void, *mut usize) -> c_int;
    parameter_info = clGetKernelArgInfo(Handle, u32, u32, usize, *mut c_void, *mut usize) -> c_int;
    release_kernel = clReleaseKernel(Handle) -> c_int;
    set_argument = clSetKernelArg(Handle, u32, usize, *const c_void) -> c_int;
    create_buffer = clCreateBuffer(Handle, u64, usize, *mut c_void, *mut c_int) -> Handle;
    release_buffer = clReleaseMemObject(Handle) -> c_int;
    write = clEnqueueWriteBuffer(Handle, Handle, u32, usize, usize, *const c_void, u32, *const Handle, *mut Handle) -> c_int;
    read = clEnqueueReadBuffer(Handle, Handle, u32, usize, usize, *mut c_void, u32, *const Handle, *mut Handle) -> c_int;
    launch = clEnqueueNDRangeKernel(Handle, Handle, u32, *const usize, *const usize, *const usize, u32, *const Handle, *mut Handle) -> c_int;
    finish = clFinish(Handle) -> c_int;
}

/// Where the loader comes from.
pub(crate) const INSTALL_LOADER: &str =
    "install it with `apt-get install ocl-icd-libopencl1`, or name it with VACCEL_OPENCL_LIBRARY";
/// Where a device for everybody comes from.
pub(crate) const INSTALL_DRIVER: &str =
    "install the driver of your device, or `apt-get install pocl-opencl-icd` to use the processor";

impl Api {
    /// Opens the loader: `library`, or the system's. `ENOENT` says what to install.
    pub(crate) fn open(library: Option<&str>) -> Result<Self> {
        let file = library.unwrap_or("libOpenCL.so.1");
        // SAFETY: the constructors of the loader do nothing of note; a path is the
        // choice of who runs this process.
        match unsafe { Library::open(Some(file), RTLD_NOW | RTLD_LOCAL) } {
            Ok(found) => Self::of(found, file),
            Err(error) => bail!(
                ENOENT,
                "cannot open the OpenCL loader `{file}` ({}); {INSTALL_LOADER}",
                cause(&error)
            ),
        }
    }
}

/// An error that names the function, the number and the way out.
#[cold]
pub(crate) fn failed(what: &str, status: c_int) -> Error {
    let name = match status {
        -1 => "CL_DEVICE_NOT_FOUND",
        -2 => "CL_DEVICE_NOT_AVAILABLE",
        -3 => "CL_COMPILER_NOT_AVAILABLE",
        -4 => "CL_MEM_OBJECT_ALLOCATION_FAILURE",
        -5 => "CL_OUT_OF_RESOURCES",
        -6 => "CL_OUT_OF_HOST_MEMORY",
        -11 => "CL_BUILD_PROGRAM_FAILURE",
        -42 => "CL_INVALID_BINARY",
        -46 => "CL_INVALID_KERNEL_NAME",
        -48 => "CL_INVALID_KERNEL",
        -50 => "CL_INVALID_ARG_VALUE",
        -51 => "CL_INVALID_ARG_SIZE",
        -52 => "CL_INVALID_KERNEL_ARGS",
        -54 => "CL_INVALID_WORK_GROUP_SIZE",
        -61 => "CL_INVALID_BUFFER_SIZE",
        -63 => "CL_INVALID_GLOBAL_WORK_SIZE",
        -1001 => "CL_PLATFORM_NOT_FOUND_KHR",
        _ => "an error of OpenCL",
    };
    match status {
        -1 | -2 | -1001 => err!(
            ENODEV,
            "{what}: {name} ({status}): no OpenCL device; {INSTALL_DRIVER}"
        ),
        -4 | -6 | -61 => err!(ENOMEM, "{what}: {name} ({status})"),
        -11 | -42 | -46..=-45 | -48 | -54..=-50 | -63 => {
            err!(EINVAL, "{what}: {name} ({status})")
        }
        _ => err!(EIO, "{what}: {name} ({status})"),
    }
}

/// `Err` unless the status is 0.
pub(crate) fn check(what: &str, status: c_int) -> Result<()> {
    if status == 0 {
        Ok(())
    } else {
        Err(failed(what, status))
    }
}
