//! Models and tensors of TensorFlow, TFLite and Torch, served by the neutral
//! traits.

use super::{Exported, Instance, call};
use crate::backend::{ModelApi, Options};
use crate::ctensor::{CTensor, Outputs, read_tensor, read_tensors};
use crate::error::{Error, Result};
use crate::memory::{self, CBuffer, count};
use crate::plugin::TorchSgemm;
use crate::resource::Resource;
use crate::tensor::{TensorOut, TensorView};
use libc::c_int;
use std::borrow::Cow;
use vaccel_abi::CResult;
use vaccel_abi::error as code;
use vaccel_abi::resource::vaccel_resource;
use vaccel_abi::session::vaccel_session;
use vaccel_abi::tensor::{
    vaccel_tf_buffer, vaccel_tf_node, vaccel_tf_status, vaccel_tf_tensor, vaccel_tflite_tensor,
    vaccel_torch_buffer, vaccel_torch_tensor,
};

/// # Safety
/// Null, or a live session and a resource registered with it.
unsafe fn load_model<P: Exported>(
    this: &Instance<P>,
    session: *mut vaccel_session,
    resource: *mut vaccel_resource,
    api: ModelApi,
) -> Result<()> {
    // SAFETY: promised by the caller.
    let (session, resource) = unsafe { (this.session(session)?, Resource::from_raw(resource)?) };
    this.load(&session, resource, api, &Options::default())?;
    Ok(())
}

/// # Safety
/// As [`load_model`].
unsafe fn unload_model<P: Exported>(
    this: &Instance<P>,
    session: *mut vaccel_session,
    resource: *mut vaccel_resource,
) -> Result<()> {
    // SAFETY: promised by the caller.
    let (session, resource) = unsafe { (this.session(session)?, Resource::from_raw(resource)?) };
    session.models().unload(session.id(), resource.id())
}

pub(crate) unsafe extern "C" fn load<P: Exported, T: CTensor>(
    session: *mut vaccel_session,
    resource: *mut vaccel_resource,
) -> CResult {
    // SAFETY: the library passes live ones.
    call::<P>("model_load", |this| unsafe {
        load_model(this, session, resource, T::API)
    })
}

pub(crate) unsafe extern "C" fn unload<P: Exported>(
    session: *mut vaccel_session,
    resource: *mut vaccel_resource,
) -> CResult {
    // SAFETY: the library passes live ones.
    call::<P>("model_unload", |this| unsafe {
        unload_model(this, session, resource)
    })
}

/// TensorFlow's own code for one of ours (`tensorflow/c/tf_status.h`).
fn tf_code(e: &Error) -> u8 {
    match e.code() {
        code::EINVAL => 3,
        code::ETIMEDOUT => 4,
        code::ENOENT => 5,
        code::EEXIST => 6,
        code::EPERM | code::EACCES => 7,
        code::ENOMEM => 8,
        code::ERANGE => 11,
        code::ENOTSUP | code::ENOSYS => 12,
        code::EAGAIN | code::ENODEV => 14,
        _ => 13,
    }
}

/// Writes TensorFlow's code and text (empty on success), where there is a place
/// for them. The caller frees the text.
///
/// # Safety
/// Null or the caller's to write to.
unsafe fn set_status(status: *mut vaccel_tf_status, result: &Result<()>) {
    if status.is_null() {
        return;
    }
    let (code, text) = match result {
        Ok(()) => (0, ""),
        Err(e) => (tf_code(e), e.message()),
    };
    // Without memory for the text, null says it too.
    let text = CBuffer::c_string(text).map_or(std::ptr::null_mut(), CBuffer::into_raw);
    // SAFETY: promised by the caller; field by field, the old content is not
    // known to be anything.
    unsafe {
        (&raw mut (*status).code).write(code);
        (&raw mut (*status).message).write(text);
    }
}

/// [`call`] whose result also goes to a TensorFlow status.
///
/// # Safety
/// As [`set_status`].
unsafe fn call_tf<P: Exported>(
    what: &'static str,
    status: *mut vaccel_tf_status,
    f: impl FnOnce(&Instance<P>) -> Result<()>,
) -> CResult {
    call::<P>(what, |this| {
        let result = crate::raw::catch(|| f(this));
        // SAFETY: promised by the caller.
        unsafe { set_status(status, &result) };
        result
    })
}

