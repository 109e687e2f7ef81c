//! What a plugin exports, and what the library keeps of it.

use crate::CResult;
use crate::completion::{CallDriveFn, CallFn, CallSubmitFn, SessionTimeoutFn, SessionTraceFn};
use crate::list::vaccel_list_entry;
use crate::model::{vaccel_model_info, vaccel_tensor};
use crate::op::{OP_MAX, OpType, vaccel_op};
use crate::resource::vaccel_resource;
use crate::session::vaccel_session;
use libc::{c_char, c_uint, c_void, size_t};

/// `vaccel_plugin_type_t`: bits of the `PLUGIN_*` constants.
pub type PluginType = c_uint;
/// Runs on the processor.
pub const PLUGIN_CPU: PluginType = 1;
/// Runs on a GPU.
pub const PLUGIN_GPU: PluginType = 2;
/// Runs on an FPGA.
pub const PLUGIN_FPGA: PluginType = 4;
/// Needs no device.
pub const PLUGIN_SOFTWARE: PluginType = 8;
/// Runs TensorFlow models.
pub const PLUGIN_TENSORFLOW: PluginType = 16;
/// Runs Torch models.
pub const PLUGIN_TORCH: PluginType = 32;
/// Runs on an NVIDIA Jetson.
pub const PLUGIN_JETSON: PluginType = 64;
/// Serves several kinds.
pub const PLUGIN_GENERIC: PluginType = 128;
/// For tests.
pub const PLUGIN_DEBUG: PluginType = 256;
/// Hands the call to another machine.
pub const PLUGIN_REMOTE: PluginType = 16384;
/// Any.
pub const PLUGIN_ALL: PluginType = 65535;

/// Callback with a session.
pub type SessionFn = unsafe extern "C" fn(*mut vaccel_session) -> CResult;
/// Callback with a session and its flags.
pub type SessionFlagsFn = unsafe extern "C" fn(*mut vaccel_session, u32) -> CResult;
/// Callback with a resource and a session.
pub type ResourceFn = unsafe extern "C" fn(*mut vaccel_resource, *mut vaccel_session) -> CResult;
/// Callback without arguments.
pub type PlainFn = unsafe extern "C" fn() -> CResult;

/// What a plugin says of itself.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct vaccel_plugin_info {
    /// Short name, for example `noop`.
    pub name: *const c_char,
    /// Version of the plugin.
    pub version: *const c_char,
    /// Version of the library it was compiled for.
    pub vaccel_version: *const c_char,
    /// Called once after loading; registers the operations.
    pub init: Option<PlainFn>,
    /// Called once before unloading.
    pub fini: Option<PlainFn>,
    /// True for a transport.
    pub is_virtio: bool,
    /// `PLUGIN_*` bits.
    pub type_: PluginType,
    /// Opens the remote session; sets `remote_id`.
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
}

/// A loaded plugin. The plugin owns the memory; the symbol `vaccel_plugin`
/// points at it.
#[repr(C)]
#[derive(Debug)]
#[allow(non_camel_case_types)]
pub struct vaccel_plugin {
    /// Handle of `dlopen`; the library's.
    pub dl_handle: *mut c_void,
    /// Link; the library's.
    pub entry: vaccel_list_entry,
    /// One slot for each operation, null where not offered.
    pub ops: [*mut vaccel_op; OP_MAX as usize],
    /// What the plugin says of itself.
    pub info: *const vaccel_plugin_info,
}

/// Version of [`vaccel_plugin_ext`] this crate describes.
pub const PLUGIN_EXT_VERSION: u32 = 1;

/// Loads a model: session, resource, options ("key=value,..." or null).
pub type ModelLoadFn = unsafe extern "C" fn(
    *mut vaccel_session,
    *mut vaccel_resource,
    options: *const c_char,
) -> CResult;
/// Unloads a model.
pub type ModelUnloadFn = unsafe extern "C" fn(*mut vaccel_session, *mut vaccel_resource) -> CResult;
/// Runs a model; see [`vaccel_tensor`] for who owns what.
pub type ModelRunFn = unsafe extern "C" fn(
    *mut vaccel_session,
    *mut vaccel_resource,
    inputs: *const vaccel_tensor,
    nr_inputs: size_t,
    outputs: *mut vaccel_tensor,
    nr_outputs: size_t,
) -> CResult;
/// Describes a loaded model; strings and arrays malloc'ed.
pub type ModelInfoFn = unsafe extern "C" fn(
    *mut vaccel_session,
    *mut vaccel_resource,
    info: *mut vaccel_model_info,
) -> CResult;
/// Writes a malloc'ed JSON object that describes the plugin: devices, formats,
/// whether its runtime was found, and what to install when not.
pub type DescribeFn = unsafe extern "C" fn(json: *mut *mut c_char) -> CResult;

