//! A client process of its own, told on its standard input what to do.
//!
//! `calls N` makes so many empty calls; `window BEGIN END` makes them until END and counts those
//! within, in nanoseconds of the monotonic clock, which all processes share; `stream` fetches
//! large replies until its input ends. The first two are answered with a number of calls, the last
//! when the first reply has come.

use super::mixed;
use super::remote::Way;
use crate::bench::floor::{Kind, Memory, PingPong, Wait};
use crate::bench::sample::open_library;
use crate::process::OWN;
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use rustix::time::{ClockId, clock_gettime};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use vaccel::{Config, Session};

/// Options of such a process.
#[derive(Args)]
pub(crate) struct Options {
    /// The staged installation.
    prefix: PathBuf,
    /// Make bare round trips with a process of its own instead.
    #[arg(long, value_enum)]
    floor: Option<Floor>,
}

/// What an empty call is beside.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Floor {
    /// A number in shared memory, and a futex.
    Futex,
    /// 64 bytes over TCP.
    Tcp,
}

/// One of them; it ends when this is dropped.
pub(super) struct Client {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Client {
    /// Starts it; it may not be connected yet. It inherits the processors of this thread.
    pub(super) fn start(prefix: &Path, way: &Way) -> Result<Self> {
        let mut command = Command::new(OWN);
        command.arg("bench-client").arg(prefix);
        way.apply(&mut command);
        Self::spawn(command)
    }

    /// Starts one that makes bare round trips.
    pub(super) fn bare(prefix: &Path, floor: Floor) -> Result<Self> {
        let mut command = Command::new(OWN);
        let name = match floor {
            Floor::Futex => "futex",
            Floor::Tcp => "tcp",
        };
        command.arg("bench-client").arg(prefix);
        command.args(["--floor", name]);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start a client")?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("a client has no output")?;
        Ok(Self {
            child,
            input,
            output: BufReader::new(output),
        })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Tells it something.
    pub(super) fn tell(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().context("the client has ended")?;
        writeln!(input, "{line}").context("a client does not listen")
    }

    /// Its next answer.
    pub(super) fn answer(&mut self) -> Result<u64> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        line.trim()
            .parse()
            .with_context(|| format!("a client failed (its message is above); it said `{line}`"))
    }

    /// Makes so many empty calls.
    pub(super) fn calls(&mut self, count: u64) -> Result<u64> {
        self.tell(&format!("calls {count}"))?;
        self.answer()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It ends when its input does.
        self.input = None;
        let _ = self.child.wait();
    }
}

/// Nanoseconds of the monotonic clock.
pub(super) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    // Since the machine started: not negative.
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// What such a process does.
pub(crate) fn run(options: &Options) -> Result<()> {
    match options.floor {
        Some(Floor::Futex) => {
            let mut memory = Memory::start(Wait::Futex)?;
            obey(|| memory.round(), |_| bail!("there are no large replies"))
        }
        Some(Floor::Tcp) => {
            let mut socket = PingPong::start(Kind::Tcp, 64)?;
            obey(|| socket.round(), |_| bail!("there are no large replies"))
        }
        None => {
            open_library(&options.prefix)?;
            vaccel::bootstrap_with(&Config {
                plugins: vec!["rpc".into()],
                ..Config::default()
            })?;
            let session = Session::with_hint(vaccel::hint::REMOTE)?;
            obey(|| Ok(session.noop()?), |end| mixed::until(&session, end))
        }
    }
}

fn obey(
    mut call: impl FnMut() -> Result<()>,
    mut stream: impl FnMut(&mut dyn FnMut()) -> Result<()>,
) -> Result<()> {
    call()?;
    let mut lines = std::io::stdin().lines();
    while let Some(line) = lines.next() {
        let line = line?;
        let done = match line.split(' ').collect::<Vec<_>>()[..] {
            ["calls", count] => {
                let count = count.parse()?;
                for _ in 0..count {
                    call()?;
                }
                count
            }
            ["window", begin, end] => window(&mut call, begin.parse()?, end.parse()?)?,
            // Whatever is said now is the end.
            ["stream"] => return stream(&mut || drop(lines.next())),
            _ => bail!("a client cannot do `{line}`"),
        };
        println!("{done}");
    }
    Ok(())
}

fn window(call: &mut impl FnMut() -> Result<()>, begin: u64, end: u64) -> Result<u64> {
    let mut count = 0;
    loop {
        call()?;
        match now() {
            time if time > end => return Ok(count),
            time => count += u64::from(time >= begin),
        }
    }
}
