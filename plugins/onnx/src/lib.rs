//! `libvaccel-onnx.so`: runs ONNX models on the processor, in Rust alone.
//!
//! It needs nothing installed. It serves the neutral model API, and the image
//! operations for models that say how they take a picture (`model.toml`, see
//! `docs/model-description.md`). README.md lists what it can and cannot do.

mod deep_stack;
mod describe;
mod dtype;
mod engine;
mod graph;
mod header;
mod model;
mod network;
mod threads;

use std::sync::Arc;

use vaccel_inference::{Cache, Engine, Kinds, Settings, Source};
use vaccel_plugin::abi::plugin::{PLUGIN_CPU, PLUGIN_GENERIC, PLUGIN_SOFTWARE};
use vaccel_plugin::{Description, Result};

use crate::model::OnnxModel;
use crate::network::Network;

/// The engine, with the models that it has in memory.
#[derive(Default)]
pub struct Onnx {
    cache: Cache<Network>,
}

impl Engine for Onnx {
    type Graph = OnnxModel;
    const NAME: &'static str = "onnx";
    const KINDS: Kinds = Kinds {
        title: "ONNX",
        extensions: &["onnx"],
        folder_with: None,
        explain: Some(vaccel_inference::format::folder_error),
    };
    const OPTIONS: &'static [&'static str] = &["approximate"];

    fn load(&self, source: &Source<'_>, settings: &Settings) -> Result<OnnxModel> {
        let approximate = settings.switch("approximate")?;
        settings.precision_among(&["f32"])?;
        if !["", "cpu"].contains(&settings.device.as_str()) {
            vaccel_plugin::bail!(
                ENOTSUP,
                "option `device`: this backend runs on the processor, `cpu`, not on `{}`",
                settings.device
            );
        }
        let network: Arc<Network> = self.cache.get(
            (source.identities()?, String::new()),
            Network::is_current,
            || Network::load(source),
        )?;
        if !approximate {
            network.require_exact()?;
        }
        Ok(OnnxModel::new(network, settings))
    }

    fn describe(&self) -> Description {
        describe::describe()
    }
}

vaccel_inference::export_backend! {
    engine: Onnx,
    name: c"onnx",
    types: PLUGIN_CPU | PLUGIN_SOFTWARE | PLUGIN_GENERIC,
    extra: [],
}
