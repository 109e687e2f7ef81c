//! TensorFlow models: nodes, buffers, status, and the calls.

use crate::model::{self, Info};
use crate::op::call_function;
use crate::ptr::Ptr;
use crate::view::{self, Names};
use crate::{Error, Result, alloc, call_op, choice, fail, get, op, ptr, resource, set};
use std::ffi::{CStr, c_int};
use vaccel_abi::error as code;
use vaccel_abi::op::{
    OP_MODEL_LOAD, OP_MODEL_RUN, OP_MODEL_UNLOAD, OP_TF_MODEL_LOAD, OP_TF_MODEL_RUN,
    OP_TF_MODEL_UNLOAD, TfModelFn, TfModelRunFn,
};
use vaccel_abi::resource::{RESOURCE_MODEL, vaccel_resource};
use vaccel_abi::session::vaccel_session;
use vaccel_abi::tensor::{vaccel_tf_node, vaccel_tf_status, vaccel_tf_tensor};

/// `vaccel_tf_node_init`: a node with a copy of its name.
///
/// # Errors
/// `ENOMEM`.
pub fn init_node(node: Ptr<vaccel_tf_node>, name: &CStr, id: c_int) -> Result {
    node.write(vaccel_tf_node {
        name: alloc::string(name)?,
        id,
    });
    Ok(())
}

/// `vaccel_tf_node_release`.
pub fn release_node(node: Ptr<vaccel_tf_node>) {
    // SAFETY: the name of an initialised node is malloc'ed or null.
    unsafe { alloc::free(get!(node.name)) };
    set!(node.name = std::ptr::null_mut());
}

/// `vaccel_tf_status_init`: a status with a copy of its message.
///
/// # Errors
/// `ENOMEM`.
pub fn init_status(status: Ptr<vaccel_tf_status>, code: u8, message: &CStr) -> Result {
    status.write(vaccel_tf_status {
        code,
        message: alloc::string(message)?,
    });
    Ok(())
}

/// `vaccel_tf_status_release`.
pub fn release_status(status: Ptr<vaccel_tf_status>) {
    // SAFETY: the message of an initialised status is malloc'ed or null.
    unsafe { alloc::free(get!(status.message)) };
    set!(status.message = std::ptr::null_mut());
    set!(status.code = 0);
}

/// TensorFlow's code for one of ours (`tensorflow/core/protobuf/error_codes.proto`).
fn status_code(code: c_int) -> u8 {
    match code {
        code::OK => 0,
        code::EINVAL => 3,
        code::ETIMEDOUT => 4,
        code::ENOENT => 5,
        code::EEXIST => 6,
        code::EPERM | code::EACCES => 7,
        code::ENOMEM => 8,
        code::ERANGE => 11,
        code::ENOTSUP | code::ENOSYS => 12,
        _ => 13,
    }
}

/// Fills the status after a call that did not reach a TensorFlow function.
fn report(status: Option<Ptr<vaccel_tf_status>>, result: Result) -> Result {
    if let Some(status) = status {
        set!(status.code = status_code(result.as_ref().err().map_or(0, Error::code)));
        if let Err(e) = &result {
            set!(status.message = alloc::string_from(e.message().as_bytes())?);
        }
    }
    result
}

/// A status starts as success without a message; what was there is not looked at.
fn begin(status: Option<Ptr<vaccel_tf_status>>) {
    if let Some(status) = status {
        status.write(vaccel_tf_status {
            code: 0,
            message: std::ptr::null_mut(),
        });
    }
}

fn raw<T>(p: Option<Ptr<T>>) -> *mut T {
    p.map_or(std::ptr::null_mut(), Ptr::as_ptr)
}

/// `vaccel_tf_model_load`.
///
/// # Errors
/// `EINVAL` for a resource that is no model, `EPERM` when it is not registered,
/// `ENOTSUP` when the plugin has no models; those of the plugin.
pub fn load(
    sess: Ptr<vaccel_session>,
    res: Ptr<vaccel_resource>,
    status: Option<Ptr<vaccel_tf_status>>,
) -> Result {
    begin(status);
    let chosen = choice::decides(sess, OP_MODEL_LOAD);
    if chosen || !op::offers(sess, OP_TF_MODEL_LOAD) && op::offers(sess, OP_MODEL_LOAD) {
        return report(status, model::load(sess, res, None));
    }
    resource::require(sess, res, RESOURCE_MODEL).or_else(|e| report(status, Err(e)))?;
    call_op!(sess, OP_TF_MODEL_LOAD, TfModelFn, res.as_ptr(), raw(status))
}

