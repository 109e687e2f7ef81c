//! The model operations of `vaccel_genop`. Tensors travel as `vaccel_tensor`
//! structures, with the type numbers of the framework that the operation is of.

use crate::alloc::Block;
use crate::exec::Args;
use crate::genop::resource_of;
use crate::genop_bind::{Bound, at, is_tensor};
use crate::model::{self, Info, check_data, check_input, check_shape, deliver};
use crate::ptr::Ptr;
use crate::tensor::{self, Fields, Tensor};
use crate::{Result, alloc, err, fail, get, ptr, tf, tflite, torch};
use std::ffi::{CStr, CString, c_int};
use vaccel_abi::model::{
    DTYPE_U8, TENSOR_KEEP, TENSOR_MAX_RANK, dtype_bits, tensor_bytes, vaccel_tensor,
};
use vaccel_abi::op::{
    OP_MODEL_INFO, OP_MODEL_LOAD, OP_MODEL_RUN, OP_MODEL_UNLOAD, OP_TF_MODEL_LOAD, OP_TF_MODEL_RUN,
    OP_TF_MODEL_UNLOAD, OP_TFLITE_MODEL_LOAD, OP_TFLITE_MODEL_RUN, OP_TFLITE_MODEL_UNLOAD,
    OP_TORCH_MODEL_LOAD, OP_TORCH_MODEL_RUN, OP_TORCH_SGEMM, OpType,
};
use vaccel_abi::resource::vaccel_resource;
use vaccel_abi::session::vaccel_session;
use vaccel_abi::tensor::{
    vaccel_tf_buffer, vaccel_tf_node, vaccel_tf_status, vaccel_tf_tensor, vaccel_tflite_tensor,
    vaccel_torch_buffer, vaccel_torch_tensor,
};

/// Calls a model operation.
pub(crate) fn call(sess: Ptr<vaccel_session>, code: OpType, r: &Bound, w: &Bound) -> Result {
    if code == OP_TORCH_SGEMM {
        return torch_sgemm(sess, r, w);
    }
    let res = resource_of(r, 0)?;
    match code {
        OP_TF_MODEL_LOAD => with_status(w, |status| tf::load(sess, res, Some(status))),
        OP_TF_MODEL_UNLOAD => with_status(w, |status| tf::unload(sess, res, Some(status))),
        OP_TF_MODEL_RUN => with_status(w, |status| tf_run(sess, res, r, w, status)),
        OP_TFLITE_MODEL_LOAD => tflite::load(sess, res),
        OP_TFLITE_MODEL_UNLOAD => tflite::unload(sess, res),
        OP_TFLITE_MODEL_RUN => tflite_run(sess, res, r, w),
        OP_TORCH_MODEL_LOAD => torch::load(sess, res),
        OP_TORCH_MODEL_RUN => torch_run(sess, res, r, w),
        OP_MODEL_LOAD => model::load(sess, res, r.text(1)),
        OP_MODEL_UNLOAD => model::unload(sess, res),
        OP_MODEL_RUN => model_run(sess, res, r, w),
        OP_MODEL_INFO => model_info(sess, res, w),
        _ => fail!(EINVAL, "operation {code} has no generic form"),
    }
}

/// Copies the tensor structures out of the arguments, which need not be aligned.
fn tensors(rest: Args) -> Result<Vec<vaccel_tensor>> {
    let mut list = Vec::with_capacity(rest.count);
    for i in 0..rest.count {
        let arg = at(rest, i)?;
        if !is_tensor(arg)
            || get!(arg.buf).is_null()
            || get!(arg.size) != size_of::<vaccel_tensor>()
        {
            fail!(EINVAL, "tensor {i}: the argument is no tensor structure");
        }
        // SAFETY: the argument has as many bytes; any bytes are a valid structure.
        list.push(unsafe { get!(arg.buf).cast::<vaccel_tensor>().read_unaligned() });
    }
    Ok(list)
}

