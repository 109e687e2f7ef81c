//! A model in ONNX Runtime.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::ptr;

use ort_sys::{OrtSession, OrtValue};
use serde_json::{Value as Json, json};
use vaccel_inference::{Aligned, Graph, Input, Output, Port, Settings, Source};
use vaccel_plugin::{Dtype, Error, Result, TensorOut, bail, err};

use crate::api::Api;
use crate::dtype;
use crate::options::session_options;
use crate::ports::read_shape;

/// A session of the runtime, which any number of threads may run at once.
pub struct OrtGraph {
    pub(crate) api: &'static Api,
    pub(crate) session: *mut OrtSession,
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
    pub(crate) input_names: Vec<CString>,
    pub(crate) output_names: Vec<CString>,
    properties: BTreeMap<String, String>,
    device: String,
    name: String,
    /// The bytes of a model in memory, which the runtime reads from as long as it lives.
    _bytes: Option<Vec<u8>>,
}

// SAFETY: a session is not tied to a thread.
unsafe impl Send for OrtGraph {}
// SAFETY: `Run` may be called from several threads by its contract; the rest is read only.
unsafe impl Sync for OrtGraph {}

impl Drop for OrtGraph {
    fn drop(&mut self) {
        // SAFETY: made by CreateSession; nobody runs it any more.
        unsafe { (self.api.table.ReleaseSession)(self.session) }
    }
}

/// A tensor of the runtime, over memory of ours or its own.
struct Value<'a>(&'a Api, *mut OrtValue);

impl Drop for Value<'_> {
    fn drop(&mut self) {
        if !self.1.is_null() {
            // SAFETY: made by the runtime, released once.
            unsafe { (self.0.table.ReleaseValue)(self.1) }
        }
    }
}

impl OrtGraph {
    /// Loads a model for a device and a number of threads.
    ///
    /// # Errors
    /// `EINVAL` for what the runtime finds wrong with the file, `ENOTSUP` for devices and
    /// operators that it does not have.
    pub(crate) fn load(
        api: &'static Api,
        source: &Source<'_>,
        settings: &Settings,
    ) -> Result<Self> {
        let name = source.model.name.clone();
        let failed = |e: Error| e.context(format_args!("{name} cannot be loaded"));
        let options = session_options(api, settings)?;
        let mut session = ptr::null_mut();
        let mut kept = None;
        // SAFETY: live pointers; the bytes are kept as long as the session.
        let made = unsafe {
            if let Some(path) = source.model.path() {
                if !path.is_file() {
                    // Says which file it is and why it cannot be read.
                    source.model.bytes()?;
                }
                let path = CString::new(path.as_os_str().as_bytes())
                    .map_err(|_| err!(EINVAL, "{name}: a zero byte in the path"))?;
                (api.table.CreateSession)(api.env, path.as_ptr(), options.1, &raw mut session)
            } else {
                let bytes = kept.insert(source.model.bytes()?.into_owned());
                (api.table.CreateSessionFromArray)(
                    api.env,
                    bytes.as_ptr().cast(),
                    bytes.len(),
                    options.1,
                    &raw mut session,
                )
            }
        };
        api.check(made).map_err(failed)?;
        let mut graph = Self {
            api,
            session,
            inputs: Vec::new(),
            outputs: Vec::new(),
            input_names: Vec::new(),
            output_names: Vec::new(),
            properties: BTreeMap::new(),
            device: settings.device.clone(),
            name: name.clone(),
            _bytes: kept,
        };
        graph.read_ports(settings.batch).map_err(failed)?;
        graph.properties = graph.read_properties().map_err(failed)?;
        Ok(graph)
    }

