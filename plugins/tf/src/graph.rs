//! A model in TensorFlow.

use std::os::raw::c_int;
use std::ptr;

use serde_json::{Value as Json, json};
use vaccel_inference::{Graph, Input, Output, Port, Settings, Source};
use vaccel_plugin::{Error, Result, TensorOut, bail};

use crate::api::{self, Api, Node};
use crate::dtype::TYPES;
use crate::load::{self, Loaded};

/// A loaded model, which any number of threads may run at once.
pub struct TfGraph {
    loaded: Loaded,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    device: String,
    name: String,
}

/// A tensor of the runtime; released with this.
struct Tensor(&'static Api, *mut api::Tensor);

impl Drop for Tensor {
    fn drop(&mut self) {
        if !self.1.is_null() {
            // SAFETY: made by the runtime, released once.
            unsafe { (self.0.f.TF_DeleteTensor)(self.1) }
        }
    }
}

impl Tensor {
    /// A copy of an input. The graph may keep it beyond the run.
    fn of(api: &'static Api, input: &Input<'_>) -> Result<Self> {
        let Some(number) = TYPES.theirs(input.dtype) else {
            bail!(ENOTSUP, "TensorFlow has no tensors of {}", input.dtype);
        };
        let dims = input.shape.dims();
        let rank = c_int::try_from(dims.len()).unwrap_or(0);
        // SAFETY: live lengths; the memory is as long as was asked for, which is compared.
        unsafe {
            let raw = (api.f.TF_AllocateTensor)(number, dims.as_ptr(), rank, input.bytes.len());
            if raw.is_null() {
                bail!(
                    ENOMEM,
                    "no memory for a tensor of {} bytes",
                    input.bytes.len()
                );
            }
            let tensor = Self(api, raw);
            let (data, size) = ((api.f.TF_TensorData)(raw), (api.f.TF_TensorByteSize)(raw));
            if size != input.bytes.len() {
                bail!(EIO, "a tensor of {size} bytes for {}", input.bytes.len());
            }
            if size > 0 {
                ptr::copy_nonoverlapping(input.bytes.as_ptr(), data.cast(), size);
            }
            Ok(tensor)
        }
    }

    /// Copies it into the caller's memory.
    fn copy_out(&self, port: &Port, to: &mut TensorOut<'_>) -> Result<()> {
        let f = &self.0.f;
        // SAFETY: a live tensor.
        let (number, dims) = unsafe {
            let rank = (f.TF_NumDims)(self.1);
            let dims: Vec<i64> = (0..rank).map(|at| (f.TF_Dim)(self.1, at)).collect();
            ((f.TF_TensorType)(self.1), dims)
        };
        let dtype = TYPES.of_output(&port.name, number)?;
        let target = to.reserve(dtype, &dims)?;
        // SAFETY: a live tensor; its length is compared before the copy.
        unsafe {
            let (data, size) = ((f.TF_TensorData)(self.1), (f.TF_TensorByteSize)(self.1));
            if size != target.len() {
                bail!(
                    EIO,
                    "output `{}` is {size} bytes, and its shape asks for {}",
                    port.name,
                    target.len()
                );
            }
            if size > 0 {
                ptr::copy_nonoverlapping(data.cast::<u8>(), target.as_mut_ptr(), size);
            }
        }
        Ok(())
    }
}

impl TfGraph {
    /// Loads a model.
    ///
    /// # Errors
    /// `EINVAL` for what the runtime finds wrong with the file.
    pub(crate) fn load(
        api: &'static Api,
        source: &Source<'_>,
        settings: &Settings,
        config: &[u8],
    ) -> Result<Self> {
        let name = source.model.name.clone();
        let failed = |e: Error| e.context(format_args!("{name} cannot be loaded"));
        let loaded = load::load(api, source, settings, config).map_err(failed)?;
        let mut inputs: Vec<Port> = loaded.inputs.iter().map(|p| p.port.clone()).collect();
        let mut outputs: Vec<Port> = loaded.outputs.iter().map(|p| p.port.clone()).collect();
        for port in inputs.iter_mut().chain(&mut outputs) {
            port.set_batch(settings.batch);
        }
        let device = match settings.device.as_str() {
            "" => "tensorflow's choice".to_owned(),
            device => device.to_owned(),
        };
        Ok(Self {
            loaded,
            inputs,
            outputs,
            device,
            name,
        })
    }

    fn run_session(
        &self,
        options: &[u8],
        inputs: &[Input<'_>],
        outputs: &mut [Output<'_, '_>],
    ) -> Result<()> {
        let api = self.loaded.session.api;
        let mut tensors = Vec::with_capacity(inputs.len());
        for input in inputs {
            tensors.push(Tensor::of(api, input)?);
        }
        let given: Vec<Node> = inputs
            .iter()
            .map(|i| self.loaded.inputs[i.port].node)
            .collect();
        let values: Vec<*mut api::Tensor> = tensors.iter().map(|tensor| tensor.1).collect();
        let wanted: Vec<Node> = outputs
            .iter()
            .map(|o| self.loaded.outputs[o.port].node)
            .collect();
        let mut results: Vec<*mut api::Tensor> = vec![ptr::null_mut(); wanted.len()];
        let count = |list: &[Node]| c_int::try_from(list.len()).unwrap_or(0);
        let options = (!options.is_empty()).then(|| api.bytes(options));
        // SAFETY: a live session, arrays of the lengths that are said, nodes of its graph.
        let ran = api.with_status(|status| unsafe {
            (api.f.TF_SessionRun)(
                self.loaded.session.raw,
                options.as_ref().map_or(ptr::null(), |options| options.1),
                given.as_ptr(),
                values.as_ptr(),
                count(&given),
                wanted.as_ptr(),
                results.as_mut_ptr(),
                count(&wanted),
                ptr::null(),
                0,
                ptr::null_mut(),
                status,
            );
        });
        let results: Vec<Tensor> = results.into_iter().map(|raw| Tensor(api, raw)).collect();
        ran?;
        for (output, result) in outputs.iter_mut().zip(&results) {
            result.copy_out(&self.outputs[output.port], output.to)?;
        }
        Ok(())
    }
}

impl Graph for TfGraph {
    fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    fn run(&self, inputs: &[Input<'_>], outputs: &mut [Output<'_, '_>]) -> Result<()> {
        self.run_with(&[], inputs, outputs)
    }

    fn run_with(
        &self,
        options: &[u8],
        inputs: &[Input<'_>],
        outputs: &mut [Output<'_, '_>],
    ) -> Result<()> {
        self.run_session(options, inputs, outputs)
            .map_err(|e| e.context(&self.name))
    }

    fn also_called(&self, input: bool, name: &str) -> Option<usize> {
        let places = if input {
            &self.loaded.inputs
        } else {
            &self.loaded.outputs
        };
        let same = |tensor: &str| tensor == name || tensor.strip_suffix(":0") == Some(name);
        places.iter().position(|place| same(&place.tensor))
    }

    fn format(&self) -> &'static str {
        self.loaded.format
    }

    fn facts(&self) -> Json {
        json!({
            "runtime": format!("TensorFlow {}", self.loaded.session.api.version()),
            "device": self.device,
        })
    }
}