/// Says what a model is, without loading it: writes a malloc'ed JSON object with `format`
/// (`onnx`, ...), `model` (what errors call it), and where its description says so `task`
/// and `backend`. With a null resource, the model that an image operation would take
/// by default. It judges models of any format, whether this plugin runs them or not.
pub type ModelJudgeFn = unsafe extern "C" fn(
    *mut vaccel_session,
    *mut vaccel_resource,
    op: OpType,
    json: *mut *mut c_char,
) -> CResult;

/// Gives memory that calls of a session need not copy, aligned to 64; `ENOTSUP` when
/// there is none, and then the library takes ordinary memory.
pub type BufferAllocFn =
    unsafe extern "C" fn(*mut vaccel_session, size: size_t, buf: *mut *mut c_void) -> CResult;
/// Takes it back; `ENOENT` for memory that is not of [`BufferAllocFn`].
pub type BufferFreeFn = unsafe extern "C" fn(*mut vaccel_session, buf: *mut c_void) -> CResult;

/// Keeps a copy of a tensor where the plugin computes and writes its number, not 0;
/// `ENOTSUP` when it cannot, and then the library keeps it.
pub type TensorKeepFn = unsafe extern "C" fn(
    *mut vaccel_session,
    tensor: *const vaccel_tensor,
    handle: *mut u64,
) -> CResult;
/// Fetches a kept tensor; `out` is an output as of [`ModelRunFn`].
pub type TensorFetchFn =
    unsafe extern "C" fn(*mut vaccel_session, handle: u64, out: *mut vaccel_tensor) -> CResult;
/// Frees a kept tensor; calls that use it meanwhile end as if it were there.
pub type TensorFreeFn = unsafe extern "C" fn(*mut vaccel_session, handle: u64) -> CResult;

/// Operations beyond the fixed table, exported as the data symbol
/// `vaccel_plugin_ext` (a pointer to this structure) beside `vaccel_plugin`.
///
/// The structure may grow at its end; `size` says how much of it is there.
/// A null slot means "not offered".
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct vaccel_plugin_ext {
    /// `sizeof` at the time the plugin was compiled.
    pub size: size_t,
    /// [`PLUGIN_EXT_VERSION`].
    pub version: u32,
    /// Loads a model.
    pub model_load: Option<ModelLoadFn>,
    /// Unloads it.
    pub model_unload: Option<ModelUnloadFn>,
    /// Runs it.
    pub model_run: Option<ModelRunFn>,
    /// Describes it.
    pub model_info: Option<ModelInfoFn>,
    /// Describes the plugin.
    pub describe: Option<DescribeFn>,
    /// Memory that calls of a session need not copy.
    pub buffer_alloc: Option<BufferAllocFn>,
    /// Takes it back; `ENOENT` for memory that is not of `buffer_alloc`.
    pub buffer_free: Option<BufferFreeFn>,
    /// Keeps a tensor. A plugin with these three takes `handle` in the inputs of
    /// `model_run`, and may set it in outputs with `TENSOR_KEEP` instead of `data`.
    /// Its tensors go with their session.
    pub tensor_keep: Option<TensorKeepFn>,
    /// Fetches a kept tensor.
    pub tensor_fetch: Option<TensorFetchFn>,
    /// Frees a kept tensor.
    pub tensor_free: Option<TensorFreeFn>,
    /// Sends a call off without waiting for its end.
    pub call_submit: Option<CallSubmitFn>,
    /// Ends a call that is under way: `done` is called with `ECANCELED` before this
    /// returns, unless it is being called on another thread.
    pub call_cancel: Option<CallFn>,
    /// Waits for the end of a call; `ETIMEDOUT` when it is not over.
    pub call_drive: Option<CallDriveFn>,
    /// From now on `done` of this call is called although nobody waits for it.
    pub call_watch: Option<CallFn>,
    /// Nobody asks for this call any more; it is over.
    pub call_forget: Option<CallFn>,
    /// How long calls of a session may take.
    pub session_timeout: Option<SessionTimeoutFn>,
    /// Says what a model is, without loading it.
    pub model_judge: Option<ModelJudgeFn>,
    /// The span that calls of a session are made in.
    pub session_trace: Option<SessionTraceFn>,
}
