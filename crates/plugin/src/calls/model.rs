//! The neutral model API.

use super::{Exported, call};
use crate::backend::{ModelApi, ModelInfo, Options, TensorInfo};
use crate::dtype::{Dtype, Shape};
use crate::error::Result;
use crate::memory::{self, CBuffer, overlap, span};
use crate::op::Op;
use crate::resource::Resource;
use crate::tensor::{TensorOut, TensorView, Written};
use libc::{c_char, size_t};
use std::borrow::Cow;
use std::ffi::CStr;
use std::ops::Range;
use vaccel_abi::CResult;
use vaccel_abi::model::{
    DTYPE_UNDEFINED, TENSOR_MAX_RANK, TENSOR_OWNED, vaccel_model_info, vaccel_tensor,
    vaccel_tensor_info,
};
use vaccel_abi::op::OpType;
use vaccel_abi::resource::vaccel_resource;
use vaccel_abi::session::vaccel_session;

/// More tensors than this in one call are a mistake.
const MAX_TENSORS: usize = 4096;

pub(crate) unsafe extern "C" fn load<P: Exported>(
    session: *mut vaccel_session,
    resource: *mut vaccel_resource,
    options: *const c_char,
) -> CResult {
    call::<P>("model_load", |this| {
        // SAFETY: the library passes live ones, and null or a C string.
        let (session, resource, options) = unsafe {
            (
                this.session(session)?,
                Resource::from_raw(resource)?,
                optional_text(options, "the options")?,
            )
        };
        let options = Options::parse(options.unwrap_or_default())?;
        this.load(&session, resource, ModelApi::Neutral, &options)?;
        Ok(())
    })
}

pub(crate) unsafe extern "C" fn judge<P: Exported>(
    session: *mut vaccel_session,
    resource: *mut vaccel_resource,
    op: OpType,
    json: *mut *mut c_char,
) -> CResult {
    call::<P>("model_judge", |this| {
        if json.is_null() {
            crate::bail!(EINVAL, "the place for the text is null");
        }
        // SAFETY: the library passes live ones, or no resource.
        let (session, resource) = unsafe {
            let resource = match resource.is_null() {
                true => None,
                false => Some(Resource::from_raw(resource)?),
            };
            (this.session(session)?, resource)
        };
        let op = Op::ALL.iter().copied().find(|known| known.code() == op);
        let judged = this.plugin.judge_model(&session, resource.as_ref(), op)?;
        let text = serde_json::to_string(&judged)
            .map_err(|e| crate::err!(EIO, "cannot write the judgement: {e}"))?;
        let text = CBuffer::c_string(&text)?;
        // SAFETY: not null; the caller's to write to.
        unsafe { json.write(text.into_raw()) };
        Ok(())
    })
}

pub(crate) unsafe extern "C" fn unload<P: Exported>(
    session: *mut vaccel_session,
    resource: *mut vaccel_resource,
) -> CResult {
    call::<P>("model_unload", |this| {
        // SAFETY: the library passes live ones.
        let (session, resource) =
            unsafe { (this.session(session)?, Resource::from_raw(resource)?) };
        session.models().unload(session.id(), resource.id())
    })
}

pub(crate) unsafe extern "C" fn run<P: Exported>(
    session: *mut vaccel_session,
    resource: *mut vaccel_resource,
    inputs: *const vaccel_tensor,
    nr_inputs: size_t,
    outputs: *mut vaccel_tensor,
    nr_outputs: size_t,
) -> CResult {
    call::<P>("model_run", |this| {
        // SAFETY: the library passes live ones, and arrays of tensors with the
        // lengths that they say.
        unsafe {
            let session = this.session(session)?;
            let resource = Resource::from_raw(resource)?;
            let model = this.model(&session, resource, ModelApi::Neutral)?;
            let inputs = copy_list(inputs, nr_inputs, "inputs")?;
            let wanted = copy_list(outputs.cast_const(), nr_outputs, "outputs")?;
            let spans = output_spans(&wanted)?;
            let views = inputs
                .iter()
                .enumerate()
                .map(|(i, t)| view(t, i, &spans))
                .collect::<Result<Vec<_>>>()?;
            let mut outs = wanted
                .iter()
                .enumerate()
                .map(|(i, t)| output(t, i))
                .collect::<Result<Vec<_>>>()?;
            let ran = model.run(&views, &mut outs);
            let done = ran.and_then(|()| outs.iter().map(finished).collect());
            let written: Vec<Written> = match done {
                Ok(written) => written,
                Err(e) => {
                    tell_sizes(&outs, outputs);
                    return Err(e);
                }
            };
            for (i, (out, w)) in outs.into_iter().zip(written).enumerate() {
                let at = outputs.add(i);
                if let Some(buffer) = out.into_allocated() {
                    (&raw mut (*at).data).write(buffer.into_raw());
                    (&raw mut (*at).flags).write(wanted[i].flags | TENSOR_OWNED);
                }
                set_result(at, &w);
            }
        }
        Ok(())
    })
}

