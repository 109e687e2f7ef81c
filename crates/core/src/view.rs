//! The calls of the three frameworks as thin views of the neutral ones, for
//! plugins that offer only those.

use crate::ptr::Ptr;
use crate::tensor::{self, Fields, Tensor};
use crate::{Result, alloc, err, fail, model};
use std::ffi::{CStr, CString, c_char, c_int};
use vaccel_abi::model::{TENSOR_OWNED, tensor_bytes, vaccel_tensor, vaccel_tensor_info};
use vaccel_abi::resource::vaccel_resource;
use vaccel_abi::session::vaccel_session;

/// The pointers of a C array, none of them null.
///
/// # Safety
/// There are `count` pointers, each null or to a tensor.
pub(crate) unsafe fn list<T>(
    first: *const *mut T,
    count: c_int,
    name: &'static str,
) -> Result<Vec<Ptr<T>>> {
    let Ok(count) = usize::try_from(count) else {
        fail!(EINVAL, "{count} tensors in `{name}`");
    };
    if count == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the contract of this function.
    unsafe {
        let first = Ptr::new(first, name)?.as_ptr();
        (0..count)
            .map(|i| Ptr::new(first.add(i).read(), name))
            .collect()
    }
}

/// Runs a model on a framework's tensors. `names` gives the names of inputs and
/// outputs, or `None` to go by position.
///
/// # Errors
/// `ENOTSUP` for a type without neutral form, `EINVAL` for a malformed tensor,
/// and those of [`model::run`]; the outputs are null then.
///
/// # Safety
/// There is room for `nr_outputs` pointers at `outputs`.
pub(crate) unsafe fn run<T: Tensor>(
    sess: Ptr<vaccel_session>,
    res: Ptr<vaccel_resource>,
    inputs: &[Ptr<T>],
    outputs: *mut *mut T,
    nr_outputs: c_int,
    names: &Names,
) -> Result {
    let Ok(nr_outputs) = usize::try_from(nr_outputs) else {
        fail!(EINVAL, "{nr_outputs} outputs");
    };
    if nr_outputs > 0 {
        // SAFETY: the contract of this function.
        let first = unsafe { Ptr::new(outputs, "out_tensors")? }.as_ptr();
        for i in 0..nr_outputs {
            // SAFETY: the contract of this function.
            unsafe { first.add(i).write(std::ptr::null_mut()) };
        }
    }
    let mut ins = Vec::with_capacity(inputs.len());
    for (i, tensor) in inputs.iter().enumerate() {
        let mut neutral = to_neutral(*tensor).map_err(|e| e.context(format!("input {i}")))?;
        neutral.name = names.input(i);
        ins.push(neutral);
    }
    let mut outs = Outputs(vec![vaccel_tensor::empty(); nr_outputs]);
    for (i, tensor) in outs.0.iter_mut().enumerate() {
        tensor.name = names.output(i);
    }
    model::run(sess, res, &ins, &mut outs.0)?;
    let mut made: Vec<*mut T> = Vec::with_capacity(nr_outputs);
    for (i, tensor) in outs.0.iter_mut().enumerate() {
        match from_neutral::<T>(tensor) {
            Ok(p) => made.push(p),
            Err(e) => {
                for p in made {
                    // SAFETY: made just before.
                    let _ = unsafe { Ptr::new(p, "tensor") }.and_then(tensor::delete);
                }
                return Err(e.context(format!("output {i}")));
            }
        }
    }
    for (i, p) in made.into_iter().enumerate() {
        // SAFETY: the contract of this function.
        unsafe { outputs.add(i).write(p) };
    }
    Ok(())
}

/// Outputs of a run; what was not handed on is freed.
struct Outputs(Vec<vaccel_tensor>);

impl Drop for Outputs {
    fn drop(&mut self) {
        for tensor in &mut self.0 {
            // SAFETY: the tensor is alive.
            if let Ok(tensor) = unsafe { Ptr::new(&raw mut *tensor, "tensor") } {
                model::release_tensor(tensor);
            }
        }
    }
}

fn to_neutral<T: Tensor>(tensor: Ptr<T>) -> Result<vaccel_tensor> {
    let fields = T::fields(tensor)?;
    let dtype = T::neutral(fields.dtype)?;
    let (dims, rank) = tensor::neutral_dims(&fields)?;
    let mut neutral = vaccel_tensor {
        dtype,
        rank,
        dims,
        data: fields.data,
        ..vaccel_tensor::empty()
    };
    let Some(bytes) = tensor_bytes(dtype, neutral.shape()) else {
        fail!(EINVAL, "too many elements in {:?}", neutral.shape());
    };
    if fields.size < bytes {
        fail!(
            EINVAL,
            "{:?} needs {bytes} bytes, the tensor has {}",
            neutral.shape(),
            fields.size
        );
    }
    neutral.size = bytes;
    Ok(neutral)
}

