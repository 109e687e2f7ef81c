//! What it costs to register a model that the agent has, and one that it has not.

use super::Way;
use crate::bench::figure::Figure;
use crate::bench::sample::{median, open_library};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use vaccel::{Config, Resource, ResourceType, Session};
use vaccel_tests::Agent;

const SIZE: usize = 100 << 20;
const ROUNDS: usize = 5;

/// Options of a client that registers a file.
#[derive(Args)]
pub(crate) struct RegisterOptions {
    /// The staged installation.
    prefix: PathBuf,
    /// The file.
    file: PathBuf,
}

pub(crate) fn run(prefix: &Path) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("model.bin");
    write(&file)?;
    let agent = Agent::start(prefix, "noop", &[], &[])?;
    let address = agent.addresses().first().context("no address")?;
    let register = || register_elsewhere(prefix, &file, address, &folder.path().join("client"));
    // Times of files are coarse: a hash is kept once the file has been left alone.
    let changed = file.metadata()?.modified()?;
    while changed.elapsed()? < Duration::from_secs(4) {
        std::thread::park_timeout(Duration::from_millis(100));
    }
    let first = register()?;
    let mut again = (0..ROUNDS)
        .map(|_| register())
        .collect::<Result<Vec<_>>>()?;
    Ok(vec![
        Figure::plain("first registration of 100 MB, unix", first / 1000.0, "ms"),
        Figure::at_most(
            "registration of 100 MB from another sandbox",
            median(&mut again) / 1000.0,
            "ms",
            1.0,
        ),
    ])
}

fn write(path: &Path) -> Result<()> {
    let mut file = File::create(path)?;
    let mut state = 1_u64;
    let mut piece = vec![0_u8; 1 << 20];
    for _ in 0..SIZE / piece.len() {
        for bytes in piece.chunks_exact_mut(8) {
            // A generator of random numbers, so that nothing can be saved by compression.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.copy_from_slice(&state.to_le_bytes());
        }
        file.write_all(&piece)?;
    }
    Ok(())
}

/// Microseconds of a registration in a process, and so a connection and a worker, of its own.
fn register_elsewhere(prefix: &Path, file: &Path, address: &str, cache: &Path) -> Result<f64> {
    let mut command = Command::new(crate::process::OWN);
    command.arg("bench-register").args([prefix, file]);
    Way::new("unix+shm", address).apply(&mut command);
    let run = command.env("VACCEL_CACHE", cache).output()?;
    if !run.status.success() {
        bail!("cannot register: {}", String::from_utf8_lossy(&run.stderr));
    }
    let text = String::from_utf8(run.stdout)?;
    let last = text.lines().last().context("the client says nothing")?;
    Ok(last.trim().parse()?)
}

/// What such a process does.
pub(crate) fn register(options: &RegisterOptions) -> Result<()> {
    open_library(&options.prefix)?;
    vaccel::bootstrap_with(&Config {
        plugins: vec!["rpc".into()],
        ..Config::default()
    })?;
    let session = Session::with_hint(vaccel::hint::REMOTE)?;
    session.noop()?;
    let model = Resource::open(&options.file, ResourceType::Model)?;
    let begun = Instant::now();
    model.register(&session)?;
    println!("{:.1}", begun.elapsed().as_secs_f64() * 1e6);
    Ok(())
}