/// What was written, in a type that the neutral API has a number for.
fn finished(out: &TensorOut<'_>) -> Result<Written> {
    let written = out.finished()?;
    if written.dtype.code().is_none() {
        crate::bail!(
            ENOTSUP,
            "an output is {}, which only the calls of its framework can carry",
            written.dtype
        );
    }
    Ok(written)
}

/// Copies the structures: whatever another thread does to them afterwards, what
/// was checked is what is used.
///
/// # Safety
/// `at` is null or points at `len` tensors.
unsafe fn copy_list(
    at: *const vaccel_tensor,
    len: usize,
    what: &str,
) -> Result<Vec<vaccel_tensor>> {
    if len > MAX_TENSORS {
        crate::bail!(EINVAL, "{len} {what}: at most {MAX_TENSORS} are allowed");
    }
    // SAFETY: promised by the caller.
    Ok(unsafe { memory::slice(at, len, what) }?.to_vec())
}

/// # Safety
/// Null or a C string that lives during `'a`.
unsafe fn optional_text<'a>(at: *const c_char, what: &str) -> Result<Option<&'a str>> {
    if at.is_null() {
        return Ok(None);
    }
    // SAFETY: promised by the caller.
    let text = unsafe { CStr::from_ptr(at) }.to_str();
    text.map(Some)
        .map_err(|_| crate::err!(EINVAL, "{what}: the text is not UTF-8"))
}

fn plain(tensor: &vaccel_tensor, what: &str, i: usize) -> Result<()> {
    if tensor.handle != 0 {
        crate::bail!(
            ENOTSUP,
            "{what} {i} is a tensor that stays on a device, which this plugin does not know"
        );
    }
    Ok(())
}

/// # Safety
/// The tensor's pointers are null or live during `'a` with the lengths it says.
unsafe fn view<'a>(
    tensor: &vaccel_tensor,
    i: usize,
    outputs: &[Range<usize>],
) -> Result<TensorView<'a>> {
    plain(tensor, "input", i)?;
    // SAFETY: promised by the caller.
    let name = unsafe { optional_text(tensor.name, "the name of an input") }?;
    let Some(dtype) = Dtype::from_code(tensor.dtype) else {
        crate::bail!(EINVAL, "input {i}: {} is no element type", tensor.dtype);
    };
    let rank = tensor.rank as usize;
    let shape = Shape::from_dims(rank, tensor.dims.iter().copied().take(rank))
        .map_err(|e| e.context(format_args!("input {i}")))?;
    // SAFETY: promised by the caller; copied where an output lies over it.
    let bytes = unsafe {
        memory::input(
            tensor.data.cast::<u8>().cast_const(),
            tensor.size,
            "the data of an input",
            outputs,
        )
    }?;
    TensorView::from_parts(name.map(Cow::Borrowed), dtype, shape, bytes)
}

/// # Safety
/// As [`view`]; the buffers of all outputs are apart.
unsafe fn output<'a>(tensor: &vaccel_tensor, i: usize) -> Result<TensorOut<'a>> {
    plain(tensor, "output", i)?;
    // SAFETY: promised by the caller.
    let name = unsafe { optional_text(tensor.name, "the name of an output") }?;
    let wanted = match tensor.dtype {
        DTYPE_UNDEFINED => None,
        code => Some(
            Dtype::from_code(code)
                .ok_or_else(|| crate::err!(EINVAL, "output {i}: {code} is no element type"))?,
        ),
    };
    let buffer = if tensor.data.is_null() {
        None
    } else {
        // SAFETY: promised by the caller.
        Some(unsafe {
            memory::slice_mut(
                tensor.data.cast::<u8>(),
                tensor.size,
                "the buffer of an output",
            )
        }?)
    };
    Ok(TensorOut::from_parts(
        name.map(Cow::Borrowed),
        wanted,
        buffer,
    ))
}

fn output_spans(outputs: &[vaccel_tensor]) -> Result<Vec<Range<usize>>> {
    let mut spans: Vec<Range<usize>> = Vec::with_capacity(outputs.len());
    for (i, t) in outputs.iter().enumerate() {
        let here = if t.data.is_null() {
            0..0
        } else {
            span(t.data.cast::<u8>(), t.size)
        };
        if spans.iter().any(|other| overlap(other, &here)) {
            crate::bail!(
                EINVAL,
                "the buffer of output {i} overlaps that of another output"
            );
        }
        spans.push(here);
    }
    Ok(spans)
}