/// A malloc'ed tensor of a framework with the data of a neutral one, which gives
/// them away.
fn from_neutral<T: Tensor>(neutral: &mut vaccel_tensor) -> Result<*mut T> {
    let dtype = T::own(neutral.dtype)?;
    let mut dims = Vec::with_capacity(neutral.shape().len());
    for &length in neutral.shape() {
        match T::Dim::try_from(length) {
            Ok(length) => dims.push(length),
            Err(_) => fail!(ERANGE, "{} has no dimensions of {length}", T::FRAMEWORK),
        }
    }
    if neutral.data.is_null() && neutral.size > 0 {
        fail!(EIO, "the plugin gave no data");
    }
    if neutral.flags & TENSOR_OWNED == 0 && !neutral.data.is_null() {
        // SAFETY: a plugin's tensor has `size` bytes.
        let bytes = unsafe { std::slice::from_raw_parts(neutral.data.cast::<u8>(), neutral.size) };
        neutral.data = alloc::copy(bytes)?.cast();
        neutral.flags |= TENSOR_OWNED;
    }
    // SAFETY: freed unless handed on.
    let c_dims = unsafe { alloc::Block::from_raw(alloc::copy(&dims)?) };
    let p = alloc::boxed(T::from_fields(Fields {
        data: neutral.data,
        size: neutral.size,
        owned: true,
        rank: dims.len(),
        dims: c_dims.as_ptr(),
        dtype,
    })?)?;
    let _ = c_dims.into_raw();
    neutral.data = std::ptr::null_mut();
    neutral.flags = 0;
    Ok(p)
}

/// Names of inputs and outputs; none to go by position.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) inputs: Vec<CString>,
    pub(crate) outputs: Vec<CString>,
}

impl Names {
    fn input(&self, i: usize) -> *const c_char {
        self.inputs.get(i).map_or(std::ptr::null(), |n| n.as_ptr())
    }

    fn output(&self, i: usize) -> *const c_char {
        self.outputs.get(i).map_or(std::ptr::null(), |n| n.as_ptr())
    }
}

/// The name of a graph's node output in a model: `name:id` if the model has
/// that, else `name` for output 0, else `name:id`. A name that has a `:` is tried
/// as it is first.
///
/// # Errors
/// `EINVAL` for an id that is negative.
pub(crate) fn tensor_name(name: &CStr, id: c_int, known: &[vaccel_tensor_info]) -> Result<CString> {
    if id < 0 {
        fail!(EINVAL, "node {name:?} has id {id}");
    }
    let has = |wanted: &CStr| {
        known.iter().any(|info| {
            // SAFETY: names of a model's description are C strings or null.
            let name = unsafe { crate::ptr::optional_text(info.name) };
            name == Some(wanted)
        })
    };
    let joined = |id: c_int| {
        let mut text = name.to_bytes().to_vec();
        text.extend_from_slice(format!(":{id}").as_bytes());
        CString::new(text).map_err(|_| err!(EINVAL, "zero in a name"))
    };
    let full = joined(id)?;
    if has(&full) {
        return Ok(full);
    }
    if id == 0 {
        if has(name) {
            return Ok(name.to_owned());
        }
        if let Some(stripped) = name.to_bytes().strip_suffix(b":0") {
            let stripped = CString::new(stripped).map_err(|_| err!(EINVAL, "zero in a name"))?;
            if has(&stripped) {
                return Ok(stripped);
            }
        }
        // Without a description of the model, the plain name is the best guess.
        if known.is_empty() {
            return Ok(name.to_owned());
        }
    }
    Ok(full)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn info(name: &'static CStr) -> vaccel_tensor_info {
        vaccel_tensor_info {
            name: name.as_ptr().cast_mut(),
            dtype: 1,
            rank: 0,
            dims: [0; 8],
        }
    }

    #[test]
    fn node_names_are_found_with_and_without_their_index() {
        let known = [info(c"x:0"), info(c"y"), info(c"z:1")];
        let find = |name, id| tensor_name(name, id, &known).unwrap();
        assert_eq!(find(c"x", 0).as_c_str(), c"x:0");
        assert_eq!(find(c"x:0", 0).as_c_str(), c"x:0");
        assert_eq!(find(c"y", 0).as_c_str(), c"y");
        assert_eq!(find(c"y:0", 0).as_c_str(), c"y");
        assert_eq!(find(c"z", 1).as_c_str(), c"z:1");
        assert_eq!(find(c"unknown", 0).as_c_str(), c"unknown:0");
        assert!(tensor_name(c"x", -1, &known).is_err());
    }

    #[test]
    fn without_a_description_the_plain_name_is_used() {
        assert_eq!(tensor_name(c"x", 0, &[]).unwrap().as_c_str(), c"x");
        assert_eq!(tensor_name(c"x", 2, &[]).unwrap().as_c_str(), c"x:2");
    }
}
