//! A model in ONNX Runtime.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::ptr;

use ort_sys::{OrtSession, OrtSessionOptions, OrtTensorTypeAndShapeInfo, OrtTypeInfo, OrtValue};
use serde_json::{Value as Json, json};
use vaccel_inference::{Aligned, Graph, Input, Output, Port, Settings, Source};
use vaccel_plugin::{Dtype, Error, Result, TensorOut, bail, err};

use crate::api::{Api, c_string};
use crate::dtype;

/// A session of the runtime, which any number of threads may run at once.
pub struct OrtGraph {
    api: &'static Api,
    session: *mut OrtSession,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    input_names: Vec<CString>,
    output_names: Vec<CString>,
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

/// Options of a session, released with it.
struct SessionOptions<'a>(&'a Api, *mut OrtSessionOptions);

impl Drop for SessionOptions<'_> {
    fn drop(&mut self) {
        // SAFETY: made by CreateSessionOptions.
        unsafe { (self.0.table.ReleaseSessionOptions)(self.1) }
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

    fn read_ports(&mut self, batch: usize) -> Result<()> {
        let table = self.api.table;
        let (mut inputs, mut outputs) = (0, 0);
        // SAFETY: a live session, live places.
        unsafe {
            self.api
                .check((table.SessionGetInputCount)(self.session, &raw mut inputs))?;
            self.api.check((table.SessionGetOutputCount)(
                self.session,
                &raw mut outputs,
            ))?;
        }
        for (count, is_input) in [(inputs, true), (outputs, false)] {
            for at in 0..count {
                let mut port = self.read_port(at, is_input)?;
                if is_input && port.dtype.is_none() {
                    bail!(
                        ENOTSUP,
                        "input `{}` is {}, which no tensor holds",
                        port.name,
                        port.type_name
                    );
                }
                port.set_batch(batch);
                let name = c_string(&port.name)?;
                if is_input {
                    self.inputs.push(port);
                    self.input_names.push(name);
                } else {
                    self.outputs.push(port);
                    self.output_names.push(name);
                }
            }
        }
        Ok(())
    }

    fn read_port(&self, at: usize, is_input: bool) -> Result<Port> {
        let (api, table) = (self.api, self.api.table);
        let mut name: *mut c_char = ptr::null_mut();
        let mut info: *mut OrtTypeInfo = ptr::null_mut();
        let (get_name, get_info) = if is_input {
            (table.SessionGetInputName, table.SessionGetInputTypeInfo)
        } else {
            (table.SessionGetOutputName, table.SessionGetOutputTypeInfo)
        };
        // SAFETY: a live session, an index in range, live places. The information on the
        // type is released after the last look at it.
        unsafe {
            api.check(get_name(self.session, at, api.allocator, &raw mut name))?;
            let name = api.take_text(name);
            api.check(get_info(self.session, at, &raw mut info))?;
            let mut tensor: *const OrtTensorTypeAndShapeInfo = ptr::null();
            let read = api
                .check((table.CastTypeInfoToTensorInfo)(info, &raw mut tensor))
                .and_then(|()| match tensor.is_null() {
                    true => Ok(None),
                    false => read_shape(api, tensor).map(Some),
                });
            (table.ReleaseTypeInfo)(info);
            let (number, dims, symbols) = match read? {
                Some(read) => read,
                None => {
                    return Ok(Port {
                        name,
                        dtype: None,
                        type_name: "not a tensor".into(),
                        dims: None,
                        symbols: Vec::new(),
                        optional: false,
                    });
                }
            };
            let dtype = dtype::from_number(number);
            let port = Port {
                name,
                dtype,
                type_name: Cow::Borrowed(dtype.map_or(dtype::name_of(number), Dtype::name)),
                dims: Some(dims.iter().map(|&d| usize::try_from(d).ok()).collect()),
                symbols,
                optional: false,
            };
            port.check_rank()?;
            Ok(port)
        }
    }

    /// The metadata that the exporter wrote into the file.
    fn read_properties(&self) -> Result<BTreeMap<String, String>> {
        let (api, table) = (self.api, self.api.table);
        let mut properties = BTreeMap::new();
        let mut metadata = ptr::null_mut();
        let mut keys: *mut *mut c_char = ptr::null_mut();
        let mut count = 0_i64;
        // SAFETY: a live session and live places; the list and its texts are the default
        // allocator's, freed once each.
        unsafe {
            api.check((table.SessionGetModelMetadata)(
                self.session,
                &raw mut metadata,
            ))?;
            let got = api.check((table.ModelMetadataGetCustomMetadataMapKeys)(
                metadata,
                api.allocator,
                &raw mut keys,
                &raw mut count,
            ));
            if got.is_ok() && !keys.is_null() {
                for at in 0..usize::try_from(count).unwrap_or(0) {
                    let key = *keys.add(at);
                    let mut value: *mut c_char = ptr::null_mut();
                    let found = api.check((table.ModelMetadataLookupCustomMetadataMap)(
                        metadata,
                        api.allocator,
                        key,
                        &raw mut value,
                    ));
                    let key = api.take_text(key);
                    if found.is_ok() && !value.is_null() {
                        properties.insert(key, api.take_text(value));
                    }
                }
                let _ = api.check((table.AllocatorFree)(api.allocator, keys.cast()));
            }
            (table.ReleaseModelMetadata)(metadata);
            got?;
        }
        Ok(properties)
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

fn session_options<'a>(api: &'a Api, settings: &Settings) -> Result<SessionOptions<'a>> {
    let table = api.table;
    let mut raw = ptr::null_mut();
    // SAFETY: a live place.
    api.check(unsafe { (table.CreateSessionOptions)(&raw mut raw) })?;
    let options = SessionOptions(api, raw);
    let threads = i32::try_from(settings.threads).unwrap_or(i32::MAX);
    // SAFETY: live options.
    unsafe {
        api.check((table.SetIntraOpNumThreads)(raw, threads))?;
        api.check((table.SetInterOpNumThreads)(raw, 1))?;
    }
    let (device, number) = match settings.device.split_once(':') {
        Some((device, number)) => (device, number),
        None => (settings.device.as_str(), "0"),
    };
    if !number.bytes().all(|b| b.is_ascii_digit()) {
        bail!(EINVAL, "option `device`: `{number}` is not a number");
    }
    match device {
        "" | "cpu" => {}
        "cuda" | "gpu" => append_cuda(api, raw, number)?,
        "tensorrt" => append_tensorrt(api, raw, number)?,
        other => bail!(
            ENOTSUP,
            "option `device`: this backend runs on cpu, cuda and tensorrt, not on `{other}`"
        ),
    }
    Ok(options)
}