/// Output tensors that are written back to their arguments, whatever happens.
struct Outputs {
    rest: Args,
    list: Vec<vaccel_tensor>,
    /// The caller has no memory for this one.
    ours: Vec<bool>,
}

impl Outputs {
    fn new(rest: Args) -> Result<Self> {
        let mut list = tensors(rest)?;
        let ours: Vec<_> = list.iter().map(|t| t.data.is_null()).collect();
        for (tensor, ours) in list.iter_mut().zip(&ours) {
            if *ours {
                tensor.flags &= TENSOR_KEEP;
                tensor.size = 0;
            }
        }
        Ok(Self { rest, list, ours })
    }

    fn finish(mut self, result: Result) -> Result {
        for (i, tensor) in self.list.iter_mut().enumerate() {
            if result.is_err() && self.ours[i] && !tensor.data.is_null() {
                // SAFETY: the tensor is alive.
                model::release_tensor(unsafe { Ptr::new(&raw mut *tensor, "tensor")? });
            }
            let arg = at(self.rest, i)?;
            // SAFETY: checked by `tensors`.
            unsafe {
                get!(arg.buf)
                    .cast::<vaccel_tensor>()
                    .write_unaligned(*tensor)
            };
        }
        result
    }
}

fn model_run(sess: Ptr<vaccel_session>, res: Ptr<vaccel_resource>, r: &Bound, w: &Bound) -> Result {
    let inputs = tensors(r.rest)?;
    for (i, tensor) in inputs.iter().enumerate().filter(|(_, t)| t.handle == 0) {
        check_input(tensor).map_err(|e| e.context(format!("input {i}")))?;
    }
    let mut outputs = Outputs::new(w.rest)?;
    let result = model::run(sess, res, &inputs, &mut outputs.list);
    outputs.finish(result)
}

fn model_info(sess: Ptr<vaccel_session>, res: Ptr<vaccel_resource>, w: &Bound) -> Result {
    let mut outputs = Outputs::new(w.rest)?;
    let [out] = outputs.list.as_mut_slice() else {
        fail!(EINVAL, "there must be exactly one output tensor");
    };
    let result = Info::of(sess, res).and_then(|info| {
        let json = info.to_json().to_string();
        // SAFETY: freed unless handed on.
        let block = unsafe { Block::from_raw(alloc::copy(json.as_bytes())?.cast()) };
        let mut dims = [0; TENSOR_MAX_RANK];
        // A string in memory is shorter than 2^63.
        dims[0] = json.len() as i64;
        deliver(out, block, json.len(), DTYPE_U8, (dims, 1))
    });
    outputs.finish(result)
}

/// Inputs in the structure of a framework; `pointers` is what its calls take.
struct Inputs<T: Tensor> {
    // The structures point at these.
    _dims: Vec<Vec<T::Dim>>,
    _tensors: Vec<T>,
    pointers: Vec<*mut T>,
}

fn inputs<T: Tensor>(list: &[vaccel_tensor]) -> Result<Inputs<T>> {
    let mut dims = Vec::with_capacity(list.len());
    let mut tensors = Vec::with_capacity(list.len());
    for (i, tensor) in list.iter().enumerate() {
        let shape = check_typed::<T>(tensor).map_err(|e| e.context(format!("input {i}")))?;
        let mut own: Vec<T::Dim> = shape
            .iter()
            .map(|&d| {
                T::Dim::try_from(d)
                    .map_err(|_| err!(EINVAL, "input {i}: dimension {d} is too large"))
            })
            .collect::<Result<_>>()?;
        tensors.push(T::from_fields(Fields {
            data: tensor.data,
            size: tensor.size,
            owned: false,
            rank: own.len(),
            dims: own.as_mut_ptr(),
            dtype: tensor.dtype,
        })?);
        dims.push(own);
    }
    let pointers = tensors.iter_mut().map(std::ptr::from_mut).collect();
    Ok(Inputs {
        _dims: dims,
        _tensors: tensors,
        pointers,
    })
}

