//! TFLite models.

use super::note;
use crate::call::op;
use crate::held::Load;
use crate::outputs::What;
use crate::tensors::{Framework, entries, input};
use libc::c_int;
use vaccel_plugin::abi::CResult;
use vaccel_plugin::abi::arg::ARG_UINT8;
use vaccel_plugin::abi::op::{OP_TFLITE_MODEL_LOAD, OP_TFLITE_MODEL_RUN, OP_TFLITE_MODEL_UNLOAD};
use vaccel_plugin::abi::resource::vaccel_resource;
use vaccel_plugin::abi::session::vaccel_session;
use vaccel_plugin::abi::tensor::vaccel_tflite_tensor;

pub(crate) unsafe extern "C" fn load(
    session: *mut vaccel_session,
    resource: *mut vaccel_resource,
) -> CResult {
    let code = op("tflite_model_load", session, OP_TFLITE_MODEL_LOAD, |call| {
        call.resource(resource)
    });
    note(session, resource, code, || {
        Some(Load::new(OP_TFLITE_MODEL_LOAD, None))
    })
}

pub(crate) unsafe extern "C" fn unload(
    session: *mut vaccel_session,
    resource: *mut vaccel_resource,
) -> CResult {
    let code = op(
        "tflite_model_unload",
        session,
        OP_TFLITE_MODEL_UNLOAD,
        |call| call.resource(resource),
    );
    note(session, resource, code, || None)
}

pub(crate) unsafe extern "C" fn run(
    session: *mut vaccel_session,
    resource: *mut vaccel_resource,
    in_tensors: *const *mut vaccel_tflite_tensor,
    nr_inputs: c_int,
    out_tensors: *mut *mut vaccel_tflite_tensor,
    nr_outputs: c_int,
    status: *mut u8,
) -> CResult {
    // SAFETY: lists of that many tensors, by the ABI.
    op(
        "tflite_model_run",
        session,
        OP_TFLITE_MODEL_RUN,
        |call| unsafe {
            call.resource(resource)?;
            for &tensor in entries(in_tensors, nr_inputs, "in_tensors")? {
                input(call, tensor.cast_const(), None)?;
            }
            if status.is_null() {
                call.out_code(ARG_UINT8);
            } else {
                call.out_exact(ARG_UINT8, status);
            }
            let outputs = entries(out_tensors.cast_const(), nr_outputs, "out_tensors")?;
            for i in 0..outputs.len() {
                let what = What::Made(out_tensors.add(i).cast(), Framework::Tflite);
                call.out_tensor(None, what);
            }
            Ok(())
        },
    )
}
