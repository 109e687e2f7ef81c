//! Where a description is looked for.

use std::path::{Path, PathBuf};

use crate::description::Description;
use crate::words::Task;

/// The name of a description in its folder.
const FILE_NAME: &str = "model.toml";

impl Description {
    /// Path of the description that belongs to a model's file or directory.
    ///
    /// A directory is searched for `model.toml`; a `.toml` file is the description
    /// itself; beside any other file, `model.toml` and `<file stem>.toml` are tried.
    /// `None` when there is none.
    #[must_use]
    pub fn locate(model: &Path) -> Option<PathBuf> {
        if model.is_dir() {
            return existing(model.join(FILE_NAME));
        }
        if model.extension().is_some_and(|ext| ext == "toml") {
            return existing(model.to_owned());
        }
        existing(model.with_file_name(FILE_NAME)).or_else(|| existing(model.with_extension("toml")))
    }

    /// Path of the default description of a task: the first `<folder>/<task>/model.toml`.
    #[must_use]
    pub fn locate_default(
        task: Task,
        folders: impl IntoIterator<Item = impl AsRef<Path>>,
    ) -> Option<PathBuf> {
        folders
            .into_iter()
            .find_map(|folder| existing(folder.as_ref().join(task.as_str()).join(FILE_NAME)))
    }
}

fn existing(path: PathBuf) -> Option<PathBuf> {
    path.is_file().then_some(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    #[test]
    fn a_description_is_found_in_a_directory_beside_a_model_and_as_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("net.onnx"), "").unwrap();
        assert_eq!(Description::locate(&path("net.onnx")), None);
        assert_eq!(Description::locate(folder.path()), None);
        fs::write(path("net.toml"), "").unwrap();
        assert_eq!(
            Description::locate(&path("net.onnx")),
            Some(path("net.toml"))
        );
        assert_eq!(
            Description::locate(&path("net.toml")),
            Some(path("net.toml"))
        );
        fs::write(path("model.toml"), "").unwrap();
        assert_eq!(
            Description::locate(&path("net.onnx")),
            Some(path("model.toml"))
        );
        assert_eq!(Description::locate(folder.path()), Some(path("model.toml")));
    }

    #[test]
    fn the_first_folder_that_has_the_task_gives_the_default() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folders = [a.path(), b.path()];
        assert_eq!(Description::locate_default(Task::Pose, folders), None);
        for folder in [b.path(), a.path()] {
            fs::create_dir(folder.join("pose")).unwrap();
            fs::write(folder.join("pose/model.toml"), "").unwrap();
            let found = Description::locate_default(Task::Pose, folders);
            assert_eq!(found, Some(folder.join("pose/model.toml")));
        }
    }
}
