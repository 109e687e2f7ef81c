//! Models of any format, run on named tensors.

use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::sync::{Arc, OnceLock};

use serde::Serialize;
use vaccel_abi::error;
use vaccel_abi::model::{
    TENSOR_KEEP, TENSOR_MAX_RANK, TENSOR_OWNED, vaccel_model_info, vaccel_tensor,
    vaccel_tensor_info,
};

use crate::error::{Error, Result};
use crate::kept::{Feed, KeptTensor};
use crate::library::Library;
use crate::pending::{Pending, start};
use crate::resource::Resource;
use crate::session::Session;
use crate::tensor::{Dtype, Tensor};

/// More inputs or outputs than this are not believed.
const MAX_TENSORS: usize = 65_536;

/// Name, type and shape of an input or output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TensorInfo {
    /// Name.
    pub name: String,
    /// Type; `None` when the backend does not know it.
    pub dtype: Option<Dtype>,
    /// Lengths of the dimensions; -1 where any length will do.
    pub shape: Vec<i64>,
}

/// What the backend knows of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelInfo {
    /// `onnx`, `torchscript`, `savedmodel`, `graphdef` or `tflite`.
    pub format: String,
    /// The backend that loaded it.
    pub backend: String,
    /// Inputs, in order.
    pub inputs: Vec<TensorInfo>,
    /// Outputs, in order.
    pub outputs: Vec<TensorInfo>,
    /// Further facts, a JSON object; `Null` when there are none.
    pub metadata: serde_json::Value,
}

/// A loaded model.
///
/// It keeps its session and its resource alive, and is unloaded when it goes.
/// Threads may share it.
#[derive(Debug)]
pub struct Model {
    session: Session,
    resource: Resource,
    outputs: OnceLock<usize>,
}

impl Model {
    /// Loads a model, after registering its resource with the session where that is not done yet.
    ///
    /// `options` are for the backend, as "key=value,..."; `""` for none.
    ///
    /// # Errors
    /// `ENOTSUP` when no backend of the session takes the format; `EINVAL` for a
    /// broken file or unknown options; what registering returns.
    pub fn load(session: &Session, resource: &Resource, options: &str) -> Result<Self> {
        let library = session.library();
        let load = library.extension(library.functions().model_load, "vaccel_model_load")?;
        let text =
            CString::new(options).map_err(|_| Error::invalid("the options contain a zero byte"))?;
        if !session.has_resource(resource) {
            resource.register(session)?;
        }
        let options = if options.is_empty() {
            ptr::null()
        } else {
            text.as_ptr()
        };
        // SAFETY: session and resource live; the options outlive the call.
        let code = unsafe { load(session.as_ptr(), resource.as_ptr(), options) };
        library.check("cannot load the model", code)?;
        Ok(Self {
            session: session.clone(),
            resource: resource.clone(),
            outputs: OnceLock::new(),
        })
    }

    /// Runs the model and returns all its outputs, in the order of [`ModelInfo::outputs`].
    ///
    /// Inputs go by name; an empty name means by position.
    ///
    /// # Errors
    /// `EINVAL` when an input is missing, has an unknown name, or a type or shape
    /// that the model does not take; what the backend or the transport returns.
    pub fn run<T: Feed>(&self, inputs: &[(&str, T)]) -> Result<Vec<Tensor>> {
        let names = vec![None; self.count()?];
        self.run_outputs(inputs, &names)
    }

    /// How many outputs the model has.
    fn count(&self) -> Result<usize> {
        if let Some(&count) = self.outputs.get() {
            return Ok(count);
        }
        let count = self.info()?.outputs.len();
        Ok(*self.outputs.get_or_init(|| count))
    }

    /// Runs the model and leaves all its outputs where they were computed, so that a
    /// chain of models moves no bytes.
    ///
    /// # Errors
    /// As [`Model::run`]; `ENOSPC` beyond the agent's quota; `ENOTSUP` when the library is
    /// too old.
    pub fn run_kept<T: Feed>(&self, inputs: &[(&str, T)]) -> Result<Vec<KeptTensor>> {
        let library = self.session.library();
        // A library that does not know the flag would give tensors that have data.
        library.extension(library.functions().tensor_keep, "vaccel_tensor_keep")?;
        let names = vec![None; self.count()?];
        let mut outputs = self.run_raw(inputs, &names, TENSOR_KEEP)?;
        outputs
            .0
            .drain(..)
            // SAFETY: the call succeeded; whoever has the structure has the number.
            .map(|raw| unsafe { KeptTensor::from_raw(&self.session, raw) })
            .collect()
    }

    /// Runs the model and returns the outputs of these names, in this order.
    ///
    /// Models with a description (`model.toml`) also have the inputs and outputs
    /// `vaccel.image`, `vaccel.result` and others.
    ///
    /// # Errors
    /// As [`Model::run`]; `EINVAL` for an output the model does not have.
    pub fn run_named<T: Feed>(
        &self,
        inputs: &[(&str, T)],
        outputs: &[&str],
    ) -> Result<Vec<Tensor>> {
        let names = outputs
            .iter()
            .map(|name| c_name(name))
            .collect::<Result<Vec<_>>>()?;
        self.run_outputs(inputs, &names)
    }