/// Shape and size of a tensor with a framework's type. Types without a fixed
/// size (strings) are passed on as they are.
fn check_typed<T: Tensor>(tensor: &vaccel_tensor) -> Result<&[i64]> {
    let dims = check_shape(tensor)?;
    if let Ok(dtype) = T::neutral(tensor.dtype) {
        let Some(bytes) = tensor_bytes(dtype, dims) else {
            fail!(EINVAL, "too many elements in {dims:?}");
        };
        if bytes != tensor.size {
            fail!(
                EINVAL,
                "{dims:?} needs {bytes} bytes, the tensor has {}",
                tensor.size
            );
        }
    }
    check_data(tensor)?;
    if tensor.handle != 0 {
        return Err(only_neutral());
    }
    Ok(dims)
}

/// The structures of the frameworks have no place for the number of a kept tensor.
fn only_neutral() -> crate::Error {
    err!(
        ENOTSUP,
        "kept tensors are for MODEL_RUN; this operation takes and gives elements"
    )
}

/// Moves a framework's output into a tensor of the caller.
fn give<T: Tensor>(made: *mut T, out: &mut vaccel_tensor) -> Result {
    if made.is_null() {
        fail!(EIO, "the plugin gave no tensor");
    }
    // SAFETY: a tensor that the plugin made.
    let made = unsafe { Ptr::new(made, "tensor")? };
    let result = T::fields(made).and_then(|fields| {
        let shape = tensor::neutral_dims(&fields)?;
        if fields.data.is_null() && fields.size > 0 {
            fail!(EIO, "the plugin gave no data");
        }
        let data = if fields.owned {
            tensor::take_data(made)?.0
        } else {
            // SAFETY: a tensor has `size` bytes at `data`, or none.
            let bytes = unsafe {
                if fields.data.is_null() {
                    &[]
                } else {
                    std::slice::from_raw_parts(fields.data.cast::<u8>(), fields.size)
                }
            };
            alloc::copy(bytes)?.cast()
        };
        // SAFETY: from libc, and nobody else has it.
        deliver(
            out,
            unsafe { Block::from_raw(data) },
            fields.size,
            fields.dtype,
            shape,
        )
    });
    tensor::delete(made)?;
    result
}

/// Runs `call` with room for the outputs and moves them into the arguments.
fn with_outputs<T: Tensor>(
    outputs: &mut Outputs,
    call: impl FnOnce(*mut *mut T, c_int) -> Result,
) -> Result {
    if outputs.list.iter().any(|t| t.flags & TENSOR_KEEP != 0) {
        return Err(only_neutral());
    }
    let count = outputs.list.len();
    let mut made: Vec<*mut T> = vec![std::ptr::null_mut(); count];
    let result = match c_int::try_from(count) {
        Ok(n) => call(made.as_mut_ptr(), n),
        Err(_) => fail!(EINVAL, "{count} outputs are too many"),
    };
    let mut result = result;
    for (i, (made, out)) in made.into_iter().zip(&mut outputs.list).enumerate() {
        if result.is_ok() {
            result = give(made, out).map_err(|e| e.context(format!("output {i}")));
        } else if !made.is_null() {
            // SAFETY: a tensor that the plugin made before it failed.
            let _ = unsafe { Ptr::new(made, "tensor") }.and_then(tensor::delete);
        }
    }
    result
}

