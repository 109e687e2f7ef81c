//! `libvaccel-tvm.so`: runs models that TVM has compiled, with TVM's runtime, which is opened
//! on first use; README.md says where it is looked for.

mod api;
mod dtype;
mod elf;
mod graph;
mod place;

use std::sync::Arc;

use vaccel_inference::runtime::{Once, Runtime, Spec};
use vaccel_inference::{Cache, Engine, Kinds, Settings, Source};
use vaccel_plugin::abi::plugin::{PLUGIN_CPU, PLUGIN_GENERIC, PLUGIN_SOFTWARE};
use vaccel_plugin::{Description, Device, Result, Variable, bail};

use crate::api::Api;
use crate::graph::TvmGraph;

static RUNTIME: Once<Api> = Once::new();

const SPEC: Spec = Spec {
    name: "tvm",
    title: "TVM",
    variable: Variable {
        name: "VACCEL_TVM_LIB",
        meaning: "libtvm_runtime_extra.so, or the folder it is in; nothing else is then looked for",
    },
    // It needs the others, and finds them beside itself.
    files: &["libtvm_runtime_extra.so"],
    remedy: "run `cargo xtask runtimes tvm`, or install apache-tvm 0.27 and set VACCEL_TVM_LIB \
             to a folder with its libtvm_runtime_extra.so, libtvm_runtime.so and libtvm_ffi.so",
};

fn runtime() -> Result<&'static Runtime<Api>> {
    RUNTIME.get(&SPEC, Api::bind)
}

/// The engine, with the models that it has in memory.
#[derive(Default)]
pub struct Tvm {
    cache: Cache<TvmGraph>,
}

impl Engine for Tvm {
    type Graph = Arc<TvmGraph>;
    const NAME: &'static str = SPEC.name;
    const KINDS: Kinds = Kinds {
        title: "TVM",
        extensions: &["so"],
        folder_with: None,
        explain: None,
    };
    const OPTIONS: &'static [&'static str] = &["outputs"];

    fn load(&self, source: &Source<'_>, settings: &Settings) -> Result<Self::Graph> {
        settings.precision_among(&["f32"])?;
        if !["", "cpu"].contains(&settings.device.as_str()) {
            bail!(
                ENOTSUP,
                "option `device`: this backend runs on cpu, not on `{}`",
                settings.device
            );
        }
        let runtime = runtime()?;
        let key = (source.identities()?, format!("{settings:?}"));
        let load = || TvmGraph::load(&runtime.api, source, settings);
        self.cache.get(key, |_| true, load)
    }

    fn describe(&self) -> Description {
        let runtime = runtime();
        let summary = "Models that TVM has compiled";
        let mut description = SPEC.describe(summary, &["tvm"], &runtime, Api::version);
        if runtime.is_ok() {
            description.devices = vec![Device {
                id: "cpu".to_owned(),
                name: "processor".to_owned(),
                memory: None,
            }];
        }
        description
    }
}

vaccel_inference::export_backend! {
    engine: Tvm,
    name: c"tvm",
    types: PLUGIN_CPU | PLUGIN_SOFTWARE | PLUGIN_GENERIC,
    extra: [],
}
