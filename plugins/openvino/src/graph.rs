//! A model in OpenVINO, and requests for as many runs at once as there were.

use std::sync::{Mutex, PoisonError};

use serde_json::{Value as Json, json};
use vaccel_inference::{Graph, Input, Output, Port, Settings, Source};
use vaccel_plugin::{Error, Result, bail};

use crate::api::Api;
use crate::load::{Compiled, Model};
use crate::request::{Ports, Request};

/// A loaded model.
pub struct OpenvinoGraph {
    // First, so that requests go before the model that they run.
    idle: Mutex<Vec<Request>>,
    compiled: Compiled,
    ports: Ports,
    format: &'static str,
    device: String,
    name: String,
}

impl OpenvinoGraph {
    /// Loads a model for a device.
    ///
    /// # Errors
    /// `EINVAL` for what the runtime finds wrong with the file, `ENODEV` for a device that
    /// is not there.
    pub(crate) fn load(
        api: &'static Api,
        source: &Source<'_>,
        settings: &Settings,
        device: &str,
    ) -> Result<Self> {
        let name = source.model.name.clone();
        let failed = |e: Error| e.context(format_args!("{name} cannot be loaded"));
        let (model, format) = Model::read(api, source).map_err(failed)?;
        if settings.batch > 0 {
            model.set_batch(settings.batch).map_err(failed)?;
        }
        let (inputs, outputs) = (
            model.ports(true).map_err(failed)?,
            model.ports(false).map_err(failed)?,
        );
        if outputs.is_empty() {
            bail!(EINVAL, "{name} cannot be loaded: it has no outputs");
        }
        let compiled = model.compile(device, settings).map_err(failed)?;
        Ok(Self {
            idle: Mutex::default(),
            compiled,
            ports: Ports::new(inputs, outputs),
            format,
            device: device.to_lowercase(),
            name,
        })
    }
}

impl Graph for OpenvinoGraph {
    fn inputs(&self) -> &[Port] {
        &self.ports.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.ports.outputs
    }

    fn run(&self, inputs: &[Input<'_>], outputs: &mut [Output<'_, '_>]) -> Result<()> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = idle().pop();
        let mut request = match waiting {
            Some(request) => request,
            None => Request::new(&self.compiled, self.ports.outputs.len())?,
        };
        let ran = request.run(&self.ports, inputs, outputs);
        idle().push(request);
        ran.map_err(|e| e.context(&self.name))
    }

    /// The first result of an operation of TensorFlow goes by the operation's name, too, as in `tf`.
    fn also_called(&self, input: bool, name: &str) -> Option<usize> {
        let ports = if input { self.inputs() } else { self.outputs() };
        let same = |port: &Port| port.name.strip_suffix(":0") == Some(name);
        ports.iter().position(same)
    }

    fn format(&self) -> &'static str {
        self.format
    }

    fn facts(&self) -> Json {
        json!({
            "runtime": format!("OpenVINO {}", self.compiled.0.version()),
            "device": self.device,
        })
    }
}
