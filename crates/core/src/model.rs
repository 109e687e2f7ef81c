//! Models through the neutral interface: named tensors of any type.

use crate::plugin::Plugin;
use crate::ptr::Ptr;
use crate::{Result, alloc, choice, err, fail, get, kept, op, ptr, resource};
use std::ffi::{CStr, c_char, c_void};
use vaccel_abi::model::{
    TENSOR_KEEP, TENSOR_MAX_RANK, TENSOR_OWNED, dtype_name, tensor_bytes, vaccel_model_info,
    vaccel_tensor, vaccel_tensor_info,
};
use vaccel_abi::op::{OP_MODEL_INFO, OP_MODEL_LOAD, OP_MODEL_RUN, OP_MODEL_UNLOAD, OpType};
use vaccel_abi::plugin::vaccel_plugin_ext;
use vaccel_abi::resource::{RESOURCE_MODEL, vaccel_resource};
use vaccel_abi::session::vaccel_session;

/// One slot of the extension table of the plugin that serves a session's model.
fn slot<F>(
    sess: Ptr<vaccel_session>,
    res: Ptr<vaccel_resource>,
    op: OpType,
    pick: impl Fn(&vaccel_plugin_ext) -> Option<F>,
) -> Result<F> {
    pick(op::serving_model(sess, res, op)?.ext()).ok_or_else(|| op::missing(sess, op))
}

/// Calls a function of a plugin that was chosen.
pub(crate) fn call_of(
    plugin: &Plugin,
    sess: Ptr<vaccel_session>,
    op: OpType,
    function: impl FnOnce() -> i32,
) -> Result {
    let returned = if op::traced() {
        op::trace(sess, op, || (0, 0), function)
    } else {
        function()
    };
    match returned {
        0 => Ok(()),
        code => Err(plugin.error(op::name(op), code)),
    }
}

fn call(sess: Ptr<vaccel_session>, op: OpType, function: impl FnOnce() -> i32) -> Result {
    call_moving(sess, op, || (0, 0), function)
}

/// [`call`], with how many bytes go in and out.
fn call_moving(
    sess: Ptr<vaccel_session>,
    op: OpType,
    bytes: impl FnOnce() -> (usize, usize),
    function: impl FnOnce() -> i32,
) -> Result {
    let returned = if op::traced() {
        op::trace(sess, op, bytes, function)
    } else {
        function()
    };
    op::result(sess, op, returned)
}

/// `vaccel_model_load`.
///
/// # Errors
/// `ENOTSUP` when the plugin has no models; `EINVAL` for a resource that is no
/// model; `EPERM` when it is not registered; those of the plugin.
pub fn load(
    sess: Ptr<vaccel_session>,
    res: Ptr<vaccel_resource>,
    options: Option<&CStr>,
) -> Result {
    if choice::decides(sess, OP_MODEL_LOAD) {
        return choice::load(sess, res, options);
    }
    let load = slot(sess, res, OP_MODEL_LOAD, |ext| ext.model_load)?;
    resource::require(sess, res, RESOURCE_MODEL)?;
    let options = options.map_or(std::ptr::null(), CStr::as_ptr);
    call(sess, OP_MODEL_LOAD, || {
        // SAFETY: a function of a loaded plugin; session and resource are alive.
        unsafe { load(sess.as_ptr(), res.as_ptr(), options) }
    })
}

/// `vaccel_model_unload`.
///
/// # Errors
/// Those of [`load`].
pub fn unload(sess: Ptr<vaccel_session>, res: Ptr<vaccel_resource>) -> Result {
    if choice::decides(sess, OP_MODEL_UNLOAD) {
        return choice::unload(sess, res);
    }
    let unload = slot(sess, res, OP_MODEL_UNLOAD, |ext| ext.model_unload)?;
    resource::require(sess, res, RESOURCE_MODEL)?;
    call(sess, OP_MODEL_UNLOAD, || {
        // SAFETY: a function of a loaded plugin; session and resource are alive.
        unsafe { unload(sess.as_ptr(), res.as_ptr()) }
    })
}

/// `vaccel_model_run`.
///
/// # Errors
/// Those of [`load`]; `EINVAL` for a malformed tensor; `ERANGE` when an output
/// does not fit.
pub fn run(
    sess: Ptr<vaccel_session>,
    res: Ptr<vaccel_resource>,
    inputs: &[vaccel_tensor],
    outputs: &mut [vaccel_tensor],
) -> Result {
    if kept::concerns(inputs, outputs) {
        return run_kept(sess, res, inputs, outputs);
    }
    run_plain(sess, res, inputs, outputs)
}

/// True when the plugin gets the tensors as they are, and nothing is done after it.
#[must_use]
pub fn is_plain(inputs: &[vaccel_tensor], outputs: &[vaccel_tensor]) -> bool {
    !kept::concerns(inputs, outputs)
}

