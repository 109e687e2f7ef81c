//! A plugin made of C functions: what [`export_plugin!`](crate::export_plugin)
//! is built on, and what a transport uses, which passes pointers on and needs
//! none of the safe views.
//!
//! ```
//! use vaccel_plugin::abi::{CResult, plugin::PLUGIN_REMOTE, session::vaccel_session};
//! use vaccel_plugin::raw::{RawOps, RawPlugin, guard};
//!
//! unsafe extern "C" fn noop(session: *mut vaccel_session) -> CResult {
//!     guard(c"relay", "noop", || {
//!         if session.is_null() {
//!             vaccel_plugin::bail!(EINVAL, "the session is null");
//!         }
//!         Ok(())
//!     })
//! }
//!
//! static RELAY: RawPlugin = RawPlugin {
//!     transport: true,
//!     ops: RawOps { noop: Some(noop), ..RawOps::NONE },
//!     ..RawPlugin::new(c"relay", vaccel_plugin::version!(), PLUGIN_REMOTE)
//! };
//! vaccel_plugin::export_raw_plugin!(RELAY);
//! # fn main() {}
//! ```

use crate::error::{Error, Result};
use crate::{host, log};
use std::any::Any;
use std::cell::UnsafeCell;
use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use vaccel_abi::CResult;
use vaccel_abi::error as code;
use vaccel_abi::list::vaccel_list_entry;
use vaccel_abi::op::{self, OP_MAX, vaccel_op};
use vaccel_abi::plugin::{
    PLUGIN_EXT_VERSION, PlainFn, PluginType, ResourceFn, SessionFlagsFn, SessionFn, vaccel_plugin,
    vaccel_plugin_ext, vaccel_plugin_info,
};

