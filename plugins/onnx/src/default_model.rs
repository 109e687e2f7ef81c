//! The model of an image operation whose session brings none.

use std::env;
use std::ffi::{CStr, OsStr, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use vaccel_plugin::{Resource, Result, err};
use vaccel_vision::{Description, Task};

use crate::cache::Cache;
use crate::item::{Identity, Item};
use crate::model::OnnxModel;
use crate::source::Source;
use crate::threads;

/// Folders with default models, separated by `:`.
pub(crate) const FOLDERS: &str = "VACCEL_MODELS";

/// All tasks, in the order of the operations.
pub(crate) const TASKS: [Task; 5] = [
    Task::Classify,
    Task::Detect,
    Task::Segment,
    Task::Pose,
    Task::Depth,
];

/// The default models in memory, one for each task. They stay there until the
/// plugin goes: no session owns them.
#[derive(Default)]
pub(crate) struct DefaultModels {
    slots: [Mutex<Option<Loaded>>; TASKS.len()],
}

struct Loaded {
    /// Description, labels and model, as they were when they were read.
    files: Vec<(PathBuf, Identity)>,
    model: Arc<OnnxModel>,
}

impl Loaded {
    /// True while the same description is meant and no file was changed.
    fn is_current(&self, description: &Path) -> bool {
        let unchanged = |(path, then): &(PathBuf, Identity)| {
            Item::file(path).identity().is_ok_and(|now| now == *then)
        };
        self.files
            .first()
            .is_some_and(|(path, _)| path == description)
            && self.files.iter().all(unchanged)
            && self.model.network().is_current()
    }
}

impl DefaultModels {
    /// The default model of a task, loaded when it is not yet, or not any more
    /// the one on disk.
    ///
    /// # Errors
    /// `ENOENT` when there is none, with the places where it was looked for.
    pub(crate) fn get(&self, task: Task, cache: &Cache) -> Result<Arc<OnnxModel>> {
        let folders = folders();
        let Some(description) = Description::locate_default(task, &folders) else {
            return Err(none_found(task, &folders));
        };
        // Held while loading, so that those who come meanwhile wait for the one
        // load; operations run without it.
        let mut slot = self.slots[index(task)]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = slot
            .as_ref()
            .filter(|loaded| loaded.is_current(&description))
        {
            return Ok(Arc::clone(&loaded.model));
        }
        let source = Source::of_description(&description)?;
        let mut files = Vec::new();
        for item in source.described_by.iter().chain([&source.model]) {
            if let Some(path) = item.path() {
                files.push((path.to_owned(), item.identity()?));
            }
        }
        let network = cache.get(&source)?;
        network.require_exact()?;
        let model = Arc::new(OnnxModel::new(network, threads::available())?);
        *slot = Some(Loaded {
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
pub(crate) fn source_of<'a>(resource: &Resource<'a>) -> Result<Source<'a>> {
    let Some(task) = task_alone(resource) else {
        return Source::of_resource(resource);
    };
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
pub(crate) fn find(task: Task) -> Option<PathBuf> {
    Description::locate_default(task, folders())
}

/// `VACCEL_MODELS`, else the installation's own folder.
fn folders() -> Vec<PathBuf> {
    if let Some(list) = env::var_os(FOLDERS).filter(|list| !list.is_empty()) {
        return env::split_paths(&list)
            .filter(|p| !p.as_os_str().is_empty())
            .collect();
    }
    library()
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

/// Path of the file that this code was loaded from.
fn library() -> Option<PathBuf> {
    // SAFETY: all zero is a valid Dl_info: null pointers.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    let here = library as fn() -> Option<PathBuf> as *const c_void;
    // SAFETY: dladdr takes any address and fills the structure on success.
    let found = unsafe { libc::dladdr(here, &raw mut info) };
    if found == 0 || info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: the loader's own string, which stays while the library does.
    let name = unsafe { CStr::from_ptr(info.dli_fname) };
    Some(PathBuf::from(OsStr::from_bytes(name.to_bytes())))
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

    #[test]
    fn the_library_knows_its_own_file() {
        assert!(library().unwrap().is_file());
    }
}