/// A run whose inputs or outputs stay where they are.
#[cold]
fn run_kept(
    sess: Ptr<vaccel_session>,
    res: Ptr<vaccel_resource>,
    inputs: &[vaccel_tensor],
    outputs: &mut [vaccel_tensor],
) -> Result {
    // A model that is not there, or not this session's, is told first.
    let plugin = op::serving_model(sess, res, OP_MODEL_RUN)?;
    resource::require(sess, res, RESOURCE_MODEL)?;
    let mut bound = kept::Bound::new(sess, plugin, inputs, outputs)?;
    let result = run_plain(sess, res, &bound.inputs, &mut bound.outputs);
    let result = match result {
        Ok(()) => bound.keep(sess),
        Err(e) => {
            bound.fail(sess);
            Err(e)
        }
    };
    outputs.copy_from_slice(&bound.outputs);
    result
}

/// A run on tensors as the plugin gets them.
fn run_plain(
    sess: Ptr<vaccel_session>,
    res: Ptr<vaccel_resource>,
    inputs: &[vaccel_tensor],
    outputs: &mut [vaccel_tensor],
) -> Result {
    let run = slot(sess, res, OP_MODEL_RUN, |ext| ext.model_run)?;
    resource::require(sess, res, RESOURCE_MODEL)?;
    for (i, tensor) in inputs.iter().enumerate() {
        check_input(tensor).map_err(|e| e.context(format!("input {i}")))?;
    }
    for (i, tensor) in outputs.iter_mut().enumerate() {
        check_output(tensor).map_err(|e| e.context(format!("output {i}")))?;
    }
    let outputs = std::ptr::from_mut(outputs);
    // SAFETY: the plugin has returned; nobody else has the outputs.
    let bytes = || (kept::moved(inputs), kept::moved(unsafe { &*outputs }));
    call_moving(sess, OP_MODEL_RUN, bytes, || {
        // SAFETY: a function of a loaded plugin; session and resource are alive,
        // and the tensors were checked.
        unsafe {
            run(
                sess.as_ptr(),
                res.as_ptr(),
                inputs.as_ptr(),
                inputs.len(),
                outputs.cast(),
                outputs.len(),
            )
        }
    })
}

/// Rank, dimensions, type and size of an input must agree.
pub(crate) fn check_input(tensor: &vaccel_tensor) -> Result {
    let dims = check_shape(tensor)?;
    let Some(bytes) = tensor_bytes(tensor.dtype, dims) else {
        fail!(
            EINVAL,
            "unknown type {} or too many elements in {dims:?}",
            tensor.dtype
        );
    };
    if bytes != tensor.size {
        fail!(
            EINVAL,
            "{} {dims:?} needs {bytes} bytes, the tensor has {}",
            dtype_name(tensor.dtype),
            tensor.size
        );
    }
    if tensor.handle != 0 {
        // Its plugin has the elements.
        return Ok(());
    }
    check_data(tensor)
}

pub(crate) fn check_data(tensor: &vaccel_tensor) -> Result {
    if tensor.data.is_null() && tensor.size > 0 {
        fail!(EINVAL, "{} bytes at a null pointer", tensor.size);
    }
    Ok(())
}

/// The dimensions, none of them negative.
pub(crate) fn check_shape(tensor: &vaccel_tensor) -> Result<&[i64]> {
    if tensor.rank as usize > TENSOR_MAX_RANK {
        fail!(
            EINVAL,
            "rank {} is more than {TENSOR_MAX_RANK}",
            tensor.rank
        );
    }
    let dims = tensor.shape();
    if dims.iter().any(|&d| d < 0) {
        fail!(EINVAL, "negative dimension in {dims:?}");
    }
    Ok(dims)
}

/// An output without memory has no size; one with memory is not marked as the
/// library's.
fn check_output(tensor: &mut vaccel_tensor) -> Result {
    if tensor.data.is_null() {
        tensor.size = 0;
        tensor.flags &= TENSOR_KEEP;
    }
    Ok(())
}

/// `vaccel_model_info`.
///
/// # Errors
/// Those of [`load`].
pub fn info(
    sess: Ptr<vaccel_session>,
    res: Ptr<vaccel_resource>,
    out: Ptr<vaccel_model_info>,
) -> Result {
    out.write(vaccel_model_info::empty());
    let info = slot(sess, res, OP_MODEL_INFO, |ext| ext.model_info)?;
    resource::require(sess, res, RESOURCE_MODEL)?;
    let result = call(sess, OP_MODEL_INFO, || {
        // SAFETY: a function of a loaded plugin; session and resource are alive.
        unsafe { info(sess.as_ptr(), res.as_ptr(), out.as_ptr()) }
    });
    result.inspect_err(|_| release_info(out))
}