macro_rules! raw_ops {
    ($($field:ident: $type:ident = $code:ident;)*) => {
        /// One optional C function for each operation, of the operation's own type.
        #[derive(Debug, Clone, Copy)]
        pub struct RawOps {
            $(#[doc = concat!("`", stringify!($code), "`.")] pub $field: Option<op::$type>,)*
        }

        impl RawOps {
            /// No operation at all.
            pub const NONE: Self = Self { $($field: None),* };

            fn function(&self, code: op::OpType) -> *mut libc::c_void {
                match code {
                    $(op::$code => self.$field.map_or(std::ptr::null_mut(), |f| f as *mut libc::c_void),)*
                    _ => std::ptr::null_mut(),
                }
            }
        }
    };
}

raw_ops! {
    noop: NoopFn = OP_NOOP;
    exec: ExecFn = OP_EXEC;
    exec_with_resource: ExecWithResourceFn = OP_EXEC_WITH_RESOURCE;
    image_classify: ImageClassifyFn = OP_IMAGE_CLASSIFY;
    image_detect: ImageFn = OP_IMAGE_DETECT;
    image_segment: ImageFn = OP_IMAGE_SEGMENT;
    image_pose: ImageFn = OP_IMAGE_POSE;
    image_depth: ImageFn = OP_IMAGE_DEPTH;
    tf_model_load: TfModelFn = OP_TF_MODEL_LOAD;
    tf_model_unload: TfModelFn = OP_TF_MODEL_UNLOAD;
    tf_model_run: TfModelRunFn = OP_TF_MODEL_RUN;
    tflite_model_load: ModelFn = OP_TFLITE_MODEL_LOAD;
    tflite_model_unload: ModelFn = OP_TFLITE_MODEL_UNLOAD;
    tflite_model_run: TfliteModelRunFn = OP_TFLITE_MODEL_RUN;
    torch_model_load: ModelFn = OP_TORCH_MODEL_LOAD;
    torch_model_run: TorchModelRunFn = OP_TORCH_MODEL_RUN;
    torch_sgemm: TorchSgemmFn = OP_TORCH_SGEMM;
    sgemm: SgemmFn = OP_BLAS_SGEMM;
    fpga_arraycopy: FpgaArraycopyFn = OP_FPGA_ARRAYCOPY;
    fpga_mmult: FpgaMmultFn = OP_FPGA_MMULT;
    fpga_parallel: FpgaParallelFn = OP_FPGA_PARALLEL;
    fpga_vectoradd: FpgaVectoraddFn = OP_FPGA_VECTORADD;
    minmax: MinmaxFn = OP_MINMAX;
    opencv: OpencvFn = OP_OPENCV;
}

/// Everything a plugin exports, as data.
///
/// The C functions must not let a panic out ([`guard`] sees to it) and must
/// check what they are given.
#[derive(Debug, Clone, Copy)]
pub struct RawPlugin {
    /// Short name, for example `rpc`.
    pub name: &'static CStr,
    /// Version of the plugin; see [`version!`](crate::version).
    pub version: &'static CStr,
    /// `PLUGIN_*` bits.
    pub types: PluginType,
    /// True for a transport: its sessions and resources live elsewhere.
    pub transport: bool,
    /// Called once after loading. A panic in it is an error like any other.
    pub init: Option<fn() -> Result<()>>,
    /// Called once before unloading, and also after a failed `init`.
    pub fini: Option<fn()>,
    /// Opens the remote session; sets `remote_id`. The library calls it while
    /// the rest of the session is not filled yet.
    pub session_init: Option<SessionFlagsFn>,
    /// Closes it.
    pub session_release: Option<SessionFn>,
    /// Changes its flags.
    pub session_update: Option<SessionFlagsFn>,
    /// Takes a resource; a transport sets `remote_id`.
    pub resource_register: Option<ResourceFn>,
    /// Gives it back.
    pub resource_unregister: Option<ResourceFn>,
    /// Brings the caller's copy up to date.
    pub resource_sync: Option<ResourceFn>,
    /// The operations.
    pub ops: RawOps,
    /// The operations beyond the fixed table; see [`ext`].
    pub ext: vaccel_plugin_ext,
}

/// An extension table that offers nothing yet.
#[must_use]
pub const fn ext() -> vaccel_plugin_ext {
    vaccel_plugin_ext {
        size: size_of::<vaccel_plugin_ext>(),
        version: PLUGIN_EXT_VERSION,
        model_load: None,
        model_unload: None,
        model_run: None,
        model_info: None,
        describe: None,
        buffer_alloc: None,
        buffer_free: None,
        tensor_keep: None,
        tensor_fetch: None,
        tensor_free: None,
        call_submit: None,
        call_cancel: None,
        call_drive: None,
        call_watch: None,
        call_forget: None,
        session_timeout: None,
        model_judge: None,
        session_trace: None,
    }
}

impl RawPlugin {
    /// A plugin that offers nothing yet: the base of a struct update.
    #[must_use]
    pub const fn new(name: &'static CStr, version: &'static CStr, types: PluginType) -> Self {
        Self {
            name,
            version,
            types,
            transport: false,
            init: None,
            fini: None,
            session_init: None,
            session_release: None,
            session_update: None,
            resource_register: None,
            resource_unregister: None,
            resource_sync: None,
            ops: RawOps::NONE,
            ext: ext(),
        }
    }

    /// What the library reads: `init` and `fini` are the C functions that the
    /// export macro made.
    #[doc(hidden)]
    #[must_use]
    pub const fn info(&self, init: PlainFn, fini: PlainFn) -> vaccel_plugin_info {
        vaccel_plugin_info {
            name: self.name.as_ptr(),
            version: self.version.as_ptr(),
            // The library compares it with its own; the SDK is versioned with it.
            vaccel_version: crate::version!().as_ptr(),
            init: Some(init),
            fini: Some(fini),
            is_virtio: self.transport,
            type_: self.types,
            session_init: self.session_init,
            session_release: self.session_release,
            session_update: self.session_update,
            resource_register: self.resource_register,
            resource_unregister: self.resource_unregister,
            resource_sync: self.resource_sync,
        }
    }
}

/// The memory behind the symbol `vaccel_plugin`: the library writes its list
/// entry and handle there, `init` the operations.
#[doc(hidden)]
pub struct Table {
    plugin: UnsafeCell<vaccel_plugin>,
    ops: UnsafeCell<[vaccel_op; OP_MAX as usize]>,
}

// SAFETY: written by `init` alone, which the library calls once and before any
// operation; afterwards only read, or written by the library under its own lock.
unsafe impl Sync for Table {}

/// `vaccel_plugin_info` in a static.
#[doc(hidden)]
pub struct Info(pub vaccel_plugin_info);

// SAFETY: constant; its pointers are to static strings and functions.
unsafe impl Sync for Info {}

/// The data symbol `vaccel_plugin`: a pointer to the plugin's structure.
#[doc(hidden)]
#[repr(transparent)]
pub struct PluginSymbol(*mut vaccel_plugin);

// SAFETY: a constant address; what is behind it is `Table`'s business.
unsafe impl Sync for PluginSymbol {}

impl Table {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(info: &'static Info) -> Self {
        const NULL_OP: vaccel_op = vaccel_op {
            type_: 0,
            func: std::ptr::null_mut(),
            owner: std::ptr::null_mut(),
        };
        Self {
            plugin: UnsafeCell::new(vaccel_plugin {
                dl_handle: std::ptr::null_mut(),
                entry: vaccel_list_entry {
                    next: std::ptr::null_mut(),
                    prev: std::ptr::null_mut(),
                },
                ops: [std::ptr::null_mut(); OP_MAX as usize],
                info: &raw const info.0,
            }),
            ops: UnsafeCell::new([NULL_OP; OP_MAX as usize]),
        }
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn symbol(&'static self) -> PluginSymbol {
        PluginSymbol(self.plugin.get())
    }

    /// Address of the plugin's structure.
    #[doc(hidden)]
    #[must_use]
    pub const fn as_ptr(&'static self) -> *mut vaccel_plugin {
        self.plugin.get()
    }

    /// The plugin's `init`: fills the table, finds the host, calls the author's
    /// own. No function of the host is needed to register the operations.
    #[doc(hidden)]
    pub fn init(&'static self, raw: &RawPlugin) -> CResult {
        host::refresh();
        guard(raw.name, "init", || {
            self.fill(&raw.ops);
            raw.init.map_or(Ok(()), |init| init())
        })
    }

    fn fill(&'static self, ops: &RawOps) {
        let plugin = self.plugin.get();
        for type_ in 0..OP_MAX {
            let func = ops.function(type_);
            let slot = if func.is_null() {
                std::ptr::null_mut()
            } else {
                // SAFETY: in range of the array.
                let entry = unsafe { self.ops.get().cast::<vaccel_op>().add(type_ as usize) };
                // SAFETY: only `init` writes here, before any operation runs.
                unsafe {
                    entry.write(vaccel_op {
                        type_,
                        func,
                        owner: plugin,
                    });
                }
                entry
            };
            // SAFETY: as above; written through the raw pointer, for the library
            // holds one too.
            unsafe { (&raw mut (*plugin).ops[type_ as usize]).write(slot) };
        }
    }

    /// The plugin's `fini`.
    #[doc(hidden)]
    pub fn fini(&'static self, raw: &RawPlugin) -> CResult {
        guard(raw.name, "fini", || {
            if let Some(fini) = raw.fini {
                fini();
            }
            Ok(())
        })
    }
}

/// Runs the body of a C function: an error is reported and becomes its code, a
/// panic becomes `EFAULT` with the panic's text.
#[inline]
pub fn guard(plugin: &'static CStr, what: &'static str, f: impl FnOnce() -> Result<()>) -> CResult {
    match catch(f) {
        Ok(()) => code::OK,
        Err(e) => report(plugin, what, &e),
    }
}

/// Runs `f`; a panic becomes `EFAULT` with the panic's text.
#[inline]
pub fn catch<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    // State that a panic leaves half-changed is the author's to guard (a
    // poisoned Mutex says so); unwinding into C would be worse than either.
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => result,
        Err(payload) => Err(from_panic(payload)),
    }
}

