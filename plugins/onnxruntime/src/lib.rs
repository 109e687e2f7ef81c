//! `libvaccel-onnxruntime.so`: runs ONNX models with ONNX Runtime, on the processor, on
//! CUDA or with TensorRT.
//!
//! The runtime is opened on first use; README.md says where it is looked for. Tensors are
//! given to it where they lie, and results of known shape are computed into the caller's
//! memory.

mod api;
mod dtype;
mod graph;
mod options;
mod ports;

use vaccel_inference::runtime::{Once, Runtime, Spec};
use vaccel_inference::{Cache, Engine, Kinds, Settings, Source, available_threads};
use vaccel_plugin::abi::plugin::{PLUGIN_CPU, PLUGIN_GENERIC, PLUGIN_GPU, PLUGIN_SOFTWARE};
use vaccel_plugin::{Description, Device, Result, Variable};

use crate::api::Api;
use crate::graph::OrtGraph;

static RUNTIME: Once<Api> = Once::new();

const SPEC: Spec = Spec {
    name: "onnxruntime",
    title: "ONNX Runtime",
    variable: Variable {
        name: "VACCEL_ONNXRUNTIME_LIB",
        meaning: "libonnxruntime.so, or the folder it is in; nothing else is then looked for",
    },
    files: &[
        "libonnxruntime.so",
        "libonnxruntime.so.1",
        "libonnxruntime.so.1.31.1",
    ],
    remedy: "run `cargo xtask runtimes onnxruntime`, or unpack the pip package `onnxruntime` \
             (`onnxruntime-gpu` for CUDA) and set VACCEL_ONNXRUNTIME_LIB to its \
             capi/libonnxruntime.so.*",
};

fn runtime() -> Result<&'static Runtime<Api>> {
    RUNTIME.get(&SPEC, Api::bind)
}

/// The engine, with the models that it has in memory.
#[derive(Default)]
pub struct OnnxRuntime {
    cache: Cache<OrtGraph>,
}

impl Engine for OnnxRuntime {
    type Graph = std::sync::Arc<OrtGraph>;
    const NAME: &'static str = SPEC.name;
    const KINDS: Kinds = Kinds {
        title: "ONNX",
        extensions: &["onnx", "ort"],
        folder_with: None,
        explain: None,
    };

    fn load(&self, source: &Source<'_>, settings: &Settings) -> Result<Self::Graph> {
        settings.precision_among(&["f32"])?;
        let runtime = runtime()?;
        let key = (source.identities()?, format!("{settings:?}"));
        let load = || OrtGraph::load(&runtime.api, source, settings);
        self.cache.get(key, |_| true, load)
    }

    fn gpu(&self) -> Option<String> {
        let providers = runtime().ok()?.api.providers();
        let can = providers.iter().any(|p| p == "CUDAExecutionProvider");
        // The provider is part of the library, whether there is a GPU or not.
        (can && std::path::Path::new("/dev/nvidiactl").exists()).then(|| "cuda".to_owned())
    }

    fn describe(&self) -> Description {
        let runtime = runtime();
        let summary = "ONNX models and image operations with ONNX Runtime";
        let mut description = SPEC.describe(summary, &["onnx"], &runtime, Api::version);
        if let Ok(runtime) = runtime {
            description.devices = vec![Device {
                id: "cpu".to_owned(),
                name: format!("processor, {} threads", available_threads()),
                memory: None,
            }];
            for (provider, id) in [
                ("CUDAExecutionProvider", "cuda"),
                ("TensorrtExecutionProvider", "tensorrt"),
            ] {
                if runtime.api.providers().iter().any(|p| p == provider) {
                    description.devices.push(Device {
                        id: id.to_owned(),
                        name: provider.to_owned(),
                        memory: None,
                    });
                }
            }
        }
        description
    }
}

vaccel_inference::export_backend! {
    engine: OnnxRuntime,
    name: c"onnxruntime",
    types: PLUGIN_CPU | PLUGIN_GPU | PLUGIN_SOFTWARE | PLUGIN_GENERIC,
    extra: [],
}
