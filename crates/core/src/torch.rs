//! Torch models and matrices.

use crate::op::call_function;
use crate::ptr::Ptr;
use crate::view::{self, Names};
use crate::{Result, call_op, choice, fail, model, op, resource};
use std::ffi::c_int;
use vaccel_abi::op::{
    ModelFn, OP_MODEL_LOAD, OP_MODEL_RUN, OP_TORCH_MODEL_LOAD, OP_TORCH_MODEL_RUN, OP_TORCH_SGEMM,
    TorchModelRunFn, TorchSgemmFn,
};
use vaccel_abi::resource::{RESOURCE_MODEL, vaccel_resource};
use vaccel_abi::session::vaccel_session;
use vaccel_abi::tensor::{vaccel_torch_buffer, vaccel_torch_tensor};

/// `vaccel_torch_model_load`.
///
/// # Errors
/// `EINVAL` for a resource that is no model, `EPERM` when it is not registered,
/// `ENOTSUP` when the plugin has no models; those of the plugin.
pub fn load(sess: Ptr<vaccel_session>, res: Ptr<vaccel_resource>) -> Result {
    let chosen = choice::decides(sess, OP_MODEL_LOAD);
    if chosen || !op::offers(sess, OP_TORCH_MODEL_LOAD) && op::offers(sess, OP_MODEL_LOAD) {
        return model::load(sess, res, None);
    }
    resource::require(sess, res, RESOURCE_MODEL)?;
    call_op!(sess, OP_TORCH_MODEL_LOAD, ModelFn, res.as_ptr())
}

/// `vaccel_torch_model_run`.
///
/// # Errors
/// As [`load`]; `EINVAL` for missing tensors.
///
/// # Safety
/// There are as many inputs, and room for as many outputs, as the numbers say.
pub unsafe fn run(
    sess: Ptr<vaccel_session>,
    res: Ptr<vaccel_resource>,
    options: *const vaccel_torch_buffer,
    inputs: *const *mut vaccel_torch_tensor,
    nr_inputs: c_int,
    outputs: *mut *mut vaccel_torch_tensor,
    nr_outputs: c_int,
) -> Result {
    // SAFETY: the contract of this function.
    let list = unsafe { view::list(inputs, nr_inputs, "in_tensors")? };
    if nr_outputs < 0 || (nr_outputs > 0 && outputs.is_null()) {
        fail!(
            EINVAL,
            "`out_tensors` is null, or {nr_outputs} is no number of outputs"
        );
    }
    resource::require(sess, res, RESOURCE_MODEL)?;
    let Some(function) = op::on_model(sess, res, OP_TORCH_MODEL_RUN, OP_MODEL_RUN)? else {
        // SAFETY: the contract of this function.
        return unsafe { view::run(sess, res, &list, outputs, nr_outputs, &Names::default()) };
    };
    call_function!(
        function,
        sess,
        OP_TORCH_MODEL_RUN,
        TorchModelRunFn,
        res.as_ptr(),
        options,
        inputs,
        nr_inputs,
        outputs,
        nr_outputs,
    )
}

/// `vaccel_torch_sgemm`: A (m x k), B (k x n), C (m x n) and the result.
///
/// # Errors
/// `EINVAL` for negative numbers or missing tensors; those of the plugin.
pub fn sgemm(
    sess: Ptr<vaccel_session>,
    [a, b, c]: [Ptr<*mut vaccel_torch_tensor>; 3],
    [m, n, k]: [c_int; 3],
    out: Ptr<*mut vaccel_torch_tensor>,
) -> Result {
    if m < 0 || n < 0 || k < 0 {
        fail!(EINVAL, "a product of {m} x {k} and {k} x {n} matrices");
    }
    if [a, b, c].iter().any(|t| t.read().is_null()) {
        fail!(EINVAL, "one of the tensors is null");
    }
    call_op!(
        sess,
        OP_TORCH_SGEMM,
        TorchSgemmFn,
        a.as_ptr(),
        b.as_ptr(),
        c.as_ptr(),
        m,
        n,
        k,
        out.as_ptr()
    )
}
