//! System calls of one empty call, on either side, counted by strace.

use super::client::Client;
use super::{Placement, Way};
use crate::bench::figure::Figure;
use crate::bench::sample::bind;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use vaccel_tests::Agent;

/// Two runs, whose difference has nothing in it but calls.
const CALLS: (u64, u64) = (200, 2200);
const MOST: f64 = 2.0;
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
            Ok(calls) => Figure::plain(&title, calls, "")
                .wanted(format!("<= {MOST}"), calls < MOST + ROUNDING)
                .with_note("by strace, which makes system calls slow: what looks before it sleeps sleeps more often"),
            Err(error) => Figure::missing(&title, "", format!("{error:#}")),
        });
    }
    Ok(figures)
}

/// System calls of some processes for each empty call.
fn count(client: &mut Client, pids: &[u32]) -> Result<f64> {
    let mut totals = [0; 2];
    for (total, calls) in totals.iter_mut().zip([CALLS.0, CALLS.1]) {
        let trace = Trace::start(pids)?;
        client.calls(calls)?;
        *total = trace.stop()?;
    }
    Ok((totals[1] as f64 - totals[0] as f64) / (CALLS.1 - CALLS.0) as f64)
}

/// strace, attached.
struct Trace {
    strace: Option<Child>,
    file: tempfile::NamedTempFile,
}

impl Trace {
    fn start(pids: &[u32]) -> Result<Self> {
        let file = tempfile::NamedTempFile::new()?;
        let mut command = Command::new("strace");
        command.args(["-f", "-c", "-o"]).arg(file.path());
        for pid in pids {
            command.args(["-p", &pid.to_string()]);
        }
        let mut strace = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start strace; install it to count system calls")?;
        let stderr = strace.stderr.take().context("strace has no messages")?;
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
        Ok(Self {
            strace: Some(strace),
            file,
        })
    }

    /// Lets go, and tells the number of system calls.
    fn stop(mut self) -> Result<u64> {
        self.end();
        let text = std::fs::read_to_string(self.file.path())?;
        total(&text).with_context(|| format!("strace wrote no total:\n{text}"))
    }

    fn end(&mut self) {
        let Some(mut strace) = self.strace.take() else {
            return;
        };
        if let Some(pid) = Pid::from_raw(strace.id().cast_signed()) {
            let _ = kill_process(pid, Signal::INT);
        }
        let _ = strace.wait();
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.end();
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
    use super::total;

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
