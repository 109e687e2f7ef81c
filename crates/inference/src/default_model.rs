//! The model of an image operation whose session brings none.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use vaccel_plugin::{DefaultModel, Resource, Result, Variable, err};
use vaccel_vision::{Description, Task};

use crate::item::{Identity, Item};
use crate::source::{Kinds, Source};

/// Folders with default models, separated by `:`.
pub const FOLDERS: &str = "VACCEL_MODELS";

/// What `describe` says of that variable.
pub const DEFAULT_MODELS: Variable = Variable {
    name: FOLDERS,
    meaning: "folders with default models of the image operations, <task>/model.toml, separated \
              by `:`; default: share/vaccel/models beside the installation",
};

/// All tasks, in the order of the operations.
pub const TASKS: [Task; 5] = [
    Task::Classify,
    Task::Detect,
    Task::Segment,
    Task::Pose,
    Task::Depth,
];

/// The default models in memory, one for each task. They stay there until the
/// plugin goes: no session owns them.
pub(crate) struct Defaults<M> {
    slots: [Mutex<Option<Kept<M>>>; TASKS.len()],
}

impl<M> Default for Defaults<M> {
    fn default() -> Self {
        Self {
            slots: std::array::from_fn(|_| Mutex::new(None)),
        }
    }
}

struct Kept<M> {
    /// Description, labels and model, as they were when they were read.
    files: Vec<(PathBuf, Identity)>,
    model: Arc<M>,
}

impl<M> Kept<M> {
    /// True while the same description is meant and no file was changed.
    fn is_current(&self, description: &Path) -> bool {
        let unchanged = |(path, then): &(PathBuf, Identity)| {
            Item::file(path).identity().is_ok_and(|now| now == *then)
        };
        self.files
            .first()
            .is_some_and(|(path, _)| path == description)
            && self.files.iter().all(unchanged)
    }
}

impl<M> Defaults<M> {
    /// The default model of a task, loaded when it is not yet, or not any more
    /// the one on disk.
    ///
    /// # Errors
    /// `ENOENT` when there is none, with the places where it was looked for.
    pub(crate) fn get(
        &self,
        task: Task,
        is_current: impl Fn(&M) -> bool,
        load: impl FnOnce(&Source<'_>) -> Result<M>,
    ) -> Result<Arc<M>> {
        let folders = folders();
        let Some(description) = Description::locate_default(task, &folders) else {
            return Err(none_found(task, &folders));
        };
        // Held while loading, so that those who come meanwhile wait for the one
        // load; operations run without it.
        let mut slot = self.slots[index(task)]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = slot
            .as_ref()
            .filter(|kept| kept.is_current(&description) && is_current(&kept.model))
        {
            return Ok(Arc::clone(&kept.model));
        }
        let source = Source::of_description(&description)?;
        let mut files = Vec::new();
        for item in source.described_by.iter().chain([&source.model]) {
            if let Some(path) = item.path() {
                files.push((path.to_owned(), item.identity()?));
            }
        }
        let model = Arc::new(load(&source)?);
        *slot = Some(Kept {
            files,
            model: Arc::clone(&model),
        });
        Ok(model)
    }
}

fn index(task: Task) -> usize {
    TASKS.iter().position(|t| *t == task).unwrap_or(0)
}

/// The files of a resource; those of the default model when all the resource
/// holds is a description that names a task and no file.
///
/// # Errors
/// As [`Source::of_resource`]; `ENOENT` when there is no default model.
pub(crate) fn source_of<'a>(resource: &Resource<'a>, kinds: &Kinds) -> Result<Source<'a>> {
    match task_alone(resource) {
        Some(task) => default_source(task),
        None => Source::of_resource(resource, kinds),
    }
}

/// The default model of a task.
///
/// # Errors
/// `ENOENT` when there is none; as [`Source::of_description`].
pub(crate) fn default_source(task: Task) -> Result<Source<'static>> {
    let folders = folders();
    match Description::locate_default(task, &folders) {
        Some(description) => Source::of_description(&description),
        None => Err(none_found(task, &folders)),
    }
}

fn task_alone(resource: &Resource<'_>) -> Option<Task> {
    let [blob] = &resource.blobs()[..] else {
        return None;
    };
    if !blob.name()?.ends_with(".toml") {
        return None;
    }
    Description::task_alone(std::str::from_utf8(&blob.bytes().ok()?).ok()?)
}

/// Description of the default model of a task, if there is one.
fn find(task: Task) -> Option<PathBuf> {
    Description::locate_default(task, folders())
}

/// The default models there are, for `describe`, and the tasks that have none.
#[must_use]
pub fn describe_defaults() -> (Vec<DefaultModel>, Vec<Task>) {
    let found = TASKS.into_iter().filter_map(default_model).collect();
    let missing = TASKS.into_iter().filter(|task| find(*task).is_none());
    (found, missing.collect())
}

fn default_model(task: Task) -> Option<DefaultModel> {
    let path = find(task)?;
    // One with a mistake is shown all the same, with the mistake for a name.
    let name = match Description::from_file(&path) {
        Ok(description) => description.model.name,
        Err(e) => format!("unusable: {e}"),
    };
    Some(DefaultModel {
        task: task.to_string(),
        name,
        path: path.display().to_string(),
    })
}

/// `VACCEL_MODELS`, else the installation's own folder.
fn folders() -> Vec<PathBuf> {
    if let Some(list) = env::var_os(FOLDERS).filter(|list| !list.is_empty()) {
        return env::split_paths(&list)
            .filter(|p| !p.as_os_str().is_empty())
            .collect();
    }
    vaccel_plugin::host::own_file()
        .and_then(|library| installed_beside(&library))
        .into_iter()
        .collect()
}

/// `<prefix>/share/vaccel/models` for a library in `<prefix>/lib` or up to two
/// folders below (`lib/x86_64-linux-gnu/vaccel`).
fn installed_beside(library: &Path) -> Option<PathBuf> {
    let real = library.canonicalize().ok();
    let places = [Some(library), real.as_deref()];
    places.into_iter().flatten().find_map(|library| {
        let prefixes = library.parent()?.ancestors().skip(1).take(3);
        prefixes
            .map(|prefix| prefix.join("share/vaccel/models"))
            .find(|folder| folder.is_dir())
    })
}

fn none_found(task: Task, folders: &[PathBuf]) -> vaccel_plugin::Error {
    let places: Vec<String> = folders
        .iter()
        .map(|folder| folder.join(task.as_str()).display().to_string())
        .collect();
    let places = match places.as_slice() {
        [] => format!(
            "{FOLDERS} is not set and there is no share/vaccel/models beside the installation"
        ),
        places => format!("no model.toml in {}", places.join(", ")),
    };
    err!(
        ENOENT,
        "no model for {task}: the session has no MODEL resource, and {places}; register a model, \
         or set {FOLDERS} to a folder that has {task}/model.toml"
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn models_are_found_beside_the_installation_of_the_library() {
        let root = tempfile::tempdir().unwrap();
        let models = root.path().join("share/vaccel/models");
        let library = root.path().join("lib/x86_64-linux-gnu/libvaccel-onnx.so");
        assert_eq!(installed_beside(&library), None);
        std::fs::create_dir_all(&models).unwrap();
        assert_eq!(installed_beside(&library), Some(models.clone()));
        let library = root.path().join("lib/libvaccel-onnx.so");
        assert_eq!(installed_beside(&library), Some(models));
    }
}
