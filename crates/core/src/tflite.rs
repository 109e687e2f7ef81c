//! TFLite models.

use crate::op::call_function;
use crate::ptr::Ptr;
use crate::view::{self, Names};
use crate::{Result, call_op, choice, fail, model, op, resource};
use std::ffi::c_int;
use vaccel_abi::op::{
    ModelFn, OP_MODEL_LOAD, OP_MODEL_RUN, OP_MODEL_UNLOAD, OP_TFLITE_MODEL_LOAD,
    OP_TFLITE_MODEL_RUN, OP_TFLITE_MODEL_UNLOAD, TfliteModelRunFn,
};
use vaccel_abi::resource::{RESOURCE_MODEL, vaccel_resource};
use vaccel_abi::session::vaccel_session;
use vaccel_abi::tensor::vaccel_tflite_tensor;

/// `vaccel_tflite_model_load`.
///
/// # Errors
/// `EINVAL` for a resource that is no model, `EPERM` when it is not registered,
/// `ENOTSUP` when the plugin has no models; those of the plugin.
pub fn load(sess: Ptr<vaccel_session>, res: Ptr<vaccel_resource>) -> Result {
    let chosen = choice::decides(sess, OP_MODEL_LOAD);
    if chosen || !op::offers(sess, OP_TFLITE_MODEL_LOAD) && op::offers(sess, OP_MODEL_LOAD) {
        return model::load(sess, res, None);
    }
    resource::require(sess, res, RESOURCE_MODEL)?;
    call_op!(sess, OP_TFLITE_MODEL_LOAD, ModelFn, res.as_ptr())
}

/// `vaccel_tflite_model_unload`.
///
/// # Errors
/// As [`load`].
pub fn unload(sess: Ptr<vaccel_session>, res: Ptr<vaccel_resource>) -> Result {
    let chosen = choice::decides(sess, OP_MODEL_UNLOAD);
    if chosen || !op::offers(sess, OP_TFLITE_MODEL_UNLOAD) && op::offers(sess, OP_MODEL_UNLOAD) {
        return model::unload(sess, res);
    }
    resource::require(sess, res, RESOURCE_MODEL)?;
    call_op!(sess, OP_TFLITE_MODEL_UNLOAD, ModelFn, res.as_ptr())
}

/// `vaccel_tflite_model_run`: `status` receives 0 or TFLite's code.
///
/// # Errors
/// As [`load`]; `EINVAL` for missing tensors.
///
/// # Safety
/// There are as many inputs, and room for as many outputs, as the numbers say.
pub unsafe fn run(
    sess: Ptr<vaccel_session>,
    res: Ptr<vaccel_resource>,
    inputs: *const *mut vaccel_tflite_tensor,
    nr_inputs: c_int,
    outputs: *mut *mut vaccel_tflite_tensor,
    nr_outputs: c_int,
    status: Option<Ptr<u8>>,
) -> Result {
    if let Some(status) = status {
        status.write(0);
    }
    // SAFETY: the contract of this function.
    let list = unsafe { view::list(inputs, nr_inputs, "in_tensors")? };
    if nr_outputs < 0 || (nr_outputs > 0 && outputs.is_null()) {
        fail!(
            EINVAL,
            "`out_tensors` is null, or {nr_outputs} is no number of outputs"
        );
    }
    resource::require(sess, res, RESOURCE_MODEL)?;
    let Some(function) = op::on_model(sess, res, OP_TFLITE_MODEL_RUN, OP_MODEL_RUN)? else {
        // SAFETY: the contract of this function.
        let result = unsafe { view::run(sess, res, &list, outputs, nr_outputs, &Names::default()) };
        if let (Some(status), Err(_)) = (status, &result) {
            // kTfLiteError
            status.write(1);
        }
        return result;
    };
    call_function!(
        function,
        sess,
        OP_TFLITE_MODEL_RUN,
        TfliteModelRunFn,
        res.as_ptr(),
        inputs,
        nr_inputs,
        outputs,
        nr_outputs,
        status.map_or(std::ptr::null_mut(), Ptr::as_ptr),
    )
}