/// Calls with a TensorFlow status and copies that into the write arguments 0
/// (code) and 1 (message).
fn with_status(w: &Bound, call: impl FnOnce(Ptr<vaccel_tf_status>) -> Result) -> Result {
    let mut place = vaccel_tf_status {
        code: 0,
        message: std::ptr::null_mut(),
    };
    // SAFETY: `place` outlives the call.
    let status = unsafe { Ptr::new(&raw mut place, "status")? };
    let result = call(status);
    write_byte(w, 0, get!(status.code));
    let message = w.value(1);
    if !message.buf.is_null() {
        // SAFETY: the message of a status is a C string or null.
        let text = unsafe { ptr::optional_text(get!(status.message)) }
            .unwrap_or(c"")
            .to_bytes();
        let fits = text.len().min(message.size - 1);
        // SAFETY: the argument has `size` bytes, at least one.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr(), message.buf.cast::<u8>(), fits);
            message.buf.cast::<u8>().add(fits).write(0);
        }
    }
    tf::release_status(status);
    result
}

fn write_byte(w: &Bound, i: usize, value: u8) {
    // SAFETY: checked by `bind` to be a `UINT8`.
    unsafe { w.value(i).buf.cast::<u8>().write(value) };
}

/// Splits `node:index`; without an index it is 0.
fn node(name: *const std::ffi::c_char) -> Result<(CString, c_int)> {
    // SAFETY: the name of a tensor is a C string or null.
    let name: &CStr = unsafe { ptr::text(name, "tensor name")? };
    let bytes = name.to_bytes();
    if let Some(at) = bytes.iter().rposition(|&b| b == b':')
        && let Ok(digits) = std::str::from_utf8(&bytes[at + 1..])
        && digits.bytes().all(|b| b.is_ascii_digit())
        && let Ok(index) = digits.parse()
    {
        let stem = CString::new(&bytes[..at]).map_err(|_| err!(EINVAL, "zero in a name"))?;
        return Ok((stem, index));
    }
    Ok((name.to_owned(), 0))
}

fn nodes(list: &[vaccel_tensor]) -> Result<(Vec<CString>, Vec<vaccel_tf_node>)> {
    let parts: Vec<_> = list.iter().map(|t| node(t.name)).collect::<Result<_>>()?;
    let nodes = parts
        .iter()
        .map(|(name, id)| vaccel_tf_node {
            name: name.as_ptr().cast_mut(),
            id: *id,
        })
        .collect();
    Ok((parts.into_iter().map(|(name, _)| name).collect(), nodes))
}

fn tf_run(
    sess: Ptr<vaccel_session>,
    res: Ptr<vaccel_resource>,
    r: &Bound,
    w: &Bound,
    status: Ptr<vaccel_tf_status>,
) -> Result {
    let list = tensors(r.rest)?;
    let inputs = inputs::<vaccel_tf_tensor>(&list)?;
    let (_in_names, in_nodes) = nodes(&list)?;
    let mut outputs = Outputs::new(w.rest)?;
    let (_out_names, out_nodes) = nodes(&outputs.list)?;
    let options = r.value(1);
    let buffer = vaccel_tf_buffer {
        data: options.buf,
        size: options.size,
    };
    let nr_inputs = number(list.len())?;
    let result = with_outputs(&mut outputs, |out, nr_outputs| {
        let run = tf::Run {
            options: if options.buf.is_null() {
                std::ptr::null()
            } else {
                &raw const buffer
            },
            in_nodes: in_nodes.as_ptr(),
            inputs: inputs.pointers.as_ptr(),
            nr_inputs,
            out_nodes: out_nodes.as_ptr(),
            outputs: out,
            nr_outputs,
            status: Some(status),
        };
        // SAFETY: as many nodes and tensors as the numbers say.
        unsafe { tf::run(sess, res, run) }
    });
    outputs.finish(result)
}

fn tflite_run(
    sess: Ptr<vaccel_session>,
    res: Ptr<vaccel_resource>,
    r: &Bound,
    w: &Bound,
) -> Result {
    let list = tensors(r.rest)?;
    let inputs = inputs::<vaccel_tflite_tensor>(&list)?;
    let nr_inputs = number(list.len())?;
    let mut outputs = Outputs::new(w.rest)?;
    let mut status = 0u8;
    let result = with_outputs(&mut outputs, |out, nr_outputs| {
        // SAFETY: `status` outlives the call.
        let status = unsafe { Ptr::new(&raw mut status, "status")? };
        let first = inputs.pointers.as_ptr();
        // SAFETY: as many tensors as the numbers say.
        unsafe { tflite::run(sess, res, first, nr_inputs, out, nr_outputs, Some(status)) }
    });
    write_byte(w, 0, status);
    outputs.finish(result)
}

