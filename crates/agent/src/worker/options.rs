//! The command line of `vaccel-worker`, as the agent writes it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::log::Level;
use crate::options::duration;
use crate::vaccel_config::{self, VaccelConfig};

/// Serves connections that vaccel-agent hands over. Started by the agent, not by hand.
#[derive(Debug, Parser)]
#[command(name = "vaccel-worker", version)]
pub struct Options {
    /// Descriptor of the channel to the agent.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(3..))]
    pub fd: i32,

    /// Private folder, removed by the agent.
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,

    /// Descriptor of the memory in which it counts.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(3..))]
    pub counts: Option<i32>,

    /// Plugins to load.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub plugins: Vec<String>,

    /// Further settings of the library.
    #[arg(long, value_name = "SETTINGS", value_parser = vaccel_config::parse, default_value = "")]
    pub vaccel_config: VaccelConfig,

    /// What is spent to see requests in shared memory sooner.
    #[arg(long, value_name = "MODE", default_value_t)]
    pub mode: vaccel_transport::shm::Mode,

    /// How long a connection is quiet before it gives up its thread.
    #[arg(long, value_name = "TIME", default_value = "200ms", value_parser = duration)]
    pub park_after: Duration,

    /// How it is locked in, as JSON.
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = crate::jail::parse)]
    pub jail: vaccel_jail::JailOptions,

    /// The agent keeps content.
    #[arg(long)]
    pub content: bool,

    /// The agent takes spans of requests that belong to a trace.
    #[arg(long)]
    pub traces: bool,

    /// What is logged.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: Level,

    /// Log lines as JSON.
    #[arg(long)]
    pub json: bool,
}
