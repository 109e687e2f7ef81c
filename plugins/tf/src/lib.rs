//! `libvaccel-tf.so`: runs SavedModels and frozen graphs with TensorFlow.
//!
//! The runtime is opened on first use; README.md says where it is looked for.

mod api;
mod config;
mod dtype;
mod graph;
mod load;
mod signature;

use vaccel_inference::runtime::{Once, Runtime, Spec};
use vaccel_inference::{Cache, Engine, Kinds, Settings, Source, available_threads};
use vaccel_plugin::abi::plugin::{PLUGIN_CPU, PLUGIN_GENERIC, PLUGIN_GPU, PLUGIN_SOFTWARE};
use vaccel_plugin::{Description, Device, Result, Variable};

use crate::api::Api;
use crate::graph::TfGraph;

static RUNTIME: Once<Api> = Once::new();

const SPEC: Spec = Spec {
    name: "tf",
    title: "TensorFlow",
    variable: Variable {
        name: "VACCEL_TF_LIB",
        meaning: "libtensorflow.so or libtensorflow_cc.so.2, or the folder it is in; nothing else \
                  is then looked for",
    },
    files: &[
        "libtensorflow.so",
        "libtensorflow.so.2",
        "libtensorflow_cc.so.2",
    ],
    remedy: "run `cargo xtask runtimes tf`, or unpack the pip package `tensorflow-cpu` and set \
             VACCEL_TF_LIB to its tensorflow/libtensorflow_cc.so.2",
};

fn runtime() -> Result<&'static Runtime<Api>> {
    RUNTIME.get(&SPEC, Api::bind)
}

/// The engine, with the models that it has in memory.
#[derive(Default)]
pub struct Tf {
    cache: Cache<TfGraph>,
}

impl Engine for Tf {
    type Graph = std::sync::Arc<TfGraph>;
    const NAME: &'static str = SPEC.name;
    const KINDS: Kinds = Kinds {
        title: "TensorFlow",
        extensions: &["pb"],
        folder_with: Some("saved_model.pb"),
        explain: None,
    };
    const OPTIONS: &'static [&'static str] = &["signature"];

    fn load(&self, source: &Source<'_>, settings: &Settings) -> Result<Self::Graph> {
        settings.precision_among(&["f32"])?;
        let config = config::encode(settings)?;
        let runtime = runtime()?;
        let key = (source.identities()?, format!("{settings:?}"));
        let load = || TfGraph::load(&runtime.api, source, settings, &config);
        self.cache.get(key, |_| true, load)
    }

    fn describe(&self) -> Description {
        let runtime = runtime();
        let summary = "SavedModels, frozen graphs and image operations with TensorFlow";
        let formats = ["savedmodel", "graphdef"];
        let mut description = SPEC.describe(summary, &formats, &runtime, Api::version);
        if runtime.is_ok() {
            description.devices = vec![Device {
                id: "cpu".to_owned(),
                name: format!("processor, {} threads", available_threads()),
                memory: None,
            }];
        }
        description
    }
}

vaccel_inference::export_backend! {
    engine: Tf,
    name: c"tf",
    types: PLUGIN_CPU | PLUGIN_GPU | PLUGIN_SOFTWARE | PLUGIN_GENERIC,
    extra: [TfModelLoad, TfModelUnload, TfModelRun],
}
