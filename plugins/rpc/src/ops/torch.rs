//! Torch models and matrices.

use super::note;
use crate::call::op;
use crate::held::Load;
use crate::outputs::What;
use crate::tensors::{Framework, entries, input};
use libc::c_int;
use vaccel_plugin::abi::CResult;
use vaccel_plugin::abi::op::{OP_TORCH_MODEL_LOAD, OP_TORCH_MODEL_RUN, OP_TORCH_SGEMM};
use vaccel_plugin::abi::resource::vaccel_resource;
use vaccel_plugin::abi::session::vaccel_session;
use vaccel_plugin::abi::tensor::{vaccel_torch_buffer, vaccel_torch_tensor};
use vaccel_plugin::bail;

pub(crate) unsafe extern "C" fn load(
    session: *mut vaccel_session,
    resource: *mut vaccel_resource,
) -> CResult {
    let code = op("torch_model_load", session, OP_TORCH_MODEL_LOAD, |call| {
        call.resource(resource)
    });
    note(session, resource, code, || {
        Some(Load::new(OP_TORCH_MODEL_LOAD, None))
    })
}

pub(crate) unsafe extern "C" fn run(
    session: *mut vaccel_session,
    resource: *mut vaccel_resource,
    run_options: *const vaccel_torch_buffer,
    in_tensors: *const *mut vaccel_torch_tensor,
    nr_inputs: c_int,
    out_tensors: *mut *mut vaccel_torch_tensor,
    nr_outputs: c_int,
) -> CResult {
    // SAFETY: lists of that many tensors, by the ABI.
    op(
        "torch_model_run",
        session,
        OP_TORCH_MODEL_RUN,
        |call| unsafe {
            call.resource(resource)?;
            match run_options.as_ref() {
                Some(options) => {
                    call.optional_buffer(options.data.cast(), options.size, "run_options")
                }
                None => call.optional_buffer(std::ptr::null(), 0, "run_options"),
            }?;
            for &tensor in entries(in_tensors, nr_inputs, "in_tensors")? {
                input(call, tensor.cast_const(), None)?;
            }
            let outputs = entries(out_tensors.cast_const(), nr_outputs, "out_tensors")?;
            for i in 0..outputs.len() {
                let what = What::Made(out_tensors.add(i).cast(), Framework::Torch);
                call.out_tensor(None, what);
            }
            Ok(())
        },
    )
}

pub(crate) unsafe extern "C" fn sgemm(
    session: *mut vaccel_session,
    a: *mut *mut vaccel_torch_tensor,
    b: *mut *mut vaccel_torch_tensor,
    c: *mut *mut vaccel_torch_tensor,
    m: c_int,
    n: c_int,
    k: c_int,
    out: *mut *mut vaccel_torch_tensor,
) -> CResult {
    op("torch_sgemm", session, OP_TORCH_SGEMM, |call| {
        call.scalar(m);
        call.scalar(n);
        call.scalar(k);
        for (tensor, name) in [(a, "A"), (b, "B"), (c, "C")] {
            if tensor.is_null() {
                bail!(EINVAL, "{name} is null");
            }
            // SAFETY: a pointer to a tensor or null, by the ABI.
            unsafe { input(call, tensor.read().cast_const(), None) }?;
        }
        if out.is_null() {
            bail!(EINVAL, "the place for the result is null");
        }
        call.out_tensor(None, What::Made(out.cast(), Framework::Torch));
        Ok(())
    })
}