    /// Answers for a picture (JPEG or PNG), for a model with a description: a JSON
    /// object, for example `{"task":"classify","classes":[...]}`.
    ///
    /// # Errors
    /// As [`Model::run`].
    pub fn answer(&self, image: &[u8]) -> Result<serde_json::Value> {
        let image = Tensor::from_slice(&[image.len()], image)?;
        let result = self.run_named(&[("vaccel.image", image)], &["vaccel.result"])?;
        let json = result
            .first()
            .ok_or_else(|| Error::invalid("the model gave no result"))?
            .as_slice::<u8>()?;
        json_value("the model's result", json)
    }

    fn run_outputs<T: Feed>(
        &self,
        inputs: &[(&str, T)],
        names: &[Option<CString>],
    ) -> Result<Vec<Tensor>> {
        let mut outputs = self.run_raw(inputs, names, 0)?;
        outputs
            .0
            .iter_mut()
            // SAFETY: the call succeeded and allocated what it says.
            .map(|raw| unsafe { Tensor::from_raw(raw) })
            .collect()
    }

    /// Runs the model on outputs of these names, all with the same flags.
    fn run_raw<T: Feed>(
        &self,
        inputs: &[(&str, T)],
        names: &[Option<CString>],
        flags: u32,
    ) -> Result<Outputs> {
        let library = self.session.library();
        let run = library.extension(library.functions().model_run, "vaccel_model_run")?;
        let input_names = inputs
            .iter()
            .map(|(name, _)| c_name(name))
            .collect::<Result<Vec<_>>>()?;
        let raw_inputs: Vec<vaccel_tensor> = inputs
            .iter()
            .zip(&input_names)
            .map(|((_, tensor), name)| tensor.raw(c_pointer(name.as_ref())))
            .collect();
        let mut outputs = Outputs(
            names
                .iter()
                .map(|name| vaccel_tensor {
                    name: c_pointer(name.as_ref()),
                    flags,
                    ..vaccel_tensor::empty()
                })
                .collect(),
        );
        // SAFETY: session and resource live; names and inputs outlive the call; the
        // outputs have no data, so the library allocates it.
        let code = unsafe {
            run(
                self.session.as_ptr(),
                self.resource.as_ptr(),
                raw_inputs.as_ptr(),
                raw_inputs.len(),
                outputs.0.as_mut_ptr(),
                outputs.0.len(),
            )
        };
        library.check("cannot run the model", code)?;
        Ok(outputs)
    }

    /// Submits [`run`](Self::run): the inputs are the call's until it is over, and the
    /// model stays loaded.
    ///
    /// How many outputs a model has is asked once, when it is first run.
    ///
    /// # Errors
    /// `ENOTSUP` when the library is too old; what is wrong with the inputs is the
    /// call's result.
    pub fn run_async<T: Feed + Send + 'static>(
        self: &Arc<Self>,
        inputs: Vec<(String, T)>,
    ) -> Result<Pending<Vec<Tensor>>> {
        let library = self.session.library();
        let run = library.extension(
            library.functions().model_run_async,
            "vaccel_model_run_async",
        )?;
        let names = inputs
            .iter()
            .map(|(name, _)| c_name(name))
            .collect::<Result<Vec<_>>>()?;
        let raw_inputs = inputs
            .iter()
            .zip(&names)
            .map(|((_, tensor), name)| tensor.raw(c_pointer(name.as_ref())))
            .collect();
        let mut flight = Flight {
            raw_inputs,
            outputs: Outputs(vec![vaccel_tensor::empty(); self.count()?]),
            _kept: (Arc::clone(self), inputs, names),
        };
        let (at, count) = (flight.raw_inputs.as_ptr(), flight.raw_inputs.len());
        let (out_at, out_count) = (flight.outputs.0.as_mut_ptr(), flight.outputs.0.len());
        let finish = move || {
            // The whole, not its parts: `Flight` may go to other threads.
            let mut flight = flight;
            let outputs = flight.outputs.0.iter_mut();
            // SAFETY: the call succeeded and allocated what it says.
            outputs
                .map(|raw| unsafe { Tensor::from_raw(raw) })
                .collect()
        };
        // SAFETY: model, session, inputs and names live with the call; the elements of
        // vectors stay where they are when the vectors move; the outputs have no data.
        unsafe {
            start(&self.session, "model run", finish, |options, out| {
                run(
                    self.session.as_ptr(),
                    self.resource.as_ptr(),
                    at,
                    count,
                    out_at,
                    out_count,
                    options,
                    out,
                )
            })
        }
    }

    /// Names, types and shapes of the model's inputs and outputs.
    ///
    /// # Errors
    /// What the backend or the transport returns.
    pub fn info(&self) -> Result<ModelInfo> {
        let library = self.session.library();
        let functions = library.functions();
        let info = library.extension(functions.model_info, "vaccel_model_info")?;
        let release =
            library.extension(functions.model_info_release, "vaccel_model_info_release")?;
        let mut raw = vaccel_model_info::empty();
        // SAFETY: session and resource live; `raw` has room.
        let code = unsafe { info(self.session.as_ptr(), self.resource.as_ptr(), &raw mut raw) };
        library.check("cannot describe the model", code)?;
        // SAFETY: the call succeeded and filled `raw`.
        let result = unsafe { copy_info(&raw) };
        // SAFETY: filled by the library, released once.
        unsafe { release(&raw mut raw) };
        result
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        let library = self.session.library();
        if let Some(unload) = library.functions().model_unload {
            // The library logs what goes wrong here; there is nobody to tell.
            // SAFETY: session and resource live until after this.
            unsafe { unload(self.session.as_ptr(), self.resource.as_ptr()) };
        }
    }
}

