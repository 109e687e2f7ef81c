//! Removing what workers leave.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::Process;

/// How soon a folder that could not be removed is tried again.
const RETRY_REMOVAL: Duration = Duration::from_secs(2);

/// Removes the folders of workers that have ended, away from the loop: a client may
/// have filled one with many files.
pub(super) struct Cleaner {
    queue: Option<Sender<Process>>,
    thread: Option<JoinHandle<()>>,
}

impl Cleaner {
    pub(super) fn start() -> Result<Self> {
        let (queue, work) = channel::<Process>();
        let thread = std::thread::Builder::new()
            .name("cleaner".into())
            .spawn(move || clean(&work))
            .context("cannot start a thread")?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    pub(super) fn dispose(&self, process: Process) {
        if let Some(queue) = &self.queue {
            // The thread lives as long as the queue; if it did not, the process
            // would be dropped here.
            let _ = queue.send(process);
        }
    }
}

/// Buries processes and removes their folders. A folder that could not be removed, as on a file
/// system that is read-only for a while, is tried again.
fn clean(work: &Receiver<Process>) {
    let mut left: Vec<PathBuf> = Vec::new();
    loop {
        let next = match left.is_empty() {
            true => work.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => work.recv_timeout(RETRY_REMOVAL),
        };
        match next {
            Ok(process) => {
                let folder = process.folder().clone();
                drop(process);
                left.push(folder);
            }
            Err(RecvTimeoutError::Timeout) => {
                // Told once, when it failed first.
                left.iter()
                    .for_each(|folder| drop(std::fs::remove_dir_all(folder)));
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
        left.retain(|folder| folder.exists());
    }
}

impl Drop for Cleaner {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
