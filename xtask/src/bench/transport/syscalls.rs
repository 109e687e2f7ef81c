//! System calls of one empty call, on either side.
//!
//! Counted by perf, which hardly slows them down, or else by strace, which does: under it, what looks
//! before it sleeps sleeps more often, and calls last long enough for the worker's watcher to act.

use super::client::Client;
use super::{Placement, Way};
use crate::bench::figure::Figure;
use crate::bench::sample::bind;
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use vaccel_tests::Agent;

/// Two runs, whose difference has nothing in it but calls.
const CALLS: (u64, u64) = (200, 2200);
const MOST: f64 = 2.0;
/// How often perf must be seen waiting, some milliseconds apart.
const STEADY: u32 = 4;
/// Longest wait for a tool that counts.
const LIMIT: Duration = Duration::from_secs(10);
/// Something else happens once in a while in any process.
const ROUNDING: f64 = 0.05;

pub(super) fn run(prefix: &Path) -> Result<Vec<Figure>> {
    let placement = Placement::apart()?;
    bind(&placement.all)?;
    let mut figures = Vec::new();
    for mode in ["low-cpu", "latency"] {
        let agent = Agent::start(prefix, "noop", &["tcp://127.0.0.1:0"], &["--mode", mode])?;
        let [unix, tcp] = agent.addresses() else {
            bail!("the agent has other addresses than it was told");
        };
        let mut ways = vec![Way::shared("unix+shm", unix, mode)];
        if mode == "low-cpu" {
            ways.push(Way::unix(unix));
            ways.push(Way::new("tcp", tcp));
        }
        for way in ways {
            let name = match way.name {
                "unix+shm" => format!("unix+shm, {mode}"),
                name => name.to_string(),
            };
            figures.extend(over(prefix, &agent, &way, &name)?);
        }
    }
    Ok(figures)
}

fn over(prefix: &Path, agent: &Agent, way: &Way, name: &str) -> Result<Vec<Figure>> {
    let idle = agent.workers()?;
    let mut client = Client::start(prefix, way)?;
    client.calls(100)?;
    // An idle worker took the connection, and another one was started: the one that has it
    // is among those that were there before.
    let workers: Vec<u32> = agent
        .workers()?
        .into_iter()
        .filter(|pid| idle.contains(pid))
        .collect();
    let sides = [("client", vec![client.id()]), ("worker", workers)];
    let mut figures = Vec::new();
    for (side, pids) in sides {
        let title = format!("system calls of a call, {name}, {side}");
        figures.push(match count(&mut client, &pids) {
            Ok((calls, tool)) => Figure::plain(&title, calls, "")
                .wanted(format!("<= {MOST}"), calls < MOST + ROUNDING)
                .with_note(format!("counted by {tool}")),
            Err(error) => Figure::missing(&title, "", format!("{error:#}")),
        });
    }
    Ok(figures)
}

/// System calls of some processes for each empty call, and what counted them.
fn count(client: &mut Client, pids: &[u32]) -> Result<(f64, &'static str)> {
    let tool = if Trace::start(Tool::Perf, pids).and_then(Trace::stop).is_ok() {
        Tool::Perf
    } else {
        Tool::Strace
    };
    let mut totals = [0; 2];
    for (total, calls) in totals.iter_mut().zip([CALLS.0, CALLS.1]) {
        let trace = Trace::start(tool, pids)?;
        client.calls(calls)?;
        *total = trace.stop()?;
    }
    let calls = (totals[1] as f64 - totals[0] as f64) / (CALLS.1 - CALLS.0) as f64;
    Ok((calls, tool.name()))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tool {
    Perf,
    Strace,
}

impl Tool {
    fn name(self) -> &'static str {
        match self {
            Self::Perf => "perf",
            Self::Strace => "strace",
        }
    }

    fn command(self, file: &Path, pids: &[u32]) -> Command {
        let mut command = Command::new(self.name());
        match self {
            Self::Perf => {
                let list: Vec<String> = pids.iter().map(u32::to_string).collect();
                command.args(["stat", "-x,", "-e", "raw_syscalls:sys_enter", "-o"]);
                command.arg(file).args(["-p", &list.join(",")]);
            }
            Self::Strace => {
                command.args(["-f", "-c", "-o"]).arg(file);
                for pid in pids {
                    command.args(["-p", &pid.to_string()]);
                }
            }
        }
        command
    }
}

/// A tool that counts, attached.
struct Trace {
    tool: Tool,
    child: Option<Child>,
    file: tempfile::NamedTempFile,
}

impl Trace {
    fn start(tool: Tool, pids: &[u32]) -> Result<Self> {
        let file = tempfile::NamedTempFile::new()?;
        let child = tool
            .command(file.path(), pids)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start perf or strace; install one to count system calls")?;
        let mut trace = Self {
            tool,
            child: Some(child),
            file,
        };
        match tool {
            Tool::Perf => trace.opened(pids)?,
            Tool::Strace => trace.attached(pids)?,
        }
        Ok(trace)
    }

