//! What all peers have in common: a server process of its own, processors for both sides, rounds of calls,
//! and figures as lines of JSON.

use anyhow::{Context, Result, bail, ensure};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Bytes of the large call.
pub const LARGE: usize = 1 << 20;
/// Calls of a round without data.
pub const CALLS: usize = 20_000;
/// Calls of a round with 1 MB.
pub const LARGE_CALLS: usize = 2000;

const ROUNDS: usize = 5;
/// Longest that one round may take.
const ROUND: Duration = Duration::from_millis(1500);
/// Seconds after which a program ends that hangs.
const LIMIT: u32 = 120;

/// Which side of a call.
#[derive(Clone, Copy)]
pub enum Side {
    Client,
    Server,
}

/// Binds this process to the processor of its side, and gives it a time after which it is ended.
pub fn begin(side: Side) -> Result<()> {
    // SAFETY: only sets a timer; its signal ends the process.
    unsafe { libc::alarm(LIMIT) };
    if matches!(side, Side::Server) {
        // SAFETY: only says which signal comes when the parent ends.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    }
    // SAFETY: a set of processors is plain bits, all of them zero for none.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    let size = size_of_val(&set);
    // SAFETY: room for `size` bytes.
    let code = unsafe { libc::sched_getaffinity(0, size, &raw mut set) };
    ensure!(code == 0, "cannot ask for processors");
    let most = libc::CPU_SETSIZE as usize;
    // SAFETY: below the size of the set.
    let all: Vec<usize> = (0..most)
        .filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) })
        .collect();
    let own = match side {
        Side::Client => all.first(),
        // The same one where there is no other.
        Side::Server => all.get(1).or(all.first()),
    };
    let own = *own.context("no processor")?;
    // SAFETY: as above.
    let mut one: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: below the size of the set.
    unsafe { libc::CPU_SET(own, &mut one) };
    // SAFETY: a set of `size` bytes.
    let code = unsafe { libc::sched_setaffinity(0, size, &raw const one) };
    ensure!(code == 0, "cannot choose a processor");
    Ok(())
}

/// The server, in a process of its own.
pub struct Server(Child);

impl Server {
    /// Starts this program with these arguments, and waits until it calls [`ready`].
    pub fn start(arguments: &[&str]) -> Result<Self> {
        // Before this process binds itself, so that the server has processors to choose from.
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the server")?;
        let stdout = child.stdout.take().context("the server has no output")?;
        let server = Self(child);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        if line.trim() != "ready" {
            bail!("the server said `{line}`");
        }
        Ok(server)
    }

    /// Waits for a server that ends by itself.
    pub fn wait(mut self) -> Result<()> {
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Says that the server listens.
pub fn ready() -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "ready")?;
    Ok(out.flush()?)
}

/// Makes rounds of calls, and prints the figure.
pub fn measure(name: &str, calls: usize, mut call: impl FnMut() -> Result<()>) -> Result<()> {
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for _ in 0..calls / 10 {
            call()?;
        }
        let begun = Instant::now();
        let mut times = Vec::with_capacity(calls);
        while times.len() < calls && begun.elapsed() < ROUND {
            let begin = Instant::now();
            call()?;
            times.push(begin.elapsed().as_nanos() as f64 / 1e3);
        }
        times.sort_by(f64::total_cmp);
        p50.push(quantile(&times, 0.5));
        p99.push(quantile(&times, 0.99));
    }
    p50.sort_by(f64::total_cmp);
    p99.sort_by(f64::total_cmp);
    println!(
        r#"{{"name": "{name}", "value": {:.3}, "unit": "us", "p99": {:.3}}}"#,
        quantile(&p50, 0.5),
        quantile(&p99, 0.5)
    );
    Ok(())
}

fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = ((sorted.len() as f64 * q) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(f64::NAN)
}
