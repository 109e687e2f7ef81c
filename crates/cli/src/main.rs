//! `vaccel`: classify pictures, run models and call functions, here or through an agent.

mod agent;
mod bench;
mod certs;
mod connect;
mod exec;
mod image;
mod info;
mod options;
mod progress;
mod run;
mod security;
mod sgemm;
mod top;

use clap::{CommandFactory, Parser};
use options::{Command, Options};
use std::process::ExitCode;

/// Exit code when an operation failed; clap uses 2 for a wrong command line.
const FAILED: u8 = 1;
/// Exit code when the library, a plugin, a model or the agent is missing.
const MISSING: u8 = 3;

fn main() -> ExitCode {
    let options = Options::parse();
    match dispatch(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A reader that went away (`vaccel info | head`) is not worth a message.
            if is_broken_pipe(&error) {
                return ExitCode::SUCCESS;
            }
            eprintln!("vaccel: {error:#}");
            ExitCode::from(if connect::is_missing(&error) {
                MISSING
            } else {
                FAILED
            })
        }
    }
}

fn dispatch(options: &Options) -> anyhow::Result<()> {
    match &options.command {
        Command::Classify(image) => image::run(options, image, "classify"),
        Command::Detect(image) => image::run(options, image, "detect"),
        Command::Segment(image) => image::run(options, image, "segment"),
        Command::Pose(image) => image::run(options, image, "pose"),
        Command::Depth(image) => image::run(options, image, "depth"),
        Command::Run(run) => run::run(options, run),
        Command::Sgemm(sgemm) => sgemm::run(options, sgemm),
        Command::Exec(exec) => exec::run(options, exec),
        Command::Bench(bench) => bench::run(options, bench),
        Command::BenchClient(client) => bench::client(options, client),
        Command::Info(info) if info.security => security::run(info.json),
        Command::Info(info) => info::run(options, info),
        Command::Agent(agent) => agent::run(agent),
        Command::Top(top) => top::run(top),
        Command::Certs(certs) => certs::run(certs),
        Command::Completions { shell } => {
            let mut command = Options::command();
            clap_complete::generate(*shell, &mut command, "vaccel", &mut std::io::stdout());
            Ok(())
        }
        Command::Man { folder } => {
            std::fs::create_dir_all(folder)?;
            Ok(clap_mangen::generate_to(Options::command(), folder)?)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
