//! `libvaccel-onnx.so`: runs ONNX models on the processor, in Rust alone.
//!
//! It needs nothing installed. It serves the neutral model API, and the image
//! operations for models that say how they take a picture (`model.toml`, see
//! `docs/model-description.md`). README.md lists what it can and cannot do.

mod cache;
mod deep_stack;
mod default_model;
mod describe;
mod dtype;
mod engine;
mod format;
mod graph;
mod header;
mod image;
mod item;
mod model;
mod network;
mod pictures;
mod proto;
mod source;
mod threads;
mod virtual_tensor;

use std::ffi::CStr;
use std::sync::Arc;

use vaccel_plugin::abi::plugin::{PLUGIN_CPU, PLUGIN_GENERIC, PLUGIN_SOFTWARE, PluginType};
use vaccel_plugin::{
    Classified, Description, Model, ModelSource, Op, Options, Picture, Plugin, Result, Session,
    bail,
};
use vaccel_vision::Task;

use crate::cache::Cache;
use crate::default_model::{DefaultModels, source_of};
use crate::model::OnnxModel;
use crate::pictures::Pictures;

/// The plugin.
#[derive(Default)]
pub struct Onnx {
    cache: Cache,
    defaults: DefaultModels,
    pictures: Arc<Pictures>,
}

impl Plugin for Onnx {
    const NAME: &'static CStr = c"onnx";
    const VERSION: &'static CStr = vaccel_plugin::version!();
    const TYPES: PluginType = PLUGIN_CPU | PLUGIN_SOFTWARE | PLUGIN_GENERIC;
    const OPS: &'static [Op] = &[
        Op::Noop,
        Op::ImageClassify,
        Op::ImageDetect,
        Op::ImageSegment,
        Op::ImagePose,
        Op::ImageDepth,
    ];
    const MODELS: bool = true;

    fn new() -> Result<Self> {
        Ok(Self::default())
    }

    fn describe(&self) -> Description {
        describe::describe()
    }

    fn noop(&self, _: &Session<'_>) -> Result<()> {
        Ok(())
    }

    fn image_classify(&self, session: &Session<'_>, image: &[u8]) -> Result<Classified> {
        let answer = self.answer(session, Task::Classify, image)?;
        Ok(Classified {
            text: answer.outcome().to_text(),
            picture: self.picture(session, Task::Classify, answer)?,
        })
    }

    fn image_detect(&self, session: &Session<'_>, image: &[u8]) -> Result<Picture> {
        self.image(session, Task::Detect, image)
    }

    fn image_segment(&self, session: &Session<'_>, image: &[u8]) -> Result<Picture> {
        self.image(session, Task::Segment, image)
    }

    fn image_pose(&self, session: &Session<'_>, image: &[u8]) -> Result<Picture> {
        self.image(session, Task::Pose, image)
    }

    fn image_depth(&self, session: &Session<'_>, image: &[u8]) -> Result<Picture> {
        self.image(session, Task::Depth, image)
    }

    fn load_model(
        &self,
        _: &Session<'_>,
        source: &ModelSource<'_>,
        options: &Options,
    ) -> Result<Box<dyn Model>> {
        options.expect_only(&["threads", "approximate"])?;
        let threads = options
            .get_parsed("threads")?
            .unwrap_or_else(threads::available);
        let approximate = match options.get("approximate") {
            None | Some("0" | "false") => false,
            Some("1" | "true" | "") => true,
            Some(other) => bail!(EINVAL, "option `approximate`: `{other}` is not 0 or 1"),
        };
        let network = self.cache.get(&source_of(&source.resource())?)?;
        if !approximate {
            network.require_exact()?;
        }
        Ok(Box::new(OnnxModel::new(network, threads)?))
    }

    fn session_closed(&self, session_id: i64) {
        self.pictures.forget(session_id);
    }
}

vaccel_plugin::export_plugin!(Onnx);