fn append_cuda(api: &Api, options: *mut OrtSessionOptions, number: &str) -> Result<()> {
    let table = api.table;
    let mut cuda = ptr::null_mut();
    let (key, value) = (c"device_id".as_ptr(), c_string(number)?);
    let value = value.as_ptr();
    // SAFETY: live options; the provider's are released after they were copied.
    let appended = unsafe {
        api.check((table.CreateCUDAProviderOptions)(&raw mut cuda))
            .map_err(no_provider)?;
        let appended = api
            .check((table.UpdateCUDAProviderOptions)(
                cuda,
                &raw const key,
                &raw const value,
                1,
            ))
            .and_then(|()| {
                api.check((table.SessionOptionsAppendExecutionProvider_CUDA_V2)(
                    options, cuda,
                ))
            });
        (table.ReleaseCUDAProviderOptions)(cuda);
        appended
    };
    appended.map_err(no_provider)
}

fn append_tensorrt(api: &Api, options: *mut OrtSessionOptions, number: &str) -> Result<()> {
    let table = api.table;
    let mut tensorrt = ptr::null_mut();
    let (key, value) = (c"device_id".as_ptr(), c_string(number)?);
    let value = value.as_ptr();
    // SAFETY: as in `append_cuda`.
    let appended = unsafe {
        api.check((table.CreateTensorRTProviderOptions)(&raw mut tensorrt))
            .map_err(no_provider)?;
        let appended = api
            .check((table.UpdateTensorRTProviderOptions)(
                tensorrt,
                &raw const key,
                &raw const value,
                1,
            ))
            .and_then(|()| {
                api.check((table.SessionOptionsAppendExecutionProvider_TensorRT_V2)(
                    options, tensorrt,
                ))
            });
        (table.ReleaseTensorRTProviderOptions)(tensorrt);
        appended
    };
    appended.map_err(no_provider)?;
    // What TensorRT does not take runs on CUDA.
    append_cuda(api, options, number)
}

/// A device that this build of the runtime, or this machine, does not have.
fn no_provider(e: Error) -> Error {
    err!(
        ENOTSUP,
        "option `device`: {}; use device=cpu, or set VACCEL_ONNXRUNTIME_LIB to the runtime of the \
         pip package `onnxruntime-gpu`",
        e.message()
    )
}

/// Number of the type, lengths, names of open lengths.
type TypeAndShape = (i32, Vec<i64>, Vec<Option<String>>);

/// # Safety
/// Live information on a tensor.
unsafe fn read_shape(api: &Api, info: *const OrtTensorTypeAndShapeInfo) -> Result<TypeAndShape> {
    let table = api.table;
    let (mut number, mut rank) = (0_i32, 0);
    // SAFETY: promised by the caller. The type is read as a number: a newer runtime may
    // have types of its own. The names live as long as the information.
    unsafe {
        api.check((table.GetTensorElementType)(info, (&raw mut number).cast()))?;
        api.check((table.GetDimensionsCount)(info, &raw mut rank))?;
        let mut dims = vec![0_i64; rank];
        api.check((table.GetDimensions)(info, dims.as_mut_ptr(), rank))?;
        let mut names: Vec<*const c_char> = vec![ptr::null(); rank];
        api.check((table.GetSymbolicDimensions)(
            info,
            names.as_mut_ptr(),
            rank,
        ))?;
        let symbols = names
            .into_iter()
            .map(|name| {
                let name = (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy());
                name.filter(|name| !name.is_empty()).map(Cow::into_owned)
            })
            .collect();
        Ok((number, dims, symbols))
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