    /// A tensor of the runtime over memory of ours.
    ///
    /// # Safety
    /// `data` must be `size` bytes that live, and for an output are not looked at, until
    /// the value is dropped.
    unsafe fn wrap(
        &self,
        dtype: Dtype,
        shape: &[i64],
        data: *mut u8,
        size: usize,
    ) -> Result<Value<'static>> {
        let Some(type_) = dtype::to_runtime(dtype) else {
            bail!(ENOTSUP, "ONNX Runtime has no tensors of {dtype}");
        };
        let mut value = ptr::null_mut();
        // SAFETY: promised by the caller.
        let made = unsafe {
            (self.api.table.CreateTensorWithDataAsOrtValue)(
                self.api.memory,
                data.cast(),
                size,
                shape.as_ptr(),
                shape.len(),
                type_,
                &raw mut value,
            )
        };
        self.api.check(made)?;
        Ok(Value(self.api, value))
    }

    /// Copies a tensor that the runtime made into the caller's memory.
    fn copy_out(&self, port: &Port, value: &Value<'_>, to: &mut TensorOut<'_>) -> Result<()> {
        let (api, table) = (self.api, self.api.table);
        let mut is_tensor = 0;
        let mut info = ptr::null_mut();
        // SAFETY: a live value; the information on its shape is released after use.
        let (number, dims, _) = unsafe {
            api.check((table.IsTensor)(value.1, &raw mut is_tensor))?;
            if is_tensor == 0 {
                bail!(ENOTSUP, "output `{}` is not a tensor", port.name);
            }
            api.check((table.GetTensorTypeAndShape)(value.1, &raw mut info))?;
            let read = read_shape(api, info);
            (table.ReleaseTensorTypeAndShapeInfo)(info);
            read?
        };
        let Some(dtype) = dtype::from_number(number) else {
            bail!(
                ENOTSUP,
                "output `{}` is {}, which no tensor holds; ask for the others by name",
                port.name,
                dtype::name_of(number)
            );
        };
        let target = to.reserve(dtype, &dims)?;
        let mut data = ptr::null_mut();
        // SAFETY: the value is a tensor on the processor with as many bytes as its type and
        // shape ask for, which is how long the target is.
        unsafe {
            api.check((table.GetTensorMutableData)(value.1, &raw mut data))?;
            if !target.is_empty() {
                ptr::copy_nonoverlapping(data.cast::<u8>(), target.as_mut_ptr(), target.len());
            }
        }
        Ok(())
    }
}

impl Graph for OrtGraph {
    fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    fn run(&self, inputs: &[Input<'_>], outputs: &mut [Output<'_, '_>]) -> Result<()> {
        let places: Vec<Aligned<'_>> = inputs.iter().map(|i| Aligned::new(i.bytes)).collect();
        let mut values = Vec::with_capacity(inputs.len());
        let mut input_names = Vec::with_capacity(inputs.len());
        for (input, place) in inputs.iter().zip(&places) {
            // SAFETY: the runtime only reads inputs, and both places outlive the value.
            let value = unsafe {
                self.wrap(
                    input.dtype,
                    input.shape.dims(),
                    place.as_ptr().cast_mut(),
                    input.bytes.len(),
                )
            };
            values.push(value?);
            input_names.push(self.input_names[input.port].as_ptr());
        }
        // Results whose shape is known are computed in place.
        let mut results: Vec<Value<'_>> = Vec::with_capacity(outputs.len());
        let mut in_place = Vec::with_capacity(outputs.len());
        let mut output_names = Vec::with_capacity(outputs.len());
        for output in outputs.iter_mut() {
            let port = &self.outputs[output.port];
            output_names.push(self.output_names[output.port].as_ptr());
            let mut value = Value(self.api, ptr::null_mut());
            if let (Some(shape), Some(dtype)) = (port.fixed_shape(), port.dtype) {
                let target = output.to.reserve(dtype, &shape)?;
                if !target.is_empty() && target.as_ptr().addr().is_multiple_of(Aligned::ALIGNMENT) {
                    // SAFETY: the target is borrowed from the output, which nobody looks
                    // at before the value is dropped below.
                    value = unsafe { self.wrap(dtype, &shape, target.as_mut_ptr(), target.len()) }?;
                }
            }
            in_place.push(!value.1.is_null());
            results.push(value);
        }
        let inputs_raw: Vec<*const OrtValue> = values.iter().map(|v| v.1.cast_const()).collect();
        let mut results_raw: Vec<*mut OrtValue> = results.iter().map(|v| v.1).collect();
        // SAFETY: live session, names and values, in arrays of the lengths that are said.
        let ran = unsafe {
            (self.api.table.Run)(
                self.session,
                ptr::null(),
                input_names.as_ptr(),
                inputs_raw.as_ptr(),
                inputs_raw.len(),
                output_names.as_ptr(),
                output_names.len(),
                results_raw.as_mut_ptr(),
            )
        };
        for (result, raw) in results.iter_mut().zip(results_raw) {
            result.1 = raw;
        }
        self.api.check(ran).map_err(|e| e.context(&self.name))?;
        for ((output, result), in_place) in outputs.iter_mut().zip(&results).zip(in_place) {
            if !in_place {
                self.copy_out(&self.outputs[output.port], result, output.to)?;
            }
        }
        Ok(())
    }

    fn format(&self) -> &'static str {
        "onnx"
    }

    fn properties(&self) -> BTreeMap<String, String> {
        self.properties.clone()
    }

    fn facts(&self) -> Json {
        json!({
            "runtime": format!("ONNX Runtime {}", self.api.version()),
            "device": if self.device.is_empty() { "cpu" } else { self.device.as_str() },
            "properties": self.properties,
        })
    }
}
