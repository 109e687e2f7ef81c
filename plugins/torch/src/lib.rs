//! `libvaccel-torch.so`: runs TorchScript models with libtorch, through a shim in C++ that
//! is opened on first use; README.md says where it is looked for.

mod api;
mod dtype;
mod graph;

use vaccel_inference::runtime::{Once, Runtime, Spec};
use vaccel_inference::{Cache, Engine, Kinds, Settings, Source, available_threads};
use vaccel_plugin::abi::plugin::{PLUGIN_CPU, PLUGIN_GENERIC, PLUGIN_GPU, PLUGIN_SOFTWARE};
use vaccel_plugin::{Description, Device, Result, Variable};

use crate::api::Api;
use crate::graph::TorchGraph;

static RUNTIME: Once<Api> = Once::new();

const SPEC: Spec = Spec {
    name: "torch",
    title: "libtorch",
    variable: Variable {
        name: "VACCEL_TORCH_LIB",
        meaning: "libvaccel-torch-shim.so, or the folder it is in; nothing else is then looked for",
    },
    files: &["libvaccel-torch-shim.so"],
    remedy: "run `cargo xtask runtimes torch`, or build plugins/torch/shim/torch.cpp as its \
             README.md says and set VACCEL_TORCH_LIB to it",
};

fn runtime() -> Result<&'static Runtime<Api>> {
    RUNTIME.get(&SPEC, Api::bind)
}

/// The engine, with the models that it has in memory.
#[derive(Default)]
pub struct Torch {
    cache: Cache<TorchGraph>,
}

impl Engine for Torch {
    type Graph = std::sync::Arc<TorchGraph>;
    const NAME: &'static str = SPEC.name;
    const KINDS: Kinds = Kinds {
        title: "TorchScript",
        extensions: &["pt", "pth", "torchscript"],
        folder_with: None,
        explain: None,
    };

    fn load(&self, source: &Source<'_>, settings: &Settings) -> Result<Self::Graph> {
        settings.precision_among(&["f32"])?;
        let device = graph::device(&settings.device)?;
        let runtime = runtime()?;
        let key = (source.identities()?, format!("{settings:?}"));
        let load = || TorchGraph::load(&runtime.api, source, settings, &device);
        self.cache.get(key, |_| true, load)
    }

    fn gpu(&self) -> Option<String> {
        let runtime = runtime().ok()?;
        runtime.api.has_cuda().then(|| "cuda".to_owned())
    }

    fn describe(&self) -> Description {
        let runtime = runtime();
        let summary = "TorchScript models with libtorch";
        let mut description = SPEC.describe(summary, &["torchscript"], &runtime, Api::version);
        if let Ok(runtime) = runtime {
            description.devices = vec![Device {
                id: "cpu".to_owned(),
                name: format!("processor, {} threads", available_threads()),
                memory: None,
            }];
            if runtime.api.has_cuda() {
                description.devices.push(Device {
                    id: "cuda".to_owned(),
                    name: "CUDA".to_owned(),
                    memory: None,
                });
            }
        }
        description
    }
}

vaccel_inference::export_backend! {
    engine: Torch,
    name: c"torch",
    types: PLUGIN_CPU | PLUGIN_GPU | PLUGIN_SOFTWARE | PLUGIN_GENERIC,
    extra: [TorchModelLoad, TorchModelRun],
}
