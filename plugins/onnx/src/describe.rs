//! What the plugin says of itself.

use vaccel_plugin::{DefaultModel, Description, Device, Variable};
use vaccel_vision::Task;

use crate::default_model::{FOLDERS, TASKS, find};
use crate::threads;

/// Devices, formats and default models.
pub(crate) fn describe() -> Description {
    let missing: Vec<Task> = TASKS
        .into_iter()
        .filter(|task| find(*task).is_none())
        .collect();
    let mut description =
        Description::ready("ONNX models and image operations on the processor, nothing to install");
    description.formats = vec!["onnx".to_owned()];
    description.devices = vec![Device {
        id: "cpu".to_owned(),
        name: format!("processor, {} threads", threads::available()),
        memory: None,
    }];
    description.runtime = Some("rten 0.27".to_owned());
    description.environment = vec![Variable {
        name: FOLDERS,
        meaning: "folders with default models of the image operations, <task>/model.toml, separated \
                  by `:`; default: share/vaccel/models beside the installation",
    }];
    description.default_models = TASKS.into_iter().filter_map(default_model).collect();
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

fn default_model(task: Task) -> Option<DefaultModel> {
    let path = find(task)?;
    // One with a mistake is shown all the same, with the mistake for a name.
    let name = match vaccel_vision::Description::from_file(&path) {
        Ok(description) => description.model.name,
        Err(e) => format!("unusable: {e}"),
    };
    Some(DefaultModel {
        task: task.to_string(),
        name,
        path: path.display().to_string(),
    })
}
