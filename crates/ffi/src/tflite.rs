//! TFLite models.

use std::ffi::c_int;
use vaccel_abi::resource::vaccel_resource;
use vaccel_abi::session::vaccel_session;
use vaccel_abi::tensor::vaccel_tflite_tensor;
use vaccel_core::tflite;

export! {
    /// Loads a model.
    fn vaccel_tflite_model_load(sess: *mut vaccel_session, model: *mut vaccel_resource) {
        tflite::load(ptr!(sess), ptr!(model))
    }

    /// Unloads a model.
    fn vaccel_tflite_model_unload(sess: *mut vaccel_session, model: *mut vaccel_resource) {
        tflite::unload(ptr!(sess), ptr!(model))
    }

    /// Runs a model.
    fn vaccel_tflite_model_run(
        sess: *mut vaccel_session,
        model: *mut vaccel_resource,
        inputs: *const *mut vaccel_tflite_tensor,
        nr_inputs: c_int,
        outputs: *mut *mut vaccel_tflite_tensor,
        nr_outputs: c_int,
        status: *mut u8,
    ) {
        let (sess, model, status) = (ptr!(sess), ptr!(model), optional!(status));
        // SAFETY: the contract of the exported function.
        unsafe { tflite::run(sess, model, inputs, nr_inputs, outputs, nr_outputs, status) }
    }
}