/// `vaccel_tf_model_unload`.
///
/// # Errors
/// As [`load`].
pub fn unload(
    sess: Ptr<vaccel_session>,
    res: Ptr<vaccel_resource>,
    status: Option<Ptr<vaccel_tf_status>>,
) -> Result {
    begin(status);
    let chosen = choice::decides(sess, OP_MODEL_UNLOAD);
    if chosen || !op::offers(sess, OP_TF_MODEL_UNLOAD) && op::offers(sess, OP_MODEL_UNLOAD) {
        return report(status, model::unload(sess, res));
    }
    resource::require(sess, res, RESOURCE_MODEL).or_else(|e| report(status, Err(e)))?;
    call_op!(
        sess,
        OP_TF_MODEL_UNLOAD,
        TfModelFn,
        res.as_ptr(),
        raw(status)
    )
}

/// The arguments of `vaccel_tf_model_run` after session and model.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Options in TensorFlow's form, or null.
    pub options: *const vaccel_abi::tensor::vaccel_tf_buffer,
    /// `nr_inputs` nodes.
    pub in_nodes: *const vaccel_tf_node,
    /// `nr_inputs` tensors.
    pub inputs: *const *mut vaccel_tf_tensor,
    /// Number of inputs.
    pub nr_inputs: c_int,
    /// `nr_outputs` nodes.
    pub out_nodes: *const vaccel_tf_node,
    /// Room for `nr_outputs` pointers.
    pub outputs: *mut *mut vaccel_tf_tensor,
    /// Number of outputs.
    pub nr_outputs: c_int,
    /// Receives TensorFlow's code and message; may be null.
    pub status: Option<Ptr<vaccel_tf_status>>,
}

/// `vaccel_tf_model_run`.
///
/// # Errors
/// As [`load`]; `EINVAL` for missing nodes or tensors.
///
/// # Safety
/// The pointers of `run` are null or hold as many elements as it says.
pub unsafe fn run(sess: Ptr<vaccel_session>, res: Ptr<vaccel_resource>, run: Run) -> Result {
    begin(run.status);
    // SAFETY: the contract of this function.
    let inputs = unsafe { view::list(run.inputs, run.nr_inputs, "in_tensors") };
    let checked = inputs.and_then(|inputs| {
        check_nodes(run.in_nodes, run.nr_inputs)?;
        check_nodes(run.out_nodes, run.nr_outputs)?;
        if run.nr_outputs > 0 && run.outputs.is_null() {
            fail!(EINVAL, "`out_tensors` is null");
        }
        resource::require(sess, res, RESOURCE_MODEL)?;
        Ok(inputs)
    });
    let inputs = match checked {
        Ok(inputs) => inputs,
        Err(e) => return report(run.status, Err(e)),
    };
    let Some(function) = op::on_model(sess, res, OP_TF_MODEL_RUN, OP_MODEL_RUN)? else {
        // SAFETY: the contract of this function.
        let result = unsafe { run_view(sess, res, &inputs, run) };
        return report(run.status, result);
    };
    call_function!(
        function,
        sess,
        OP_TF_MODEL_RUN,
        TfModelRunFn,
        res.as_ptr(),
        run.options,
        run.in_nodes,
        run.inputs,
        run.nr_inputs,
        run.out_nodes,
        run.outputs,
        run.nr_outputs,
        raw(run.status),
    )
}

fn check_nodes(nodes: *const vaccel_tf_node, count: c_int) -> Result {
    if count < 0 {
        fail!(EINVAL, "{count} nodes");
    }
    if count > 0 && nodes.is_null() {
        fail!(EINVAL, "the nodes are null");
    }
    Ok(())
}

/// # Safety
/// As [`run`].
unsafe fn run_view(
    sess: Ptr<vaccel_session>,
    res: Ptr<vaccel_resource>,
    inputs: &[Ptr<vaccel_tf_tensor>],
    run: Run,
) -> Result {
    // A plugin that cannot describe its models is asked by plain names.
    let info = Info::of(sess, res).ok();
    let known = info.as_ref();
    // SAFETY: the contract of this function.
    let names = unsafe {
        Names {
            inputs: names(run.in_nodes, run.nr_inputs, known.map_or(&[], Info::inputs))?,
            outputs: names(
                run.out_nodes,
                run.nr_outputs,
                known.map_or(&[], Info::outputs),
            )?,
        }
    };
    // SAFETY: the contract of this function.
    unsafe { view::run(sess, res, inputs, run.outputs, run.nr_outputs, &names) }
}

/// # Safety
/// There are `count` nodes.
unsafe fn names(
    nodes: *const vaccel_tf_node,
    count: c_int,
    known: &[vaccel_abi::model::vaccel_tensor_info],
) -> Result<Vec<std::ffi::CString>> {
    let count = usize::try_from(count).unwrap_or(0);
    (0..count)
        .map(|i| {
            // SAFETY: the contract of this function.
            let node = unsafe { Ptr::new(nodes.add(i), "node")? };
            // SAFETY: the name of a node is a C string or null.
            let name = unsafe { ptr::text(get!(node.name), "node->name")? };
            view::tensor_name(name, get!(node.id), known)
        })
        .collect()
}
