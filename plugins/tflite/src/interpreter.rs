//! One interpreter: a model with memory for its tensors, for one run at a time.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::{Mutex, PoisonError};
use std::{ptr, slice};

use vaccel_inference::{Input, Output, Port, Settings};
use vaccel_plugin::{Result, bail, err};

use crate::api::{
    self, Api, Delegate, Tensor, VaList, XNNPACK_FORCE_FP16, XNNPACK_QUANTIZED, XnnpackOptions,
};
use crate::delegate::{External, format};
use crate::dtype::TYPES;

/// A model with memory for its tensors.
pub(crate) struct Interpreter {
    api: &'static Api,
    raw: *mut api::Interpreter,
    xnnpack: *mut Delegate,
    external: Option<External>,
    /// Where the runtime puts its messages; it keeps the address.
    said: Box<Mutex<String>>,
}

// SAFETY: an interpreter may be used from any thread, one at a time.
unsafe impl Send for Interpreter {}

impl Drop for Interpreter {
    fn drop(&mut self) {
        // SAFETY: each was made by the runtime; the interpreter goes before its delegate.
        unsafe {
            if !self.raw.is_null() {
                (self.api.f.TfLiteInterpreterDelete)(self.raw);
            }
            if let (false, Some(delete)) = (
                self.xnnpack.is_null(),
                self.api.f.TfLiteXNNPackDelegateDelete,
            ) {
                delete(self.xnnpack);
            }
        }
        self.external = None;
    }
}

unsafe extern "C" fn report(to: *mut c_void, text: *const c_char, arguments: VaList) {
    // SAFETY: the box below, which lives as long as the interpreter; the rest is as the
    // runtime passes it.
    let (to, text) = unsafe { (&*to.cast::<Mutex<String>>(), format(text, arguments)) };
    let mut said = to.lock().unwrap_or_else(PoisonError::into_inner);
    if said.len() < 2000 {
        if !said.is_empty() {
            said.push_str("; ");
        }
        said.push_str(&text);
    }
}

impl Interpreter {
    /// Makes an interpreter and its memory. XNNPACK is tried first; a model that it
    /// cannot take runs without it.
    ///
    /// # Errors
    /// `EINVAL` for a model with operators or shapes that do not work.
    pub(crate) fn new(
        api: &'static Api,
        model: *const api::Model,
        settings: &Settings,
    ) -> Result<Self> {
        match settings.device.as_str() {
            "delegate" => return Self::make(api, model, settings, false, true),
            "" | "cpu" => {}
            other => bail!(
                ENOTSUP,
                "option `device`: this backend runs on cpu and delegate, not on `{other}`"
            ),
        }
        if api.f.TfLiteXNNPackDelegateCreate.is_some()
            && let Ok(made) = Self::make(api, model, settings, true, false)
        {
            return Ok(made);
        }
        Self::make(api, model, settings, false, false)
    }

    fn make(
        api: &'static Api,
        model: *const api::Model,
        settings: &Settings,
        xnnpack: bool,
        external: bool,
    ) -> Result<Self> {
        let _one = api.making.lock().unwrap_or_else(PoisonError::into_inner);
        let f = &api.f;
        let mut this = Self {
            api,
            raw: ptr::null_mut(),
            xnnpack: ptr::null_mut(),
            external: external.then(External::new).transpose()?,
            said: Box::default(),
        };
        let threads = i32::try_from(settings.threads).unwrap_or(i32::MAX);
        if let (true, Some(create)) = (xnnpack, f.TfLiteXNNPackDelegateCreate) {
            let half = if settings.precision == "f16" {
                XNNPACK_FORCE_FP16
            } else {
                0
            };
            let options = XnnpackOptions {
                num_threads: threads,
                flags: XNNPACK_QUANTIZED | half,
                rest: [0; 30],
            };
            // SAFETY: options at least as large as those of any version.
            this.xnnpack = unsafe { create(&raw const options) };
        }
        // SAFETY: a live model; options that are released after the interpreter was made of
        // them; a reporter whose place lives as long as the interpreter.
        unsafe {
            let options = (f.TfLiteInterpreterOptionsCreate)();
            (f.TfLiteInterpreterOptionsSetNumThreads)(options, threads);
            let place: *const Mutex<String> = &raw const *this.said;
            (f.TfLiteInterpreterOptionsSetErrorReporter)(options, report, place.cast_mut().cast());
            for delegate in [
                this.xnnpack,
                this.external.as_ref().map_or(ptr::null_mut(), |e| e.raw),
            ] {
                if !delegate.is_null() {
                    (f.TfLiteInterpreterOptionsAddDelegate)(options, delegate);
                }
            }
            this.raw = (f.TfLiteInterpreterCreate)(model, options);
            (f.TfLiteInterpreterOptionsDelete)(options);
        }
        if this.raw.is_null() {
            bail!(EINVAL, "{}", this.said("the runtime refuses it"));
        }
        if settings.batch > 0 {
            this.set_batch(settings.batch)?;
        }
        // SAFETY: a live interpreter.
        let allocated = unsafe { (f.TfLiteInterpreterAllocateTensors)(this.raw) };
        this.check(allocated, "it finds no memory for its tensors")?;
        Ok(this)
    }

