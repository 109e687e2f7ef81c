//! One request: the tensors of a run.

use std::ptr;

use vaccel_inference::{Aligned, Input, Output, Port};
use vaccel_plugin::{Dtype, Result, TensorOut, bail};

use crate::api::{self, Api, Shape};
use crate::dtype::TYPES;
use crate::load::Compiled;

/// What a model takes and gives.
pub(crate) struct Ports {
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
    /// For each output the input that it is itself, if it is one: given a place, the runtime would
    /// read the input from there.
    passed: Vec<Option<usize>>,
}

impl Ports {
    pub(crate) fn new(inputs: Vec<Port>, outputs: Vec<Port>) -> Self {
        // It has the input's name then.
        let input = |output: &Port| inputs.iter().position(|i| i.name == output.name);
        Self {
            passed: outputs.iter().map(input).collect(),
            inputs,
            outputs,
        }
    }
}

/// A request, for one run at a time.
pub(crate) struct Request {
    api: &'static Api,
    raw: *mut api::Request,
    /// Places for outputs of known shape that a run does not ask for, or not at an address
    /// that suits: the one of the run before is the caller's and may be gone.
    spare: Vec<Option<Tensor>>,
}

// SAFETY: a request may be used from any thread, one at a time.
unsafe impl Send for Request {}

impl Drop for Request {
    fn drop(&mut self) {
        // SAFETY: made by the runtime, released once.
        unsafe { (self.api.f.ov_infer_request_free)(self.raw) }
    }
}

