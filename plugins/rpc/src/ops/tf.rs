//! TensorFlow models. Tensors travel with the name of their node: `node:index`.

use super::note;
use crate::call::{Call, op};
use crate::held::Load;
use crate::outputs::What;
use crate::tensors::{Framework, entries, input};
use libc::c_int;
use std::ffi::CStr;
use vaccel_plugin::abi::CResult;
use vaccel_plugin::abi::arg::{ARG_CHAR_ARRAY, ARG_UINT8};
use vaccel_plugin::abi::op::{OP_TF_MODEL_LOAD, OP_TF_MODEL_RUN, OP_TF_MODEL_UNLOAD};
use vaccel_plugin::abi::resource::vaccel_resource;
use vaccel_plugin::abi::session::vaccel_session;
use vaccel_plugin::abi::tensor::{
    vaccel_tf_buffer, vaccel_tf_node, vaccel_tf_status, vaccel_tf_tensor,
};
use vaccel_plugin::{Result, bail};

fn model(
    name: &'static str,
    code: u32,
    session: *mut vaccel_session,
    resource: *mut vaccel_resource,
    status: *mut vaccel_tf_status,
) -> CResult {
    op(name, session, code, |call| {
        call.resource(resource)?;
        with_status(call, status);
        Ok(())
    })
}

fn with_status(call: &mut Call<'_, '_>, status: *mut vaccel_tf_status) {
    call.outputs.status = status;
    call.out_status(ARG_UINT8, ARG_CHAR_ARRAY);
}

pub(crate) unsafe extern "C" fn load(
    session: *mut vaccel_session,
    resource: *mut vaccel_resource,
    status: *mut vaccel_tf_status,
) -> CResult {
    let code = model("tf_model_load", OP_TF_MODEL_LOAD, session, resource, status);
    note(session, resource, code, || {
        Some(Load::new(OP_TF_MODEL_LOAD, None))
    })
}

pub(crate) unsafe extern "C" fn unload(
    session: *mut vaccel_session,
    resource: *mut vaccel_resource,
    status: *mut vaccel_tf_status,
) -> CResult {
    let code = model(
        "tf_model_unload",
        OP_TF_MODEL_UNLOAD,
        session,
        resource,
        status,
    );
    note(session, resource, code, || None)
}

/// `node:index`.
///
/// # Safety
/// The name of the node is null or a C string.
unsafe fn name(node: &vaccel_tf_node) -> Result<Vec<u8>> {
    if node.name.is_null() {
        bail!(EINVAL, "the name of a node is null");
    }
    // SAFETY: as promised by the caller.
    let mut name = unsafe { CStr::from_ptr(node.name) }.to_bytes().to_vec();
    name.extend_from_slice(format!(":{}", node.id).as_bytes());
    Ok(name)
}

pub(crate) unsafe extern "C" fn run(
    session: *mut vaccel_session,
    resource: *mut vaccel_resource,
    run_options: *const vaccel_tf_buffer,
    in_nodes: *const vaccel_tf_node,
    in_tensors: *const *mut vaccel_tf_tensor,
    nr_inputs: c_int,
    out_nodes: *const vaccel_tf_node,
    out_tensors: *mut *mut vaccel_tf_tensor,
    nr_outputs: c_int,
    status: *mut vaccel_tf_status,
) -> CResult {
    // SAFETY: lists of that many nodes and tensors, by the ABI; nodes have C
    // strings, tensors as many bytes as they say.
    op("tf_model_run", session, OP_TF_MODEL_RUN, |call| unsafe {
        call.resource(resource)?;
        match run_options.as_ref() {
            Some(options) => call.optional_buffer(options.data, options.size, "run_options"),
            None => call.optional_buffer(std::ptr::null(), 0, "run_options"),
        }?;
        let nodes = entries(in_nodes, nr_inputs, "in_nodes")?;
        let tensors = entries(in_tensors, nr_inputs, "in_tensors")?;
        for (node, &tensor) in nodes.iter().zip(tensors) {
            input(call, tensor.cast_const(), Some(&name(node)?))?;
        }
        with_status(call, status);
        let nodes = entries(out_nodes, nr_outputs, "out_nodes")?;
        entries(out_tensors.cast_const(), nr_outputs, "out_tensors")?;
        for (i, node) in nodes.iter().enumerate() {
            let what = What::Made(out_tensors.add(i).cast(), Framework::Tf);
            call.out_tensor(Some(&name(node)?), what);
        }
        Ok(())
    })
}
