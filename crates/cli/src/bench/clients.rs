//! Several processes at once, each with a connection of its own.
//!
//! A client says `ready` when it is connected. It is told `BEGIN END`, in nanoseconds of the monotonic
//! clock, which all processes share; it makes calls from now until END, and answers how many there
//! were from BEGIN on. So all of them are at work for as long as any is counted.

use crate::options::Options;
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;
use vaccel::Session;

struct Client {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Client {
    fn start(options: &Options) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        if let Some(address) = &options.remote {
            command.args(["--remote", address]);
        }
        if !options.plugins.is_empty() {
            command.args(["--plugins", &options.plugins.join(",")]);
        }
        let mut child = command
            .arg("bench-client")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a client")?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("a client has no output")?;
        Ok(Self {
            child,
            input,
            output: BufReader::new(output),
        })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            bail!("a client ended; its message is above");
        }
        Ok(line.trim().to_owned())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It ends when its input does.
        self.input = None;
        let _ = self.child.wait();
    }
}

/// Calls a second of all clients together.
pub(super) fn rate(options: &Options, count: u32, time: Duration) -> Result<f64> {
    let mut clients = (0..count)
        .map(|_| Client::start(options))
        .collect::<Result<Vec<_>>>()?;
    for client in &mut clients {
        let line = client.line()?;
        if line != "ready" {
            bail!("a client said `{line}`");
        }
    }
    let begin = now() + (time / 10).as_nanos() as u64;
    let end = begin + time.as_nanos() as u64;
    for client in &mut clients {
        let input = client.input.as_mut().context("a client has no input")?;
        writeln!(input, "{begin} {end}")?;
    }
    let mut calls = 0_u64;
    for client in &mut clients {
        let line = client.line()?;
        calls += line
            .parse::<u64>()
            .with_context(|| format!("a client said `{line}`"))?;
    }
    Ok(calls as f64 / time.as_secs_f64())
}

/// What a client does.
pub(super) fn serve(session: &Session) -> Result<()> {
    session.noop()?;
    println!("ready");
    for line in std::io::stdin().lines() {
        let line = line?;
        let (begin, end) = line
            .split_once(' ')
            .and_then(|(begin, end)| Some((begin.parse::<u64>().ok()?, end.parse::<u64>().ok()?)))
            .with_context(|| format!("`{line}` is not two times"))?;
        let mut count = 0_u64;
        loop {
            session.noop()?;
            let time = now();
            if time > end {
                break;
            }
            count += u64::from(time >= begin);
        }
        println!("{count}");
    }
    Ok(())
}

/// Nanoseconds of the monotonic clock.
fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    // Since the machine started: not negative.
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