/// A tensor of the runtime, over memory of ours or its own.
struct Tensor(&'static Api, *mut api::Tensor);

impl Drop for Tensor {
    fn drop(&mut self) {
        // SAFETY: made by the runtime, released once.
        unsafe { (self.0.f.ov_tensor_free)(self.1) }
    }
}

impl Tensor {
    /// A tensor over `data`, or over memory of its own where that is null.
    ///
    /// # Safety
    /// `data` must be as long as type and shape ask for, and live as long as any request has
    /// the tensor and runs.
    unsafe fn new(api: &'static Api, dtype: Dtype, shape: &[i64], data: *mut u8) -> Result<Self> {
        let Some(number) = TYPES.theirs(dtype) else {
            bail!(ENOTSUP, "OpenVINO has no tensors of {dtype}");
        };
        let shape = Shape {
            rank: i64::try_from(shape.len()).unwrap_or(0),
            // The runtime only reads it.
            dims: shape.as_ptr().cast_mut(),
        };
        let mut raw = ptr::null_mut();
        // SAFETY: live lengths and place; the rest is promised by the caller.
        api.check(unsafe {
            if data.is_null() {
                (api.f.ov_tensor_create)(number, shape, &raw mut raw)
            } else {
                (api.f.ov_tensor_create_from_host_ptr)(number, shape, data.cast(), &raw mut raw)
            }
        })?;
        Ok(Self(api, raw))
    }

    /// Copies it into the caller's memory.
    fn copy_out(&self, port: &Port, to: &mut TensorOut<'_>) -> Result<()> {
        let (api, f) = (self.0, &self.0.f);
        let (mut number, mut size, mut data) = (0, 0, ptr::null_mut());
        let mut shape = Shape {
            rank: 0,
            dims: ptr::null_mut(),
        };
        // SAFETY: a live tensor and places; the lengths are copied before they are freed.
        let dims: Vec<i64> = unsafe {
            api.check((f.ov_tensor_get_element_type)(self.1, &raw mut number))?;
            api.check((f.ov_tensor_get_shape)(self.1, &raw mut shape))?;
            let rank = usize::try_from(shape.rank).unwrap_or(0);
            let dims = (0..rank).map(|at| *shape.dims.add(at)).collect();
            (f.ov_shape_free)(&raw mut shape);
            dims
        };
        let dtype = TYPES.of_output(&port.name, number)?;
        let target = to.reserve(dtype, &dims)?;
        // SAFETY: a live tensor on the processor; its length is compared before the copy.
        unsafe {
            api.check((f.ov_tensor_get_byte_size)(self.1, &raw mut size))?;
            if size != target.len() {
                bail!(
                    EIO,
                    "output `{}` is {size} bytes, and its shape asks for {}",
                    port.name,
                    target.len()
                );
            }
            if size > 0 {
                api.check((f.ov_tensor_data)(self.1, &raw mut data))?;
                ptr::copy_nonoverlapping(data.cast::<u8>(), target.as_mut_ptr(), size);
            }
        }
        Ok(())
    }
}

impl Request {
    /// A request of a model with so many outputs.
    ///
    /// # Errors
    /// What the runtime says, for want of memory.
    pub(crate) fn new(compiled: &Compiled, outputs: usize) -> Result<Self> {
        let api = compiled.0;
        let mut raw = ptr::null_mut();
        // SAFETY: a live model and place.
        api.check(unsafe {
            (api.f.ov_compiled_model_create_infer_request)(compiled.1, &raw mut raw)
        })?;
        Ok(Self {
            api,
            raw,
            spare: (0..outputs).map(|_| None).collect(),
        })
    }

    /// Runs it once. Every input is given anew, and every output of known shape has a place
    /// given anew, so that none of the run before is touched.
    ///
    /// # Errors
    /// What the runtime says; `EINVAL` for an input that it cannot do without.
    pub(crate) fn run(
        &mut self,
        ports: &Ports,
        inputs: &[Input<'_>],
        outputs: &mut [Output<'_, '_>],
    ) -> Result<()> {
        let (api, f) = (self.api, &self.api.f);
        let count = ports.inputs.len();
        if inputs.len() != count {
            bail!(EINVAL, "{} of {count} inputs", inputs.len());
        }
        let places: Vec<Aligned<'_>> = inputs.iter().map(|i| Aligned::new(i.bytes)).collect();
        // The runtime has its own hold on them; these go at the end of the run.
        let mut tensors = Vec::with_capacity(inputs.len() + outputs.len());
        for (input, place) in inputs.iter().zip(&places) {
            let data = place.as_ptr().cast_mut();
            // An empty slice has an address that is not null.
            // SAFETY: bytes as many as type and shape ask for; the runtime only reads inputs,
            // and only while it runs.
            let tensor = unsafe { Tensor::new(api, input.dtype, input.shape.dims(), data) }?;
            // SAFETY: a live request and tensor.
            api.check(unsafe {
                (f.ov_infer_request_set_input_tensor_by_index)(self.raw, input.port, tensor.1)
            })?;
            tensors.push(tensor);
        }
        let mut in_place = vec![false; outputs.len()];
        for (at, port) in ports.outputs.iter().enumerate() {
            let (Some(shape), Some(dtype)) = (port.fixed_shape(), port.dtype) else {
                continue;
            };
            if ports.passed[at].is_some() {
                continue;
            }
            let asked = outputs.iter_mut().enumerate().find(|(_, o)| o.port == at);
            let mut target = ptr::null_mut();
            if let Some((number, output)) = asked {
                let room = output.to.reserve(dtype, &shape)?;
                if !room.is_empty() && room.as_ptr().addr().is_multiple_of(Aligned::ALIGNMENT) {
                    target = room.as_mut_ptr();
                    in_place[number] = true;
                }
            }
            let tensor = if target.is_null() {
                let spare = &mut self.spare[at];
                if spare.is_none() {
                    // SAFETY: memory of its own.
                    *spare = Some(unsafe { Tensor::new(api, dtype, &shape, target) }?);
                }
                spare.as_ref().map_or(ptr::null_mut(), |tensor| tensor.1)
            } else {
                // SAFETY: as long as type and shape ask for, and borrowed from the output, which
                // nobody looks at before the run is over.
                let tensor = unsafe { Tensor::new(api, dtype, &shape, target) }?;
                let raw = tensor.1;
                tensors.push(tensor);
                raw
            };
            // SAFETY: a live request and tensor.
            api.check(unsafe {
                (f.ov_infer_request_set_output_tensor_by_index)(self.raw, at, tensor)
            })?;
        }
        // SAFETY: a live request, all of whose tensors live.
        api.check(unsafe { (f.ov_infer_request_infer)(self.raw) })?;
        for (output, in_place) in outputs.iter_mut().zip(in_place) {
            if in_place {
                continue;
            }
            let passed = ports.passed[output.port];
            if let Some(input) = inputs.iter().find(|i| Some(i.port) == passed) {
                let (dtype, dims) = (input.dtype, input.shape.dims());
                output.to.write(dtype, dims, input.bytes)?;
                continue;
            }
            let mut raw = ptr::null_mut();
            // SAFETY: a live request and place; the tensor is released after it was copied.
            api.check(unsafe {
                (f.ov_infer_request_get_output_tensor_by_index)(self.raw, output.port, &raw mut raw)
            })?;
            Tensor(api, raw).copy_out(&ports.outputs[output.port], output.to)?;
        }
        Ok(())
    }
}