#[cold]
fn from_panic(payload: Box<dyn Any + Send>) -> Error {
    let text = match payload.downcast::<&'static str>() {
        Ok(text) => (*text).to_owned(),
        Err(payload) => match payload.downcast::<String>() {
            Ok(text) => *text,
            Err(other) => {
                // A payload of the author's own type may panic again in its drop.
                std::mem::forget(other);
                "no text".to_owned()
            }
        },
    };
    Error::new(code::EFAULT, format!("the plugin panicked: {text}"))
}

/// Makes an error known and returns its code. A library that keeps error texts
/// logs them too, so then there is a line for debugging only; also for `ERANGE`,
/// which is how a caller asks for a size.
#[cold]
pub fn report(plugin: &CStr, what: &str, e: &Error) -> CResult {
    let plugin = plugin.to_string_lossy();
    // The library knows what it called, and says so itself.
    let told = host::set_error(&log::c_text(format!("{plugin}: {}", e.message())));
    let level = if told || e.code() == code::ERANGE {
        log::Level::Debug
    } else {
        log::Level::Error
    };
    log::write(level, format_args!("{plugin}: {what}: {}", e.message()));
    e.code()
}

/// Version of the crate where this is written, as a C string.
#[macro_export]
macro_rules! version {
    () => {{
        const VERSION: &::std::ffi::CStr = match ::std::ffi::CStr::from_bytes_with_nul(
            ::std::concat!(::std::env!("CARGO_PKG_VERSION"), "\0").as_bytes(),
        ) {
            Ok(version) => version,
            Err(_) => ::std::panic!("CARGO_PKG_VERSION holds a zero byte"),
        };
        VERSION
    }};
}

/// Exports a `static` [`RawPlugin`] as the symbols `vaccel_plugin` and
/// `vaccel_plugin_ext`. Once in a crate.
#[macro_export]
macro_rules! export_raw_plugin {
    ($raw:path) => {
        const _: () = {
            extern "C" fn init() -> $crate::abi::CResult {
                TABLE.init(&$raw)
            }
            extern "C" fn fini() -> $crate::abi::CResult {
                TABLE.fini(&$raw)
            }
            static INFO: $crate::raw::Info = $crate::raw::Info($raw.info(init, fini));
            static TABLE: $crate::raw::Table = $crate::raw::Table::new(&INFO);
            static EXT: $crate::abi::plugin::vaccel_plugin_ext = $raw.ext;

            /// What the library looks for.
            #[unsafe(export_name = "vaccel_plugin")]
            pub static PLUGIN: $crate::raw::PluginSymbol = TABLE.symbol();
            /// Operations beyond the fixed table.
            #[unsafe(export_name = "vaccel_plugin_ext")]
            pub static PLUGIN_EXT: &$crate::abi::plugin::vaccel_plugin_ext = &EXT;
        };
    };
}