/// What plugins are loaded and what they can do, as JSON.
///
/// # Errors
/// What [`Library::get`] returns; `ENOTSUP` on the C implementation's library.
pub fn describe() -> Result<serde_json::Value> {
    let library = Library::get()?;
    let describe = library.extension(library.functions().describe, "vaccel_describe")?;
    let mut json: *mut c_char = ptr::null_mut();
    // SAFETY: `json` receives a string of malloc.
    let code = unsafe { describe(&raw mut json) };
    library.check("cannot describe the library", code)?;
    if json.is_null() {
        return Ok(serde_json::Value::Null);
    }
    // SAFETY: not null after success, so a zero-terminated string.
    let result = json_value(
        "the description",
        unsafe { CStr::from_ptr(json) }.to_bytes(),
    );
    // SAFETY: from malloc, ours, freed once.
    unsafe { libc::free(json.cast()) };
    result
}

/// Outputs of a call; what nobody took over is freed.
struct Outputs(Vec<vaccel_tensor>);

impl Drop for Outputs {
    fn drop(&mut self) {
        for tensor in &self.0 {
            if tensor.flags & TENSOR_OWNED != 0 {
                // SAFETY: the flag says that it is from malloc and the caller's;
                // who took it over has cleared the flag.
                unsafe { libc::free(tensor.data) };
            }
        }
    }
}

/// What a call that was submitted works on.
struct Flight<K> {
    raw_inputs: Vec<vaccel_tensor>,
    outputs: Outputs,
    /// What the structures point at.
    _kept: K,
}

// SAFETY: the structures point at what is in `_kept`, and at memory of malloc.
unsafe impl<K: Send> Send for Flight<K> {}

/// # Safety
/// `raw` must have been filled by `vaccel_model_info`.
unsafe fn copy_info(raw: &vaccel_model_info) -> Result<ModelInfo> {
    // SAFETY: null or zero-terminated strings and arrays of the given lengths, as the caller vouches.
    unsafe {
        let metadata = if raw.metadata.is_null() {
            serde_json::Value::Null
        } else {
            json_value(
                "the model's metadata",
                CStr::from_ptr(raw.metadata).to_bytes(),
            )?
        };
        Ok(ModelInfo {
            format: text(raw.format),
            backend: text(raw.backend),
            inputs: copy_tensors(raw.inputs, raw.nr_inputs)?,
            outputs: copy_tensors(raw.outputs, raw.nr_outputs)?,
            metadata,
        })
    }
}

/// # Safety
/// `list` must be null or point to `count` entries.
unsafe fn copy_tensors(list: *const vaccel_tensor_info, count: usize) -> Result<Vec<TensorInfo>> {
    if list.is_null() || count == 0 {
        return Ok(Vec::new());
    }
    if count > MAX_TENSORS {
        return Err(Error::new(
            error::EIO,
            format!("the backend says that the model has {count} tensors"),
        ));
    }
    // SAFETY: as the caller vouches.
    let list = unsafe { std::slice::from_raw_parts(list, count) };
    Ok(list
        .iter()
        .map(|info| TensorInfo {
            // SAFETY: null or a zero-terminated string.
            name: unsafe { text(info.name) },
            dtype: Dtype::from_raw(info.dtype),
            shape: info.dims[..(info.rank as usize).min(TENSOR_MAX_RANK)].to_vec(),
        })
        .collect())
}

/// # Safety
/// `pointer` must be null or a zero-terminated string.
unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: as the caller vouches.
    unsafe { CStr::from_ptr(pointer) }
        .to_string_lossy()
        .into_owned()
}

/// The name for C; `None`, which becomes null, for an empty one.
fn c_name(name: &str) -> Result<Option<CString>> {
    if name.is_empty() {
        return Ok(None);
    }
    CString::new(name)
        .map(Some)
        .map_err(|_| Error::invalid(format!("the name {name:?} contains a zero byte")))
}

fn c_pointer(name: Option<&CString>) -> *const c_char {
    name.map_or(ptr::null(), |name| name.as_ptr())
}

fn json_value(what: &str, json: &[u8]) -> Result<serde_json::Value> {
    serde_json::from_slice(json)
        .map_err(|e| Error::new(error::EIO, format!("{what} is not JSON: {e}")))
}
