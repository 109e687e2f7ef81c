//! `libvaccel-openvino.so`: runs ONNX models, SavedModels, frozen TensorFlow graphs, TFLite
//! models and its own with OpenVINO, on processors, GPUs and NPUs of Intel's.
//!
//! The runtime is opened on first use; README.md says where it is looked for. Tensors are
//! given to it where they lie, and results of known shape are computed into the caller's
//! memory.

mod api;
mod dtype;
mod graph;
mod load;
mod request;

use vaccel_inference::runtime::{Once, Runtime, Spec};
use vaccel_inference::{Cache, Engine, Kinds, Settings, Source, available_threads};
use vaccel_plugin::abi::plugin::{PLUGIN_CPU, PLUGIN_GENERIC, PLUGIN_GPU, PLUGIN_SOFTWARE};
use vaccel_plugin::{Description, Device, Result, Variable};

use crate::api::Api;
use crate::graph::OpenvinoGraph;

static RUNTIME: Once<Api> = Once::new();

const SPEC: Spec = Spec {
    name: "openvino",
    title: "OpenVINO",
    variable: Variable {
        name: "VACCEL_OPENVINO_LIB",
        meaning: "libopenvino_c.so, or the folder it is in; nothing else is then looked for",
    },
    files: &["libopenvino_c.so", "libopenvino_c.so.2641"],
    remedy: "run `cargo xtask runtimes openvino`, or unpack the pip package `openvino` and set \
             VACCEL_OPENVINO_LIB to its libs/libopenvino_c.so.*",
};

fn runtime() -> Result<&'static Runtime<Api>> {
    RUNTIME.get(&SPEC, Api::bind)
}

/// The engine, with the models that it has in memory.
#[derive(Default)]
pub struct Openvino {
    cache: Cache<OpenvinoGraph>,
}

impl Engine for Openvino {
    type Graph = std::sync::Arc<OpenvinoGraph>;
    const NAME: &'static str = SPEC.name;
    const KINDS: Kinds = Kinds {
        title: "OpenVINO",
        extensions: &["onnx", "xml", "pb", "tflite"],
        folder_with: Some("saved_model.pb"),
        explain: None,
    };

    fn load(&self, source: &Source<'_>, settings: &Settings) -> Result<Self::Graph> {
        settings.precision_among(&["f32", "f16", "bf16"])?;
        let device = load::device(&settings.device)?;
        let runtime = runtime()?;
        let key = (source.identities()?, format!("{settings:?}"));
        let load = || OpenvinoGraph::load(&runtime.api, source, settings, &device);
        self.cache.get(key, |_| true, load)
    }

    fn gpu(&self) -> Option<String> {
        let devices = runtime().ok()?.api.devices();
        let found = devices.iter().any(|d| d == "GPU" || d.starts_with("GPU."));
        found.then(|| "gpu".to_owned())
    }

    fn describe(&self) -> Description {
        let runtime = runtime();
        let summary = "ONNX, TensorFlow, TFLite models and image operations with OpenVINO";
        let formats = ["onnx", "savedmodel", "graphdef", "tflite", "openvino"];
        let mut description = SPEC.describe(summary, &formats, &runtime, Api::version);
        if let Ok(runtime) = runtime {
            for name in runtime.api.devices() {
                let about = match name.as_str() {
                    "CPU" => format!("processor, {} threads", available_threads()),
                    other => format!("OpenVINO's device {other}"),
                };
                description.devices.push(Device {
                    id: name.to_lowercase(),
                    name: about,
                    memory: None,
                });
            }
        }
        description
    }
}

vaccel_inference::export_backend! {
    engine: Openvino,
    name: c"openvino",
    types: PLUGIN_CPU | PLUGIN_GPU | PLUGIN_SOFTWARE | PLUGIN_GENERIC,
    extra: [],
}
