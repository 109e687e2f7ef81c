//! The C library at run time: found, opened once, called through a table.
//!
//! A program carries no copy of the runtime and links nothing. The first use
//! opens `libvaccel.so.0`, which stays open for good: plugins and their
//! runtimes do not survive being unmapped. With the feature `static` the library
//! is part of the program, and the table holds its functions.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libc::size_t;
#[cfg(not(feature = "static"))]
use libloading::os::unix::Library as Handle;
use vaccel_abi::CResult;
use vaccel_abi::arg::vaccel_arg;
use vaccel_abi::blob::vaccel_blob;
use vaccel_abi::completion::{vaccel_async_options, vaccel_completion};
use vaccel_abi::config::vaccel_config;
use vaccel_abi::error;
use vaccel_abi::model::{vaccel_model_info, vaccel_tensor};
use vaccel_abi::op::{
    ExecFn, ExecWithResourceFn, FpgaArraycopyFn, FpgaMmultFn, FpgaParallelFn, FpgaVectoraddFn,
    ImageClassifyFn, ImageFn, MinmaxFn, NoopFn, SgemmFn,
};
use vaccel_abi::plugin::{
    BufferAllocFn, BufferFreeFn, DescribeFn, ModelInfoFn, ModelLoadFn, ModelRunFn, ModelUnloadFn,
    ResourceFn, SessionFlagsFn, SessionFn,
};
use vaccel_abi::prof::vaccel_prof_stats;
use vaccel_abi::resource::{ProgressFn, vaccel_resource};
use vaccel_abi::session::vaccel_session;

use crate::error::{Error, Result};
#[cfg(not(feature = "static"))]
use crate::search;

/// A function of completions.
type CompletionFn = unsafe extern "C" fn(*mut vaccel_completion) -> CResult;

/// Submits an image operation whose answer is the name of a picture.
pub type ImageAsyncFn = unsafe extern "C" fn(
    *mut vaccel_session,
    *const c_void,
    *mut u8,
    size_t,
    size_t,
    *const vaccel_async_options,
    *mut *mut vaccel_completion,
) -> CResult;