pub(crate) unsafe extern "C" fn tf_load<P: Exported>(
    session: *mut vaccel_session,
    resource: *mut vaccel_resource,
    status: *mut vaccel_tf_status,
) -> CResult {
    // SAFETY: the library passes live ones, and a place for the status or null.
    unsafe {
        call_tf::<P>("tf_model_load", status, |this| {
            load_model(this, session, resource, ModelApi::Tf)
        })
    }
}

pub(crate) unsafe extern "C" fn tf_unload<P: Exported>(
    session: *mut vaccel_session,
    resource: *mut vaccel_resource,
    status: *mut vaccel_tf_status,
) -> CResult {
    // SAFETY: as in `tf_load`.
    unsafe {
        call_tf::<P>("tf_model_unload", status, |this| {
            unload_model(this, session, resource)
        })
    }
}

/// `name:index` of each node.
///
/// # Safety
/// `nodes` is null or points at `len` nodes with C strings.
unsafe fn node_names<'a>(
    nodes: *const vaccel_tf_node,
    len: usize,
    what: &str,
) -> Result<Vec<Option<Cow<'a, str>>>> {
    if len > 0 && nodes.is_null() {
        crate::bail!(EINVAL, "the list of {what} nodes is null");
    }
    (0..len)
        .map(|i| {
            // SAFETY: in range; promised by the caller.
            let (name, id) = unsafe {
                let node = nodes.add(i);
                (
                    (&raw const (*node).name).read(),
                    (&raw const (*node).id).read(),
                )
            };
            // SAFETY: promised by the caller.
            let name = unsafe { memory::text(name, "the name of a node") }?;
            let name = name
                .to_str()
                .map_err(|_| crate::err!(EINVAL, "the name of {what} node {i} is not UTF-8"))?;
            Ok(Some(Cow::Owned(format!("{name}:{id}"))))
        })
        .collect()
}

/// Bytes of the run options; empty where there are none.
///
/// # Safety
/// Null or `size` bytes.
unsafe fn run_options<'a>(options: Option<(*const u8, usize)>) -> Result<&'a [u8]> {
    match options {
        None => Ok(&[]),
        // SAFETY: promised by the caller.
        Some((data, size)) => unsafe { memory::slice(data, size, "the run options") },
    }
}

/// The inputs and the outputs of a run: pointers, counts and names.
struct Tensors<'a, T> {
    inputs: *const *mut T,
    nr_inputs: usize,
    input_names: Vec<Option<Cow<'a, str>>>,
    outputs: *mut *mut T,
    nr_outputs: usize,
    output_names: Vec<Option<Cow<'a, str>>>,
}

/// # Safety
/// Live session and resource, arrays of the lengths that are said.
unsafe fn run_model<P: Exported, T: CTensor>(
    this: &Instance<P>,
    session: *mut vaccel_session,
    resource: *mut vaccel_resource,
    options: &[u8],
    tensors: Tensors<'_, T>,
) -> Result<()> {
    // SAFETY: promised by the caller. Outputs are memory of their own, so they
    // never lie over inputs.
    unsafe {
        let session = this.session(session)?;
        let resource = Resource::from_raw(resource)?;
        let model = this.model(&session, resource, T::API)?;
        let inputs: Vec<TensorView<'_>> =
            read_tensors(tensors.inputs, tensors.nr_inputs, tensors.input_names)?;
        let place = Outputs::new(tensors.outputs, tensors.nr_outputs)?;
        let mut outputs: Vec<TensorOut<'_>> = tensors
            .output_names
            .into_iter()
            .map(|name| TensorOut::from_parts(name, None, None))
            .collect();
        model.run_with(options, &inputs, &mut outputs)?;
        place.write(outputs)
    }
}

#[allow(clippy::too_many_arguments)]
pub(crate) unsafe extern "C" fn tf_run<P: Exported>(
    session: *mut vaccel_session,
    resource: *mut vaccel_resource,
    options: *const vaccel_tf_buffer,
    in_nodes: *const vaccel_tf_node,
    in_tensors: *const *mut vaccel_tf_tensor,
    nr_inputs: c_int,
    out_nodes: *const vaccel_tf_node,
    out_tensors: *mut *mut vaccel_tf_tensor,
    nr_outputs: c_int,
    status: *mut vaccel_tf_status,
) -> CResult {
    // SAFETY: the library passes live ones, and arrays of the lengths that are
    // said.
    unsafe {
        call_tf::<P>("tf_model_run", status, |this| {
            let (nr_inputs, nr_outputs) = (
                count(nr_inputs, "nr_inputs")?,
                count(nr_outputs, "nr_outputs")?,
            );
            let options = run_options((!options.is_null()).then(|| {
                (
                    (&raw const (*options).data)
                        .read()
                        .cast::<u8>()
                        .cast_const(),
                    (&raw const (*options).size).read(),
                )
            }))?;
            let tensors = Tensors {
                inputs: in_tensors,
                nr_inputs,
                input_names: node_names(in_nodes, nr_inputs, "input")?,
                outputs: out_tensors,
                nr_outputs,
                output_names: node_names(out_nodes, nr_outputs, "output")?,
            };
            run_model(this, session, resource, options, tensors)
        })
    }
}

