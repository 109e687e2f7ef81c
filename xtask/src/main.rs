//! `cargo xtask`: everything that is done with this repository beside `cargo build`.

mod abi;
mod archive;
mod bench;
mod chaos;
mod cross;
mod demo;
mod docs;
mod fuzz;
mod matrix;
mod models;
mod nets;
mod process;
mod runtimes;
mod stage;
mod test;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    bin_name = "cargo xtask",
    about = "Build, install, test, demonstrate and measure vaccel",
    after_help = "Examples:\n  \
        cargo xtask demo                        classify pictures from inside a sandbox\n  \
        cargo xtask test                        run every test\n  \
        cargo xtask install --prefix ~/vaccel   stage lib, include, bin and share\n  \
        cargo xtask bench dispatch --json d.json"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build and stage lib, include, bin and share under a prefix.
    Install {
        /// Folder to install to; made when missing.
        #[arg(long)]
        prefix: PathBuf,
        /// Cargo profile to build with.
        #[arg(long, default_value = "release")]
        profile: String,
    },
    /// Build, stage and run every test.
    Test(test::Options),
    /// Classify pictures from inside a sandbox, and compare with ground truth.
    Demo(demo::Options),
    /// Measure, and compare with floors of the same run.
    Bench(bench::Options),
    /// Evaluate the shipped models again.
    Models(models::Options),
    /// Compare the built library and headers with the description of the binary interface.
    Abi(abi::Options),
    /// Compile for arm64 and armv7; run the tests of sizes and bytes where pointers have 32 bits.
    Cross(cross::Options),
    /// Install runtimes of backends into target/runtimes.
    Runtimes(runtimes::Options),
    /// Write the pages that follow from the code.
    Docs(docs::Options),
    /// Let everything go wrong, and look what still holds.
    Chaos(chaos::Options),
    /// Fuzz everything that reads bytes of others.
    Fuzz(fuzz::Options),
    /// The other end of a floor.
    #[command(hide = true)]
    BenchPeer(bench::floor::PeerOptions),
    /// A client that makes empty calls.
    #[command(hide = true)]
    BenchClient(bench::transport::client::Options),
    /// A client that registers a file.
    #[command(hide = true)]
    BenchRegister(bench::transport::resources::RegisterOptions),
    /// One process of the overhead suite.
    #[command(hide = true)]
    BenchOverhead(bench::overhead::Job),
    /// One process of the backends suite.
    #[command(hide = true)]
    BenchBackend(bench::backends::Job),
    /// Run a program in namespaces of its own; what `demo` starts the application with.
    #[command(hide = true)]
    Sandbox(demo::sandbox::Options),
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> Result<()> {
    match command {
        Command::Install { prefix, profile } => {
            stage::install(&prefix, &profile)?;
            eprintln!("installed to {}", prefix.display());
            Ok(())
        }
        Command::Test(options) => test::run(&options),
        Command::Demo(options) => demo::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Models(options) => models::run(&options),
        Command::Abi(options) => abi::run(&options),
        Command::Cross(options) => cross::run(&options),
        Command::Docs(options) => docs::run(&options),
        Command::Chaos(options) => chaos::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Runtimes(options) => runtimes::run(&options),
        Command::BenchPeer(options) => bench::floor::peer(&options),
        Command::BenchClient(options) => bench::transport::client::run(&options),
        Command::BenchRegister(options) => bench::transport::resources::register(&options),
        Command::BenchOverhead(job) => bench::overhead::child(&job),
        Command::BenchBackend(job) => bench::backends::child(&job),
        Command::Sandbox(options) => demo::sandbox::run(&options),
    }
}
