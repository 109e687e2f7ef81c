//! Starting the library with the plugins that the command line asks for.

use crate::options::Options;
use anyhow::{Context, Result};
use vaccel::{Config, LogLevel, Session, code};

/// Backend of a local session when the command line names none.
const LOCAL: &str = "onnx";
/// Plugin that carries a session to an agent.
const REMOTE: &str = "rpc";

/// Starts the library.
pub(crate) fn start(options: &Options, local: &str) -> Result<()> {
    // SAFETY: called first, before this program has a second thread; libraries
    // that are loaded later read the variables.
    unsafe {
        // The library would otherwise start with the plugins of the environment,
        // and then once more with ours.
        std::env::set_var("VACCEL_BOOTSTRAP_ENABLED", "0");
        if let Some(address) = &options.remote {
            std::env::set_var("VACCEL_RPC_ADDRESS", address);
        }
    }
    let plugins = if !options.plugins.is_empty() {
        options.plugins.clone()
    } else if options.remote.is_some() {
        vec![REMOTE.to_string()]
    } else {
        vec![local.to_string()]
    };
    let log_level = match options.verbose {
        0 => level_of_environment(),
        1 => LogLevel::Info,
        _ => LogLevel::Debug,
    };
    vaccel::bootstrap_with(&Config {
        plugins,
        log_level,
        // Standard output is for answers; and what fails is said once, by this program.
        log_file: Some(
            if log_level == LogLevel::Error {
                "/dev/null"
            } else {
                "/dev/stderr"
            }
            .into(),
        ),
        ..Config::default()
    })
    .context("cannot start the library")
}

/// Starts the library and opens a session.
pub(crate) fn session(options: &Options) -> Result<Session> {
    session_with(options, LOCAL)
}

/// As [`session`], with another backend for local use.
pub(crate) fn session_with(options: &Options, local: &str) -> Result<Session> {
    start(options, local)?;
    match &options.remote {
        Some(address) => Session::with_hint(vaccel::hint::REMOTE)
            .with_context(|| format!("no session with the agent at {address}")),
        None => Session::new().context("no session"),
    }
}

fn level_of_environment() -> LogLevel {
    match std::env::var("VACCEL_LOG_LEVEL").as_deref() {
        Ok("2" | "warn") => LogLevel::Warn,
        Ok("3" | "info") => LogLevel::Info,
        Ok("4" | "debug") => LogLevel::Debug,
        _ => LogLevel::Error,
    }
}

/// True when something that should be there is not: a matter of installing, not of the input.
pub(crate) fn is_missing(error: &anyhow::Error) -> bool {
    error.downcast_ref::<vaccel::Error>().is_some_and(|error| {
        matches!(
            error.code,
            code::ENOENT | code::ELIBBAD | code::ENODEV | code::ESESS | code::EREMOTEIO
        )
    })
}
