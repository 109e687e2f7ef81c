//! A line on standard error that says what is being done; on terminals only.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Work shorter than this shows nothing.
const PATIENCE: Duration = Duration::from_millis(500);

/// The line is not written more often than this.
const REFRESH: Duration = Duration::from_millis(100);

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

/// Does some work, and shows how far what it downloads or sends has come.
pub(crate) fn of_transfers<R>(quiet: bool, work: impl FnOnce() -> R) -> R {
    if quiet || !std::io::stderr().is_terminal() {
        return work();
    }
    let begin = Instant::now();
    let mut shown: Option<Instant> = None;
    let result = vaccel::with_progress(
        |name, done, total| {
            let again = shown.is_none_or(|at| at.elapsed() > REFRESH) || done == total;
            if begin.elapsed() > PATIENCE && again {
                eprint!("\r\x1b[K{}", bar(name, done, total));
                let _ = std::io::stderr().flush();
                shown = Some(Instant::now());
            }
        },
        work,
    );
    if shown.is_some() {
        eprint!("\r\x1b[K");
    }
    result
}

/// One line of at most 79 columns: a bar, the share, the amounts, and what it is.
fn bar(name: &str, done: u64, total: u64) -> String {
    const WIDTH: u64 = 20;
    let amount = |bytes: u64| {
        let (mut amount, mut unit) = (bytes as f64 / 1e6, 0);
        while amount >= 10_000.0 {
            (amount, unit) = (amount / 1e3, unit + 1);
        }
        format!("{amount:.1} {}", ["MB", "GB", "TB", "PB", "EB"][unit])
    };
    // Names come from files and URLs: what a terminal would obey is left out.
    let name: String = name.chars().filter(|c| !c.is_control()).take(24).collect();
    if total == 0 {
        return format!("{} {name}", amount(done));
    }
    let done = done.min(total);
    let part = |of: u64| (u128::from(done) * u128::from(of) / u128::from(total)) as usize;
    let full = part(WIDTH);
    format!(
        "[{}{}] {:3}% {} of {} {name}",
        "#".repeat(full),
        " ".repeat(WIDTH as usize - full),
        part(100),
        amount(done),
        amount(total)
    )
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn a_bar_grows_with_what_was_sent_and_stays_within_a_line() {
        assert_eq!(
            bar("model.onnx", 3_000_000, 12_000_000),
            "[#####               ]  25% 3.0 MB of 12.0 MB model.onnx"
        );
        assert!(bar("x", 7, 7).starts_with("[####################] 100%"));
        assert_eq!(bar("x", 2_500_000, 0), "2.5 MB x");
        // More than announced, as much as there can be, and a name that a terminal would obey.
        let line = bar(&"\u{1b}[31m".repeat(50), u64::MAX, u64::MAX - 1);
        assert!(line.contains("100%") && !line.contains('\u{1b}'), "{line}");
        assert!(line.len() < 80, "{line}");
        for total in [1 << 30, 1 << 33, 1 << 41] {
            let line = bar(&"n".repeat(500), total / 2, total);
            assert!(line.len() < 80, "{line}");
        }
    }
}