macro_rules! functions {
    (
        required { $($field:ident: $type:ty = $symbol:literal;)* }
        optional { $($ofield:ident: $otype:ty = $osymbol:literal;)* }
    ) => {
        /// The C functions that this crate calls.
        ///
        /// Those in an `Option` are not part of the C implementation's library:
        /// they are missing when a program runs on it.
        #[derive(Clone, Copy)]
        #[non_exhaustive]
        pub struct Functions {
            $(#[doc = concat!("`", $symbol, "`")] pub $field: $type,)*
            $(#[doc = concat!("`", $osymbol, "`")] pub $ofield: Option<$otype>,)*
        }

        impl Functions {
            /// Looks the functions up in an open library.
            ///
            /// # Safety
            /// The library must be a libvaccel: its functions must have the
            /// signatures given here.
            #[cfg(not(feature = "static"))]
            unsafe fn load(library: &Handle) -> Result<Self, &'static str> {
                Ok(Self {
                    $($field: {
                        // SAFETY: the caller vouches for the signature.
                        let found = unsafe { library.get::<$type>(concat!($symbol, "\0").as_bytes()) };
                        *found.map_err(|_| $symbol)?
                    },)*
                    $($ofield: {
                        // SAFETY: the caller vouches for the signature.
                        let found = unsafe { library.get::<$otype>(concat!($osymbol, "\0").as_bytes()) };
                        found.ok().map(|function| *function)
                    },)*
                })
            }

            /// The functions that are part of the program.
            #[cfg(feature = "static")]
            fn linked() -> Self {
                Self {
                    $($field: linked!($symbol as $type),)*
                    $($ofield: Some(linked!($osymbol as $otype)),)*
                }
            }
        }
    };
}

/// The address of a function that is linked in, by its C name.
#[cfg(feature = "static")]
macro_rules! linked {
    ($symbol:literal as $type:ty) => {{
        unsafe extern "C" {
            #[link_name = $symbol]
            static FUNCTION: c_void;
        }
        // SAFETY: the exported function of that name, which has this type by the ABI.
        unsafe { std::mem::transmute::<*const c_void, $type>(&raw const FUNCTION) }
    }};
}

functions! {
    required {
        bootstrap_with_config: unsafe extern "C" fn(*mut vaccel_config) -> CResult = "vaccel_bootstrap_with_config";
        cleanup: unsafe extern "C" fn() -> CResult = "vaccel_cleanup";
        is_initialized: unsafe extern "C" fn() -> bool = "vaccel_is_initialized";
        rundir: unsafe extern "C" fn() -> *const c_char = "vaccel_rundir";
        plugin_load: unsafe extern "C" fn(*const c_char) -> CResult = "vaccel_plugin_load";
        config_init: unsafe extern "C" fn(*mut vaccel_config, *const c_char, u32, *const c_char, bool, bool) -> CResult = "vaccel_config_init";
        config_release: unsafe extern "C" fn(*mut vaccel_config) -> CResult = "vaccel_config_release";
        session_new: unsafe extern "C" fn(*mut *mut vaccel_session, u32) -> CResult = "vaccel_session_new";
        session_delete: SessionFn = "vaccel_session_delete";
        session_update: SessionFlagsFn = "vaccel_session_update";
        session_has_resource: unsafe extern "C" fn(*mut vaccel_session, *mut vaccel_resource) -> bool = "vaccel_session_has_resource";
        resource_new: unsafe extern "C" fn(*mut *mut vaccel_resource, *const c_char, u32) -> CResult = "vaccel_resource_new";
        resource_multi_new: unsafe extern "C" fn(*mut *mut vaccel_resource, *mut *const c_char, size_t, u32) -> CResult = "vaccel_resource_multi_new";
        resource_from_buf: unsafe extern "C" fn(*mut *mut vaccel_resource, *const c_void, size_t, u32, *const c_char, bool) -> CResult = "vaccel_resource_from_buf";
        resource_from_blobs: unsafe extern "C" fn(*mut *mut vaccel_resource, *mut *const vaccel_blob, size_t, u32) -> CResult = "vaccel_resource_from_blobs";
        resource_delete: unsafe extern "C" fn(*mut vaccel_resource) -> CResult = "vaccel_resource_delete";
        resource_register: ResourceFn = "vaccel_resource_register";
        resource_unregister: ResourceFn = "vaccel_resource_unregister";
        resource_sync: ResourceFn = "vaccel_resource_sync";
        blob_from_buf: unsafe extern "C" fn(*mut *mut vaccel_blob, *const u8, size_t, bool, *const c_char, *const c_char, bool) -> CResult = "vaccel_blob_from_buf";
        blob_delete: unsafe extern "C" fn(*mut vaccel_blob) -> CResult = "vaccel_blob_delete";
        blob_data: unsafe extern "C" fn(*mut vaccel_blob, *mut size_t) -> *mut u8 = "vaccel_blob_data";
        noop: NoopFn = "vaccel_noop";
        exec: ExecFn = "vaccel_exec";
        exec_with_resource: ExecWithResourceFn = "vaccel_exec_with_resource";
        image_classification: ImageClassifyFn = "vaccel_image_classification";
        image_detection: ImageFn = "vaccel_image_detection";
        image_segmentation: ImageFn = "vaccel_image_segmentation";
        image_pose: ImageFn = "vaccel_image_pose";
        image_depth: ImageFn = "vaccel_image_depth";
        sgemm: SgemmFn = "vaccel_sgemm";
        minmax: MinmaxFn = "vaccel_minmax";
        fpga_arraycopy: FpgaArraycopyFn = "vaccel_fpga_arraycopy";
        fpga_mmult: FpgaMmultFn = "vaccel_fpga_mmult";
        fpga_parallel: FpgaParallelFn = "vaccel_fpga_parallel";
        fpga_vadd: FpgaVectoraddFn = "vaccel_fpga_vadd";
        genop: unsafe extern "C" fn(*mut vaccel_session, *mut vaccel_arg, c_int, *mut vaccel_arg, c_int) -> CResult = "vaccel_genop";
    }
    optional {
        prof_op_stats: unsafe extern "C" fn(*mut vaccel_session, u32, *mut vaccel_prof_stats) -> CResult = "vaccel_prof_op_stats";
        model_load: ModelLoadFn = "vaccel_model_load";
        model_unload: ModelUnloadFn = "vaccel_model_unload";
        model_run: ModelRunFn = "vaccel_model_run";
        model_info: ModelInfoFn = "vaccel_model_info";
        model_info_release: unsafe extern "C" fn(*mut vaccel_model_info) = "vaccel_model_info_release";
        error_message: unsafe extern "C" fn() -> *const c_char = "vaccel_error_message";
        error_set: unsafe extern "C" fn(*const c_char) = "vaccel_error_set";
        version: unsafe extern "C" fn() -> *const c_char = "vaccel_version";
        describe: DescribeFn = "vaccel_describe";
        completion_poll: CompletionFn = "vaccel_completion_poll";
        completion_wait: unsafe extern "C" fn(*mut vaccel_completion, i64) -> CResult = "vaccel_completion_wait";
        completion_cancel: CompletionFn = "vaccel_completion_cancel";
        completion_result: CompletionFn = "vaccel_completion_result";
        completion_free: CompletionFn = "vaccel_completion_free";
        session_set_trace: unsafe extern "C" fn(*mut vaccel_session, *const c_char) -> CResult = "vaccel_session_set_trace";
        session_set_timeout: unsafe extern "C" fn(*mut vaccel_session, u64) -> CResult = "vaccel_session_set_timeout";
        noop_async: unsafe extern "C" fn(*mut vaccel_session, *const vaccel_async_options, *mut *mut vaccel_completion) -> CResult = "vaccel_noop_async";
        sgemm_async: unsafe extern "C" fn(*mut vaccel_session, i64, i64, i64, f32, *mut f32, i64, *mut f32, i64, f32, *mut f32, i64, *const vaccel_async_options, *mut *mut vaccel_completion) -> CResult = "vaccel_sgemm_async";
        minmax_async: unsafe extern "C" fn(*mut vaccel_session, *const f64, c_int, c_int, c_int, *mut f64, *mut f64, *mut f64, *const vaccel_async_options, *mut *mut vaccel_completion) -> CResult = "vaccel_minmax_async";
        image_classification_async: unsafe extern "C" fn(*mut vaccel_session, *const c_void, *mut u8, *mut u8, size_t, size_t, size_t, *const vaccel_async_options, *mut *mut vaccel_completion) -> CResult = "vaccel_image_classification_async";
        image_detection_async: ImageAsyncFn = "vaccel_image_detection_async";
        image_segmentation_async: ImageAsyncFn = "vaccel_image_segmentation_async";
        image_pose_async: ImageAsyncFn = "vaccel_image_pose_async";
        image_depth_async: ImageAsyncFn = "vaccel_image_depth_async";
        exec_async: unsafe extern "C" fn(*mut vaccel_session, *const c_char, *const c_char, *mut vaccel_arg, size_t, *mut vaccel_arg, size_t, *const vaccel_async_options, *mut *mut vaccel_completion) -> CResult = "vaccel_exec_async";
        exec_with_resource_async: unsafe extern "C" fn(*mut vaccel_session, *mut vaccel_resource, *const c_char, *mut vaccel_arg, size_t, *mut vaccel_arg, size_t, *const vaccel_async_options, *mut *mut vaccel_completion) -> CResult = "vaccel_exec_with_resource_async";
        model_run_async: unsafe extern "C" fn(*mut vaccel_session, *mut vaccel_resource, *const vaccel_tensor, size_t, *mut vaccel_tensor, size_t, *const vaccel_async_options, *mut *mut vaccel_completion) -> CResult = "vaccel_model_run_async";
        buffer_alloc: BufferAllocFn = "vaccel_buffer_alloc";
        buffer_free: BufferFreeFn = "vaccel_buffer_free";
        progress_set: unsafe extern "C" fn(Option<ProgressFn>, *mut c_void) -> CResult = "vaccel_progress_set";
        tensor_keep: unsafe extern "C" fn(*mut vaccel_session, *const vaccel_tensor, *mut vaccel_tensor) -> CResult = "vaccel_tensor_keep";
        tensor_fetch: unsafe extern "C" fn(*mut vaccel_session, *const vaccel_tensor, *mut vaccel_tensor) -> CResult = "vaccel_tensor_fetch";
        tensor_release: unsafe extern "C" fn(*mut vaccel_tensor) -> CResult = "vaccel_tensor_release";
    }
}

/// The open `libvaccel.so.0`.
///
/// There is one for the whole process, given by [`Library::get`]; every other
/// call of this crate opens it when it is the first.
pub struct Library {
    functions: Functions,
    path: PathBuf,
}

impl Library {
    /// The library, opened by the first call in the process.
    ///
    /// Looked for in this order: one the process has loaded already;
    /// `$VACCEL_LIBRARY`; beside the executable; `../lib` and `../lib64` from there;
    /// `libvaccel.so` in cargo's target folder; the system's library path.
    ///
    /// # Errors
    /// `ENOENT` when there is none, with the places that were tried;
    /// `ELIBBAD` when what was found is not a libvaccel. The answer stays the
    /// same for the life of the process.
    pub fn get() -> Result<&'static Self> {
        static LIBRARY: OnceLock<Result<Library>> = OnceLock::new();
        LIBRARY
            .get_or_init(Self::open)
            .as_ref()
            .map_err(Clone::clone)
    }

    /// The C functions, for what this crate has no safe call for.
    #[must_use]
    pub fn functions(&self) -> &Functions {
        &self.functions
    }

    /// Where the library was found; its bare name when the system's search found it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Version of the library, or `None` for the C implementation, which does not tell.
    #[must_use]
    pub fn version(&self) -> Option<&'static str> {
        let version = self.functions.version?;
        // SAFETY: the function takes nothing and returns null or a constant string.
        let text = unsafe { version() };
        // SAFETY: as above; constants of a library that is never closed live for good.
        (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_str().ok())?
    }

    #[cfg(feature = "static")]
    fn open() -> Result<Self> {
        // What makes the linker take the library in.
        use vaccel_static as _;
        Ok(Self {
            functions: Functions::linked(),
            path: PathBuf::from("(part of the program)"),
        })
    }

    #[cfg(not(feature = "static"))]
    fn open() -> Result<Self> {
        let (handle, path) = search::open()?;
        // SAFETY: the file has the name of libvaccel or was named by the user as such.
        let functions = unsafe { Functions::load(&handle) };
        // Never closed: see the module's first lines.
        std::mem::forget(handle);
        match functions {
            Ok(functions) => Ok(Self { functions, path }),
            Err(symbol) => Err(Error::new(
                error::ELIBBAD,
                format!("{} is not a libvaccel: it has no {symbol}", path.display()),
            )),
        }
    }

    /// Turns the result of a C function into an error with the library's own words.
    pub(crate) fn check(&self, what: &str, code: CResult) -> Result<()> {
        if code == error::OK {
            return Ok(());
        }
        Err(Error::new(code, self.message(what, code)))
    }

    fn message(&self, what: &str, code: CResult) -> String {
        if let Some(error_message) = self.functions.error_message {
            // SAFETY: takes nothing; returns null or a string that stays until
            // the next call of the library by this thread.
            let text = unsafe { error_message() };
            if !text.is_null() {
                // SAFETY: not null, so a zero-terminated string; copied at once.
                let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
                if !text.is_empty() {
                    return text.into_owned();
                }
            }
        }
        format!("{what}: {}", error::describe(code))
    }

    /// A function that the C implementation's library does not have.
    pub(crate) fn extension<F: Copy>(&self, function: Option<F>, name: &str) -> Result<F> {
        function.ok_or_else(|| {
            Error::new(
                error::ENOTSUP,
                format!(
                    "{} has no {name}; it is older than this program needs",
                    self.path.display()
                ),
            )
        })
    }
}