    fn set_batch(&mut self, batch: usize) -> Result<()> {
        let batch = c_int::try_from(batch).map_err(|_| err!(EINVAL, "a batch of {batch}"))?;
        for at in 0..self.count(true) {
            let (_, mut dims) = self.shape(self.tensor(at, true)?)?;
            if let Some(first) = dims.first_mut() {
                *first = batch;
            }
            let rank = i32::try_from(dims.len()).unwrap_or(0);
            // SAFETY: a live interpreter, an index in range, so many lengths.
            let resized = unsafe {
                (self.api.f.TfLiteInterpreterResizeInputTensor)(self.raw, at, dims.as_ptr(), rank)
            };
            self.check(resized, "it does not take this batch")?;
        }
        Ok(())
    }

    fn check(&self, status: c_int, otherwise: &str) -> Result<()> {
        if status == 0 {
            return Ok(());
        }
        bail!(EINVAL, "{}", self.said(otherwise))
    }

    /// What the runtime said last, else a text of ours.
    fn said(&self, otherwise: &str) -> String {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let text = std::mem::take(&mut *said);
        if text.is_empty() {
            otherwise.to_owned()
        } else {
            text
        }
    }

    fn count(&self, inputs: bool) -> i32 {
        // SAFETY: a live interpreter.
        unsafe {
            if inputs {
                (self.api.f.TfLiteInterpreterGetInputTensorCount)(self.raw)
            } else {
                (self.api.f.TfLiteInterpreterGetOutputTensorCount)(self.raw)
            }
        }
    }

    fn tensor(&self, at: i32, input: bool) -> Result<*const Tensor> {
        // SAFETY: a live interpreter; an index out of range gives null.
        let tensor = unsafe {
            if input {
                (self.api.f.TfLiteInterpreterGetInputTensor)(self.raw, at).cast_const()
            } else {
                (self.api.f.TfLiteInterpreterGetOutputTensor)(self.raw, at)
            }
        };
        if tensor.is_null() {
            bail!(EINVAL, "it has no tensor number {at}");
        }
        Ok(tensor)
    }

    /// Number of the type, and lengths.
    fn shape(&self, tensor: *const Tensor) -> Result<(i32, Vec<c_int>)> {
        let f = &self.api.f;
        // SAFETY: a tensor of this interpreter.
        unsafe {
            let rank = (f.TfLiteTensorNumDims)(tensor);
            if !(0..=64).contains(&rank) {
                bail!(EINVAL, "a tensor of {rank} dimensions");
            }
            let dims = (0..rank).map(|at| (f.TfLiteTensorDim)(tensor, at));
            Ok(((f.TfLiteTensorType)(tensor), dims.collect()))
        }
    }

    /// Inputs or outputs as the model declares them.
    pub(crate) fn ports(&self, inputs: bool) -> Result<Vec<Port>> {
        let mut ports = Vec::new();
        for at in 0..self.count(inputs) {
            let tensor = self.tensor(at, inputs)?;
            let (number, dims) = self.shape(tensor)?;
            // SAFETY: a tensor of this interpreter; the name lives as long as the model.
            let name = unsafe {
                let name = (self.api.f.TfLiteTensorName)(tensor);
                if name.is_null() {
                    format!("{at}")
                } else {
                    CStr::from_ptr(name).to_string_lossy().into_owned()
                }
            };
            // Lengths of outputs are only known for sure after a run.
            let dims = dims.iter().map(|&d| usize::try_from(d).ok()).collect();
            ports.push(TYPES.port(name, number, Some(dims), inputs)?);
        }
        Ok(ports)
    }

    /// Copies the inputs in, runs, copies the outputs out.
    ///
    /// # Errors
    /// `EINVAL` with what the runtime says.
    pub(crate) fn run(
        &mut self,
        inputs: &[Input<'_>],
        outputs: &mut [Output<'_, '_>],
    ) -> Result<()> {
        let f = &self.api.f;
        for input in inputs {
            let tensor = self.tensor(i32::try_from(input.port).unwrap_or(-1), true)?;
            // SAFETY: a tensor of this interpreter, whose memory is as long as it says.
            unsafe {
                let (data, size) = (
                    (f.TfLiteTensorData)(tensor),
                    (f.TfLiteTensorByteSize)(tensor),
                );
                if size != input.bytes.len() || data.is_null() {
                    bail!(
                        EINVAL,
                        "input {} is {} bytes, the runtime takes {size}",
                        input.port,
                        input.bytes.len()
                    );
                }
                ptr::copy_nonoverlapping(input.bytes.as_ptr(), data.cast(), size);
            }
        }
        // SAFETY: a live interpreter with all its memory.
        let ran = unsafe { (f.TfLiteInterpreterInvoke)(self.raw) };
        self.check(ran, "the runtime could not run it")?;
        for output in outputs {
            let tensor = self.tensor(i32::try_from(output.port).unwrap_or(-1), false)?;
            let (number, dims) = self.shape(tensor)?;
            let dtype = TYPES.of_output(&output.port.to_string(), number)?;
            let dims: Vec<i64> = dims.into_iter().map(i64::from).collect();
            // SAFETY: as for the inputs.
            let bytes = unsafe {
                let (data, size) = (
                    (f.TfLiteTensorData)(tensor),
                    (f.TfLiteTensorByteSize)(tensor),
                );
                if size == 0 || data.is_null() {
                    &[]
                } else {
                    slice::from_raw_parts(data.cast::<u8>(), size)
                }
            };
            output.to.write(dtype, &dims, bytes)?;
        }
        Ok(())
    }
}
