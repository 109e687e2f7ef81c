//! A line on standard error that says what is being done; on terminals only.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Work shorter than this shows nothing.
const PATIENCE: Duration = Duration::from_millis(500);

/// Progress through a list of files.
pub(crate) struct Progress {
    verb: String,
    total: usize,
    done: usize,
    begin: Instant,
    shown: bool,
    terminal: bool,
}

impl Progress {
    pub(crate) fn new(verb: &str, total: usize, quiet: bool) -> Self {
        Self {
            verb: verb.to_string(),
            total,
            done: 0,
            begin: Instant::now(),
            shown: false,
            terminal: !quiet && std::io::stderr().is_terminal(),
        }
    }

    /// Begins the next file.
    pub(crate) fn step(&mut self, file: &Path) {
        self.done += 1;
        if self.terminal && self.begin.elapsed() > PATIENCE {
            let name = file.file_name().unwrap_or(file.as_os_str());
            eprint!(
                "\r\x1b[K{} {}/{} {}",
                self.verb,
                self.done,
                self.total,
                name.to_string_lossy()
            );
            let _ = std::io::stderr().flush();
            self.shown = true;
        }
    }

    /// Takes the line away.
    pub(crate) fn clear(&mut self) {
        if self.shown {
            eprint!("\r\x1b[K");
            self.shown = false;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
