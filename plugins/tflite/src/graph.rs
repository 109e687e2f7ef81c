//! A TensorFlow Lite model, and interpreters for as many runs at once as there were.

use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value as Json, json};
use vaccel_inference::{Graph, Input, Output, Port, Settings, Source};
use vaccel_plugin::{Error, Result, bail};

use crate::api::{self, Api};
use crate::dense;
use crate::interpreter::Interpreter;

/// A loaded model.
pub struct TfliteGraph {
    // First, so that interpreters go before the model that they read from.
    idle: Mutex<Vec<Interpreter>>,
    model: Model,
    api: &'static Api,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    settings: Settings,
    name: String,
}

/// The runtime's view of the file, and the file.
struct Model {
    api: &'static Api,
    raw: *mut api::Model,
    _bytes: Vec<u8>,
}

// SAFETY: a model is never changed after it was made.
unsafe impl Send for Model {}
// SAFETY: as above.
unsafe impl Sync for Model {}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: made by TfLiteModelCreate; no interpreter uses it any more.
        unsafe { (self.api.f.TfLiteModelDelete)(self.raw) }
    }
}

impl TfliteGraph {
    /// Loads a model; an interpreter is made, too, to know that it works.
    ///
    /// # Errors
    /// `ENOTSUP` for what is no TFLite model, `EINVAL` for a damaged one.
    pub(crate) fn load(
        api: &'static Api,
        source: &Source<'_>,
        settings: &Settings,
    ) -> Result<Self> {
        let name = source.model.name.clone();
        let failed = |e: Error| e.context(format_args!("{name} cannot be loaded"));
        let bytes = source.model.bytes()?.into_owned();
        if bytes.get(4..8) != Some(b"TFL3") {
            bail!(
                EINVAL,
                "{name} is not a TFLite model: it does not have their mark"
            );
        }
        if api.is_before(2, 17) && dense::has_scales_per_channel(&bytes) {
            bail!(
                ENOTSUP,
                "{name} has dense layers with a scale for each channel, which TensorFlow Lite {} \
                 computes wrongly; name a library of version 2.17 or newer with VACCEL_TFLITE_LIB, \
                 or convert the model with \
                 `_experimental_disable_per_channel_quantization_for_dense_layers`",
                api.version()
            );
        }
        // SAFETY: live bytes, which are kept beside the model; the runtime verifies them.
        let raw =
            unsafe { (api.f.TfLiteModelCreate)(bytes.as_ptr().cast::<c_void>(), bytes.len()) };
        if raw.is_null() {
            bail!(EINVAL, "{name} is damaged or cut off");
        }
        let model = Model {
            api,
            raw,
            _bytes: bytes,
        };
        let first = Interpreter::new(api, model.raw, settings).map_err(failed)?;
        let (inputs, outputs) = (
            first.ports(true).map_err(failed)?,
            first.ports(false).map_err(failed)?,
        );
        Ok(Self {
            idle: Mutex::new(vec![first]),
            model,
            api,
            inputs,
            outputs,
            settings: settings.clone(),
            name,
        })
    }
}

impl Graph for TfliteGraph {
    fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    fn run(&self, inputs: &[Input<'_>], outputs: &mut [Output<'_, '_>]) -> Result<()> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = idle().pop();
        let mut interpreter = match waiting {
            Some(interpreter) => interpreter,
            None => Interpreter::new(self.api, self.model.raw, &self.settings)?,
        };
        let ran = interpreter.run(inputs, outputs);
        idle().push(interpreter);
        ran.map_err(|e| e.context(&self.name))
    }

    fn format(&self) -> &'static str {
        "tflite"
    }

    fn facts(&self) -> Json {
        json!({
            "runtime": format!("TensorFlow Lite {}", self.api.version()),
            "device": if self.settings.device.is_empty() { "cpu" } else { &self.settings.device },
        })
    }
}