/// `vaccel_model_info_release`.
pub fn release_info(info: Ptr<vaccel_model_info>) {
    let list = |first: *mut vaccel_tensor_info, count: usize| {
        if first.is_null() {
            return;
        }
        // SAFETY: as many malloc'ed entries as the structure says, freed once.
        unsafe {
            for i in 0..count {
                alloc::free((*first.add(i)).name);
            }
            alloc::free(first);
        }
    };
    list(get!(info.inputs), get!(info.nr_inputs));
    list(get!(info.outputs), get!(info.nr_outputs));
    // SAFETY: the strings of the structure are malloc'ed or null.
    unsafe {
        alloc::free(get!(info.format));
        alloc::free(get!(info.backend));
        alloc::free(get!(info.metadata));
    }
    info.write(vaccel_model_info::empty());
}

/// `vaccel_tensor_release`: frees data that the library or a plugin allocated, and what
/// was kept.
pub fn release_tensor(tensor: Ptr<vaccel_tensor>) {
    if get!(tensor.flags) & TENSOR_KEEP != 0 && get!(tensor.handle) != 0 {
        kept::forget(get!(tensor.handle));
    }
    if get!(tensor.flags) & TENSOR_OWNED != 0 {
        // SAFETY: the flag says that the data come from libc and are ours to free.
        unsafe { alloc::free(get!(tensor.data)) };
    }
    let name = get!(tensor.name);
    tensor.write(vaccel_tensor {
        name,
        ..vaccel_tensor::empty()
    });
}

/// What [`info`] says, until it is dropped.
pub(crate) struct Info(Box<vaccel_model_info>);

impl Info {
    pub(crate) fn of(sess: Ptr<vaccel_session>, res: Ptr<vaccel_resource>) -> Result<Self> {
        let mut place = Box::new(vaccel_model_info::empty());
        // SAFETY: the box outlives the call.
        info(sess, res, unsafe { Ptr::new(&raw mut *place, "info")? })?;
        Ok(Self(place))
    }

    pub(crate) fn inputs(&self) -> &[vaccel_tensor_info] {
        entries(self.0.inputs, self.0.nr_inputs)
    }

    pub(crate) fn outputs(&self) -> &[vaccel_tensor_info] {
        entries(self.0.outputs, self.0.nr_outputs)
    }

    /// As JSON: format, backend, inputs, outputs, metadata.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let text = |p: *const c_char| {
            // SAFETY: the strings of the structure are C strings or null.
            unsafe { ptr::optional_text(p) }.map(|t| t.to_string_lossy().into_owned())
        };
        let list = |infos: &[vaccel_tensor_info]| -> serde_json::Value {
            infos
                .iter()
                .map(|t| {
                    let rank = (t.rank as usize).min(TENSOR_MAX_RANK);
                    serde_json::json!({
                        "name": text(t.name),
                        "dtype": dtype_name(t.dtype),
                        "dims": t.dims[..rank],
                    })
                })
                .collect()
        };
        let metadata = text(self.0.metadata)
            .map(|text| serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text)));
        serde_json::json!({
            "format": text(self.0.format),
            "backend": text(self.0.backend),
            "inputs": list(self.inputs()),
            "outputs": list(self.outputs()),
            "metadata": metadata,
        })
    }
}

impl Drop for Info {
    fn drop(&mut self) {
        // SAFETY: the box is alive.
        if let Ok(info) = unsafe { Ptr::new(&raw mut *self.0, "info") } {
            release_info(info);
        }
    }
}

fn entries<'a>(first: *const vaccel_tensor_info, count: usize) -> &'a [vaccel_tensor_info] {
    if first.is_null() {
        return &[];
    }
    // SAFETY: as many entries as the structure says, alive with it.
    unsafe { std::slice::from_raw_parts(first, count) }
}

/// Puts a result into an output tensor: into the caller's memory if there is
/// any, else the block itself is handed on.
///
/// # Errors
/// `ERANGE` when the caller's memory is too small; `size` says what is needed.
pub(crate) fn deliver(
    out: &mut vaccel_tensor,
    data: alloc::Block<c_void>,
    size: usize,
    dtype: u32,
    (dims, rank): ([i64; TENSOR_MAX_RANK], u32),
) -> Result {
    let room = out.size;
    (out.dtype, out.rank, out.dims, out.size) = (dtype, rank, dims, size);
    if out.data.is_null() {
        out.data = data.into_raw();
        out.flags = TENSOR_OWNED;
        return Ok(());
    }
    if size > room {
        return Err(err!(ERANGE, "an output has {size} bytes and its buffer {room}").quiet());
    }
    if size > 0 {
        // SAFETY: the caller vouches for `room` bytes, and the block has `size`.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), out.data, size) };
    }
    Ok(())
}