pub(crate) unsafe extern "C" fn tflite_run<P: Exported>(
    session: *mut vaccel_session,
    resource: *mut vaccel_resource,
    in_tensors: *const *mut vaccel_tflite_tensor,
    nr_inputs: c_int,
    out_tensors: *mut *mut vaccel_tflite_tensor,
    nr_outputs: c_int,
    status: *mut u8,
) -> CResult {
    call::<P>("tflite_model_run", |this| {
        let result = crate::raw::catch(|| {
            let (nr_inputs, nr_outputs) = (
                count(nr_inputs, "nr_inputs")?,
                count(nr_outputs, "nr_outputs")?,
            );
            let tensors = Tensors {
                inputs: in_tensors,
                nr_inputs,
                input_names: vec![None; nr_inputs],
                outputs: out_tensors,
                nr_outputs,
                output_names: vec![None; nr_outputs],
            };
            // SAFETY: as in `tf_run`.
            unsafe { run_model(this, session, resource, &[], tensors) }
        });
        if !status.is_null() {
            // TfLiteStatus: 0 is ok, 1 an error.
            // SAFETY: not null; the caller's to write to.
            unsafe { status.write(u8::from(result.is_err())) };
        }
        result
    })
}

pub(crate) unsafe extern "C" fn torch_run<P: Exported>(
    session: *mut vaccel_session,
    resource: *mut vaccel_resource,
    options: *const vaccel_torch_buffer,
    in_tensors: *const *mut vaccel_torch_tensor,
    nr_inputs: c_int,
    out_tensors: *mut *mut vaccel_torch_tensor,
    nr_outputs: c_int,
) -> CResult {
    call::<P>("torch_model_run", |this| {
        let (nr_inputs, nr_outputs) = (
            count(nr_inputs, "nr_inputs")?,
            count(nr_outputs, "nr_outputs")?,
        );
        // SAFETY: as in `tf_run`.
        unsafe {
            let options = run_options((!options.is_null()).then(|| {
                (
                    (&raw const (*options).data)
                        .read()
                        .cast::<u8>()
                        .cast_const(),
                    (&raw const (*options).size).read(),
                )
            }))?;
            let tensors = Tensors {
                inputs: in_tensors,
                nr_inputs,
                input_names: vec![None; nr_inputs],
                outputs: out_tensors,
                nr_outputs,
                output_names: vec![None; nr_outputs],
            };
            run_model(this, session, resource, options, tensors)
        }
    })
}

#[allow(clippy::too_many_arguments)]
pub(crate) unsafe extern "C" fn torch_sgemm<P: Exported>(
    session: *mut vaccel_session,
    a: *mut *mut vaccel_torch_tensor,
    b: *mut *mut vaccel_torch_tensor,
    c: *mut *mut vaccel_torch_tensor,
    m: c_int,
    n: c_int,
    k: c_int,
    out: *mut *mut vaccel_torch_tensor,
) -> CResult {
    call::<P>("torch_sgemm", |this| {
        let (m, n, k) = (count(m, "M")?, count(n, "N")?, count(k, "K")?);
        // SAFETY: the library passes a live session, and places with tensors.
        unsafe {
            let session = this.session(session)?;
            let operand = |at: *mut *mut vaccel_torch_tensor, name: &'static str| {
                let tensor = if at.is_null() {
                    std::ptr::null_mut()
                } else {
                    at.read()
                };
                read_tensor(tensor, Some(Cow::Borrowed(name)))
            };
            let call = TorchSgemm {
                a: operand(a, "A")?,
                b: operand(b, "B")?,
                c: if c.is_null() || c.read().is_null() {
                    None
                } else {
                    Some(operand(c, "C")?)
                },
                m,
                n,
                k,
            };
            let place = Outputs::new(out, 1)?;
            let mut result = TensorOut::allocating(None);
            this.plugin.torch_sgemm(&session, &call, &mut result)?;
            place.write(vec![result])
        }
    })
}
