//! What the plugin says of itself.

use vaccel_inference::{DEFAULT_MODELS, FOLDERS, available_threads, describe_defaults};
use vaccel_plugin::{Description, Device};
use vaccel_vision::Task;

/// Devices, formats and default models.
pub(crate) fn describe() -> Description {
    let (default_models, missing) = describe_defaults();
    let mut description =
        Description::ready("ONNX models and image operations on the processor, nothing to install");
    description.formats = vec!["onnx".to_owned()];
    description.devices = vec![Device {
        id: "cpu".to_owned(),
        name: format!("processor, {} threads", available_threads()),
        memory: None,
    }];
    description.runtime = Some("rten 0.27".to_owned());
    description.environment = vec![DEFAULT_MODELS];
    description.default_models = default_models;
    let names = |tasks: &[Task]| {
        tasks
            .iter()
            .map(|t| t.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    if !missing.is_empty() {
        description.missing = Some(format!("no default model for {}", names(&missing)));
        description.remedy = Some(format!(
            "register a MODEL resource with the session, or set {FOLDERS} to a folder that has \
             {}/model.toml (docs/model-description.md)",
            missing[0]
        ));
    }
    description
}