fn torch_run(sess: Ptr<vaccel_session>, res: Ptr<vaccel_resource>, r: &Bound, w: &Bound) -> Result {
    let list = tensors(r.rest)?;
    let inputs = inputs::<vaccel_torch_tensor>(&list)?;
    let nr_inputs = number(list.len())?;
    let mut outputs = Outputs::new(w.rest)?;
    let options = r.value(1);
    let buffer = vaccel_torch_buffer {
        data: options.buf.cast(),
        size: options.size,
    };
    let options = if options.buf.is_null() {
        std::ptr::null()
    } else {
        &raw const buffer
    };
    let result = with_outputs(&mut outputs, |out, nr_outputs| {
        let first = inputs.pointers.as_ptr();
        // SAFETY: as many tensors as the numbers say.
        unsafe { torch::run(sess, res, options, first, nr_inputs, out, nr_outputs) }
    });
    outputs.finish(result)
}

fn torch_sgemm(sess: Ptr<vaccel_session>, r: &Bound, w: &Bound) -> Result {
    let [m, n, k] = [r.i32(0)?, r.i32(1)?, r.i32(2)?];
    let list = tensors(r.rest)?;
    let mut inputs = inputs::<vaccel_torch_tensor>(&list)?;
    let [a, b, c] = list.as_slice() else {
        fail!(
            EINVAL,
            "there must be three tensors, A, B and C, and there are {}",
            list.len()
        );
    };
    for (name, tensor, rows, columns) in [("A", a, m, k), ("B", b, k, n), ("C", c, m, n)] {
        let bits = vaccel_torch_tensor::neutral(tensor.dtype)
            .ok()
            .and_then(dtype_bits);
        let needed = bits.and_then(|bits| {
            let rows = usize::try_from(rows).ok()?;
            rows.checked_mul(usize::try_from(columns).ok()?)?
                .checked_mul(bits / 8)
        });
        if needed.is_none_or(|needed| needed > tensor.size) {
            fail!(
                EINVAL,
                "{name} has {} bytes, too few for {rows} x {columns}",
                tensor.size
            );
        }
    }
    let mut outputs = Outputs::new(w.rest)?;
    if outputs.list.len() != 1 {
        fail!(EINVAL, "there must be exactly one output tensor");
    }
    let result = with_outputs(&mut outputs, |out, _| {
        let first = inputs.pointers.as_mut_ptr();
        // SAFETY: three inputs and one output are there.
        unsafe {
            let input = |i| Ptr::new(first.wrapping_add(i), "tensor");
            let out = Ptr::new(out, "out")?;
            torch::sgemm(sess, [input(0)?, input(1)?, input(2)?], [m, n, k], out)
        }
    });
    outputs.finish(result)
}

fn number(count: usize) -> Result<c_int> {
    c_int::try_from(count).map_err(|_| err!(EINVAL, "{count} tensors are too many"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_split_at_the_last_colon_before_a_number() {
        let split = |name: &CStr| {
            let (stem, index) = node(name.as_ptr()).unwrap();
            (stem.into_string().unwrap(), index)
        };
        assert_eq!(split(c"x:3"), ("x".into(), 3));
        assert_eq!(split(c"x"), ("x".into(), 0));
        assert_eq!(split(c"a:b"), ("a:b".into(), 0));
        assert_eq!(split(c"a:b:1"), ("a:b".into(), 1));
        assert_eq!(split(c"x:99999999999"), ("x:99999999999".into(), 0));
        assert!(node(std::ptr::null()).is_err());
    }
}
