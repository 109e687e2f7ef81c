//! `libvaccel-tflite.so`: runs TensorFlow Lite models with XNNPACK, and on Edge TPUs and
//! the like through an external delegate.
//!
//! The runtime is opened on first use: the C library of TensorFlow Lite. README.md says where
//! it is looked for.

mod api;
mod delegate;
mod dense;
mod dtype;
mod graph;
mod interpreter;

use vaccel_inference::runtime::{Once, Runtime, Spec};
use vaccel_inference::{Cache, Engine, Kinds, Settings, Source, available_threads};
use vaccel_plugin::abi::plugin::{PLUGIN_CPU, PLUGIN_GENERIC, PLUGIN_SOFTWARE};
use vaccel_plugin::{Description, Device, Result, Variable};

use crate::api::Api;
use crate::graph::TfliteGraph;

static RUNTIME: Once<Api> = Once::new();

const SPEC: Spec = Spec {
    name: "tflite",
    title: "TensorFlow Lite",
    variable: Variable {
        name: "VACCEL_TFLITE_LIB",
        meaning: "libtensorflowlite_c.so, or the folder it is in; nothing else is then looked for",
    },
    files: &["libtensorflowlite_c.so", "libtensorflow-lite.so"],
    remedy: "run `cargo xtask runtimes tflite`, or unpack the npm package `tfjs-tflite-node` and \
             set VACCEL_TFLITE_LIB to its libtensorflowlite_c.so",
};

fn runtime() -> Result<&'static Runtime<Api>> {
    RUNTIME.get(&SPEC, Api::bind)
}

/// The engine, with the models that it has in memory.
#[derive(Default)]
pub struct Tflite {
    cache: Cache<TfliteGraph>,
}

impl Engine for Tflite {
    type Graph = std::sync::Arc<TfliteGraph>;
    const NAME: &'static str = SPEC.name;
    const KINDS: Kinds = Kinds {
        title: "TFLite",
        extensions: &["tflite", "lite"],
        folder_with: None,
        explain: None,
    };

    fn load(&self, source: &Source<'_>, settings: &Settings) -> Result<Self::Graph> {
        settings.precision_among(&["f32", "f16"])?;
        let runtime = runtime()?;
        let key = (source.identities()?, format!("{settings:?}"));
        let load = || TfliteGraph::load(&runtime.api, source, settings);
        self.cache.get(key, |_| true, load)
    }

    fn describe(&self) -> Description {
        let runtime = runtime();
        let summary = "TensorFlow Lite models and image operations with XNNPACK";
        let mut description = SPEC.describe(summary, &["tflite"], &runtime, Api::version);
        description.environment.push(delegate::VARIABLE);
        if runtime.is_ok() {
            description.devices = vec![Device {
                id: "cpu".to_owned(),
                name: format!("processor, {} threads", available_threads()),
                memory: None,
            }];
            if let Some(library) = delegate::library() {
                description.devices.push(Device {
                    id: "delegate".to_owned(),
                    name: library.display().to_string(),
                    memory: None,
                });
            }
        }
        description
    }
}

vaccel_inference::export_backend! {
    engine: Tflite,
    name: c"tflite",
    types: PLUGIN_CPU | PLUGIN_SOFTWARE | PLUGIN_GENERIC,
    extra: [TfliteModelLoad, TfliteModelUnload, TfliteModelRun],
}
