//! Annotated pictures in the session's folder.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use vaccel_plugin::{Error, Result, err};
use vaccel_vision::Task;

/// A session keeps its last pictures only: its folder is memory on most systems.
const KEPT: usize = 64;

/// The pictures that were made, by session.
#[derive(Debug, Default)]
pub(crate) struct Pictures {
    made: Mutex<HashMap<i64, VecDeque<PathBuf>>>,
}

impl Pictures {
    /// Writes a PNG under a name that no other picture has; gives its path.
    ///
    /// # Errors
    /// What the system says of the folder or the disk; nothing half-written stays.
    pub(crate) fn write(
        &self,
        session: i64,
        folder: &Path,
        task: Task,
        png: &[u8],
    ) -> Result<String> {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{task}-{number}.png"));
        let Some(text) = path.to_str().map(str::to_owned) else {
            return Err(err!(
                EINVAL,
                "the session's folder {} is not UTF-8",
                folder.display()
            ));
        };
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&path)?;
            file.write_all(png).inspect_err(|_| {
                let _ = fs::remove_file(&path);
            })
        };
        write()
            .map_err(|e| Error::from(e).context(format_args!("cannot write the picture {text}")))?;
        self.keep(session, path);
        Ok(text)
    }

    fn keep(&self, session: i64, path: PathBuf) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let made = made.entry(session).or_default();
        made.push_back(path);
        while made.len() > KEPT {
            // Gone already when the program removed it: just as well.
            let _ = made.pop_front().map(fs::remove_file);
        }
    }

    /// Removes the pictures of a session that is closed.
    pub(crate) fn forget(&self, session: i64) {
        let made = self
            .made
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&session);
        for path in made.into_iter().flatten() {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_session_keeps_its_last_pictures_and_none_after_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let pictures = Pictures::default();
        let count = || fs::read_dir(folder.path()).unwrap().count();
        let mut last = String::new();
        for _ in 0..KEPT + 10 {
            last = pictures
                .write(1, folder.path(), Task::Pose, b"png")
                .unwrap();
        }
        pictures
            .write(2, folder.path(), Task::Pose, b"png")
            .unwrap();
        assert_eq!(count(), KEPT + 1);
        assert_eq!(fs::read(&last).unwrap(), b"png");
        pictures.forget(1);
        assert_eq!(count(), 1);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = Pictures::default().write(1, Path::new("/nonexistent"), Task::Depth, b"");
        let error = error.unwrap_err();
        assert_eq!(error.code(), vaccel_plugin::code::ENOENT);
        assert!(error.message().contains("/nonexistent/depth-"), "{error}");
    }
}
