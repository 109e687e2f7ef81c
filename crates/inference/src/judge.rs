//! What a model is, before a backend is chosen for it.

use vaccel_plugin::{Judgement, Op, Resource, Result, bail};
use vaccel_vision::Task;

use crate::default_model::{default_source, source_of};
use crate::format::format_of;
use crate::source::Kinds;

/// Models of all backends.
const ANY: Kinds = Kinds {
    title: "model",
    extensions: &[
        "onnx",
        "ort",
        "tflite",
        "pt",
        "pth",
        "torchscript",
        "pb",
        "xml",
    ],
    folder_with: Some("saved_model.pb"),
    explain: None,
};

/// The task of an image operation.
fn task_of(op: Op) -> Option<Task> {
    Some(match op {
        Op::ImageClassify => Task::Classify,
        Op::ImageDetect => Task::Detect,
        Op::ImageSegment => Task::Segment,
        Op::ImagePose => Task::Pose,
        Op::ImageDepth => Task::Depth,
        _ => return None,
    })
}

/// Says what a resource is, or the default model of an image operation; loads nothing.
///
/// # Errors
/// As [`format_of`]; `EINVAL` for a resource without a model; `ENOENT` when there is no
/// default model.
pub fn judge(resource: Option<&Resource<'_>>, op: Option<Op>) -> Result<Judgement> {
    let source = match (resource, op.and_then(task_of)) {
        (Some(resource), _) => source_of(resource, &ANY)?,
        (None, Some(task)) => default_source(task)?,
        (None, None) => bail!(EINVAL, "neither a model nor an image operation"),
    };
    let described = source.description.as_ref().ok().and_then(Option::as_ref);
    Ok(Judgement {
        format: format_of(&source.model)?.to_owned(),
        model: source.model.name.clone(),
        task: described.map(|d| d.model.task.to_string()),
        backend: described.and_then(|d| d.run.backend.clone()),
    })
}