/// # Safety
/// A tensor of the caller's.
unsafe fn set_result(at: *mut vaccel_tensor, written: &Written) {
    let dtype = written.dtype.code().unwrap_or(DTYPE_UNDEFINED);
    // SAFETY: promised by the caller; field by field, for the name stays.
    unsafe {
        (&raw mut (*at).dtype).write(dtype);
        (&raw mut (*at).rank).write(written.shape.dims().len() as u32);
        (&raw mut (*at).dims).write(written.shape.padded());
        (&raw mut (*at).size).write(written.size);
    }
}

/// Tells the caller what size the outputs need that were too small.
///
/// # Safety
/// `outputs` has as many tensors as `outs`.
unsafe fn tell_sizes(outs: &[TensorOut<'_>], outputs: *mut vaccel_tensor) {
    for (i, out) in outs.iter().enumerate() {
        if let Some(needed) = out.too_large() {
            // SAFETY: in range.
            unsafe { set_result(outputs.add(i), &needed) };
        }
    }
}

pub(crate) unsafe extern "C" fn info<P: Exported>(
    session: *mut vaccel_session,
    resource: *mut vaccel_resource,
    out: *mut vaccel_model_info,
) -> CResult {
    call::<P>("model_info", |this| {
        if out.is_null() {
            crate::bail!(EINVAL, "the place for the model's description is null");
        }
        // SAFETY: the library passes live ones.
        let (session, resource) =
            unsafe { (this.session(session)?, Resource::from_raw(resource)?) };
        let info = this.model(&session, resource, ModelApi::Neutral)?.info();
        let info = c_info(&info, &P::NAME.to_string_lossy())?;
        // SAFETY: not null; the caller's to write to.
        unsafe { out.write(info) };
        Ok(())
    })
}

/// The C form; everything malloc'ed, nothing left behind on an error.
fn c_info(info: &ModelInfo, backend: &str) -> Result<vaccel_model_info> {
    let format = CBuffer::c_string(&info.format)?;
    let backend = CBuffer::c_string(backend)?;
    let metadata = info
        .metadata
        .as_deref()
        .map(CBuffer::c_string)
        .transpose()?;
    let inputs = CTensorInfos::new(&info.inputs)?;
    let outputs = CTensorInfos::new(&info.outputs)?;
    let mut c = vaccel_model_info::empty();
    c.format = format.into_raw();
    c.backend = backend.into_raw();
    c.metadata = metadata.map_or(std::ptr::null_mut(), CBuffer::into_raw);
    (c.inputs, c.nr_inputs) = inputs.into_raw();
    (c.outputs, c.nr_outputs) = outputs.into_raw();
    Ok(c)
}

/// An array of C descriptions and the names it will own.
struct CTensorInfos {
    list: CBuffer,
    names: Vec<CBuffer>,
    infos: Vec<vaccel_tensor_info>,
}

impl CTensorInfos {
    fn new(tensors: &[TensorInfo]) -> Result<Self> {
        let mut names = Vec::new();
        let mut infos = Vec::new();
        for t in tensors {
            if t.shape.len() > TENSOR_MAX_RANK {
                crate::bail!(
                    ENOTSUP,
                    "`{}` has {} dimensions: at most {TENSOR_MAX_RANK} can be described",
                    t.name,
                    t.shape.len()
                );
            }
            let mut dims = [0; TENSOR_MAX_RANK];
            dims[..t.shape.len()].copy_from_slice(&t.shape);
            names.push(CBuffer::c_string(&t.name)?);
            infos.push(vaccel_tensor_info {
                name: std::ptr::null_mut(),
                dtype: t.dtype.and_then(Dtype::code).unwrap_or(DTYPE_UNDEFINED),
                rank: t.shape.len() as u32,
                dims,
            });
        }
        let list = CBuffer::zeroed(size_of_val(infos.as_slice()))?;
        Ok(Self { list, names, infos })
    }

    fn into_raw(self) -> (*mut vaccel_tensor_info, size_t) {
        let count = self.infos.len();
        if count == 0 {
            return (std::ptr::null_mut(), 0);
        }
        let list = self.list.into_raw::<vaccel_tensor_info>();
        for (i, (mut info, name)) in self.infos.into_iter().zip(self.names).enumerate() {
            info.name = name.into_raw();
            // SAFETY: allocated for `count` of them; malloc aligns for any type.
            unsafe { list.add(i).write(info) };
        }
        (list, count)
    }
}
