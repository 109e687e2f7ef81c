//! The rpc plugin: carries every operation to an agent and its outputs back.
//!
//! One connection serves the whole process. It is made when the first session
//! is opened, and made anew once it is lost; sessions then get back what they had.
//! The README has the environment variables.
//!
//! * `settings`: what the environment says.
//! * `link`: the connection, and what lives on it.
//! * `compatible`: agents of the C implementation.
//! * `held`: what a session has at the agent, and how it gets it back; `retry`: calls
//!   that are made again.
//! * `session`, `resource`, `upload`: what the library tells a transport.
//! * `call`, `outputs`: one operation, from C arguments to a request and
//!   from its reply to the caller's memory.
//! * `submit`: operations that are sent off and not waited for.
//! * `ops`: the C functions, one for each operation.

mod buffer;
mod call;
mod changes;
mod compatible;
mod content;
mod describe;
mod error;
mod held;
mod link;
mod ops;
mod outputs;
mod resource;
mod retry;
mod session;
mod settings;
mod submit;
mod tensors;
mod upload;

use vaccel_plugin::abi::plugin::{
    PLUGIN_CPU, PLUGIN_FPGA, PLUGIN_GENERIC, PLUGIN_GPU, PLUGIN_REMOTE, PLUGIN_TENSORFLOW,
    PLUGIN_TORCH, vaccel_plugin_ext,
};
use vaccel_plugin::raw::{RawOps, RawPlugin, ext};

/// Name of the plugin, also in messages.
pub(crate) const NAME: &std::ffi::CStr = c"rpc";

/// What an agent may have behind it: anything.
const TYPES: u32 = PLUGIN_REMOTE
    | PLUGIN_GENERIC
    | PLUGIN_CPU
    | PLUGIN_GPU
    | PLUGIN_FPGA
    | PLUGIN_TENSORFLOW
    | PLUGIN_TORCH;

static RPC: RawPlugin = RawPlugin {
    transport: true,
    init: Some(link::start),
    fini: Some(link::stop),
    session_init: Some(session::init),
    session_release: Some(session::release),
    session_update: Some(session::update),
    resource_register: Some(resource::register),
    resource_unregister: Some(resource::unregister),
    resource_sync: Some(resource::sync),
    ops: RawOps {
        noop: Some(ops::exec::noop),
        exec: Some(ops::exec::exec),
        exec_with_resource: Some(ops::exec::exec_with_resource),
        image_classify: Some(ops::image::classify),
        image_detect: Some(ops::image::detect),
        image_segment: Some(ops::image::segment),
        image_pose: Some(ops::image::pose),
        image_depth: Some(ops::image::depth),
        tf_model_load: Some(ops::tf::load),
        tf_model_unload: Some(ops::tf::unload),
        tf_model_run: Some(ops::tf::run),
        tflite_model_load: Some(ops::tflite::load),
        tflite_model_unload: Some(ops::tflite::unload),
        tflite_model_run: Some(ops::tflite::run),
        torch_model_load: Some(ops::torch::load),
        torch_model_run: Some(ops::torch::run),
        torch_sgemm: Some(ops::torch::sgemm),
        sgemm: Some(ops::vector::sgemm),
        fpga_arraycopy: Some(ops::vector::arraycopy),
        fpga_mmult: Some(ops::vector::mmult),
        fpga_parallel: Some(ops::vector::parallel),
        fpga_vectoradd: Some(ops::vector::vectoradd),
        minmax: Some(ops::vector::minmax),
        opencv: Some(ops::exec::opencv),
    },
    ext: vaccel_plugin_ext {
        model_load: Some(ops::model::load),
        model_unload: Some(ops::model::unload),
        model_run: Some(ops::model::run),
        model_info: Some(ops::model::info),
        describe: Some(describe::describe),
        buffer_alloc: Some(buffer::alloc),
        buffer_free: Some(buffer::free),
        tensor_keep: Some(ops::tensor::keep),
        tensor_fetch: Some(ops::tensor::fetch),
        tensor_free: Some(ops::tensor::free),
        call_submit: Some(submit::submit),
        call_cancel: Some(submit::cancel),
        call_drive: Some(submit::drive),
        call_watch: Some(submit::watch),
        call_forget: Some(submit::forget),
        session_timeout: Some(session::timeout),
        session_trace: Some(session::trace),
        ..ext()
    },
    ..RawPlugin::new(NAME, vaccel_plugin::version!(), TYPES)
};

vaccel_plugin::export_raw_plugin!(RPC);
