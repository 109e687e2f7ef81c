//! Torch models and matrices.

use std::ffi::c_int;
use vaccel_abi::resource::vaccel_resource;
use vaccel_abi::session::vaccel_session;
use vaccel_abi::tensor::{vaccel_torch_buffer, vaccel_torch_tensor};
use vaccel_core::torch;

export! {
    /// Loads a model.
    fn vaccel_torch_model_load(sess: *mut vaccel_session, model: *mut vaccel_resource) {
        torch::load(ptr!(sess), ptr!(model))
    }

    /// Runs a model.
    fn vaccel_torch_model_run(
        sess: *mut vaccel_session,
        model: *mut vaccel_resource,
        run_options: *const vaccel_torch_buffer,
        inputs: *const *mut vaccel_torch_tensor,
        nr_inputs: c_int,
        outputs: *mut *mut vaccel_torch_tensor,
        nr_outputs: c_int,
    ) {
        let (sess, model) = (ptr!(sess), ptr!(model));
        // SAFETY: the contract of the exported function.
        unsafe {
            torch::run(sess, model, run_options, inputs, nr_inputs, outputs, nr_outputs)
        }
    }

    /// Multiplies matrices.
    fn vaccel_torch_sgemm(
        sess: *mut vaccel_session,
        in_a: *mut *mut vaccel_torch_tensor,
        in_b: *mut *mut vaccel_torch_tensor,
        in_c: *mut *mut vaccel_torch_tensor,
        m: c_int,
        n: c_int,
        k: c_int,
        out: *mut *mut vaccel_torch_tensor,
    ) {
        torch::sgemm(ptr!(sess), [ptr!(in_a), ptr!(in_b), ptr!(in_c)], [m, n, k], ptr!(out))
    }
}