    /// Waits until perf has a counter for each thread, and sleeps: it tries counters out before it
    /// begins, and an interrupt that comes then ends it without a result.
    fn opened(&mut self, pids: &[u32]) -> Result<()> {
        let mut threads = 0;
        for pid in pids {
            threads += std::fs::read_dir(format!("/proc/{pid}/task"))?.count();
        }
        let child = self.child.as_mut().context("perf has ended")?;
        let descriptors = format!("/proc/{}/fd", child.id());
        let begun = Instant::now();
        let mut seen = 0;
        loop {
            let counters = std::fs::read_dir(&descriptors)?
                .flatten()
                .filter_map(|entry| std::fs::read_link(entry.path()).ok())
                .filter(|link| link.to_string_lossy().contains("perf_event"))
                .count();
            let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
            if counters >= threads && waits_for_interrupt(&status) {
                seen += 1;
            } else {
                seen = 0;
            }
            if seen == STEADY {
                return Ok(());
            }
            if let Some(status) = child.try_wait()? {
                bail!("perf cannot count system calls: {status}");
            }
            ensure!(begun.elapsed() < LIMIT, "perf did not begin in {LIMIT:?}");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Waits until strace says so.
    fn attached(&mut self, pids: &[u32]) -> Result<()> {
        let child = self.child.as_mut().context("strace has ended")?;
        let stderr = child.stderr.take().context("strace has no messages")?;
        let mut lines = BufReader::new(stderr).lines();
        let mut attached = 0;
        while attached < pids.len() {
            match lines.next().transpose()? {
                Some(line) if line.contains("attached") => attached += 1,
                // `strace: attach: ptrace(PTRACE_SEIZE, 1): Operation not permitted`
                Some(line) if line.contains("ptrace(") => bail!("{line}"),
                Some(_) => {}
                None => bail!("strace ended before it was attached"),
            }
        }
        // The pipe must stay open, and may not fill up.
        std::thread::spawn(move || for _ in lines {});
        Ok(())
    }

    /// Lets go, and tells the number of system calls.
    fn stop(mut self) -> Result<u64> {
        self.end();
        let text = std::fs::read_to_string(self.file.path())?;
        let total = match self.tool {
            Tool::Perf => counted(&text),
            Tool::Strace => total(&text),
        };
        total.with_context(|| format!("{} wrote no total:\n{text}", self.tool.name()))
    }

    fn end(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        if let Some(pid) = Pid::from_raw(child.id().cast_signed()) {
            let _ = kill_process(pid, Signal::INT);
        }
        let _ = child.wait();
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.end();
    }
}

/// True for a process that sleeps and has a handler for SIGINT, by its `/proc/PID/status`.
fn waits_for_interrupt(status: &str) -> bool {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim()
    };
    // Signal n is bit n - 1.
    let handled = u64::from_str_radix(field("SigCgt:"), 16).unwrap_or(0);
    field("State:").starts_with('S') && handled & (1 << 1) != 0
}

/// The first field of perf's line: `29,,raw_syscalls:sys_enter,511557,100.00,,`.
fn counted(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.contains("sys_enter"))?;
    match line.split(',').next()? {
        // Nothing of it ran meanwhile.
        "<not counted>" => Some(0),
        number => number.parse().ok(),
    }
}

/// The number of calls in the last line: `100.00 0.012 3 4000 12 total`, where the column of errors may be
/// empty.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().rev().find(|line| line.ends_with(" total"));
    match line {
        Some(line) => line.split_whitespace().nth(3)?.parse().ok(),
        // No system call at all: an empty table.
        None => text.trim().is_empty().then_some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::{counted, total, waits_for_interrupt};

    #[test]
    fn a_process_waits_for_an_interrupt_when_it_sleeps_and_handles_it() {
        let status = |state, mask| format!("Name:\tperf\nState:\t{state}\nSigCgt:\t{mask}\n");
        assert!(waits_for_interrupt(&status(
            "S (sleeping)",
            "0000000180000002"
        )));
        assert!(!waits_for_interrupt(&status(
            "R (running)",
            "0000000180000002"
        )));
        assert!(!waits_for_interrupt(&status(
            "S (sleeping)",
            "0000000180000000"
        )));
        assert!(!waits_for_interrupt(""));
    }

    #[test]
    fn perf_writes_the_number_first() {
        let text = "# started on Sat\n\n4001,,raw_syscalls:sys_enter,511557,100.00,,\n";
        assert_eq!(counted(text), Some(4001));
        assert_eq!(
            counted("<not supported>,,raw_syscalls:sys_enter,0,100.00,,\n"),
            None
        );
        assert_eq!(
            counted("<not counted>,,raw_syscalls:sys_enter,0,100.00,,\n"),
            Some(0)
        );
        assert_eq!(counted(""), None);
    }

    #[test]
    fn the_total_is_the_fourth_column_of_the_last_line() {
        let text = "% time     seconds  usecs/call     calls    errors syscall\n\
            ------ ----------- ----------- --------- --------- ----------------\n \
            60.00    0.000060           0      4000           sendto\n\
            ------ ----------- ----------- --------- --------- ----------------\n\
            100.00    0.000100           0      8001         2 total\n";
        assert_eq!(total(text), Some(8001));
        let text = "100.00    0.000100           0      8001           total\n";
        assert_eq!(total(text), Some(8001));
        assert_eq!(total(""), Some(0));
        assert_eq!(total("strace: something else"), None);
    }
}
