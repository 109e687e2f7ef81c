//! An end to every wait: a group that takes too long is ended with its processes.

use anyhow::Result;
use rustix::process::{Pid, Signal, kill_process};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Ends this program unless it is dropped in time.
pub(super) struct Watchdog(Option<Sender<()>>);

impl Watchdog {
    pub(super) fn start(what: &str, limit: Duration) -> Result<Self> {
        let (sender, receiver) = channel::<()>();
        let what = what.to_owned();
        std::thread::Builder::new()
            .name("watchdog".into())
            .spawn(move || {
                if receiver.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                    eprintln!("error: {what} was not done within {limit:?}; ended");
                    end_children();
                    std::process::exit(1);
                }
            })?;
        Ok(Self(Some(sender)))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0 = None;
    }
}

/// Agents end their workers when they are asked to end.
fn end_children() {
    let own = std::process::id();
    let Ok(threads) = std::fs::read_dir(format!("/proc/{own}/task")) else {
        return;
    };
    for thread in threads.flatten() {
        let text = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        for pid in text.split_whitespace() {
            if let Some(pid) = pid.parse().ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::TERM);
            }
        }
    }
}
