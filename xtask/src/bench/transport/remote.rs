//! Reaching an agent with certain settings.

use anyhow::{Context, Result};
use std::process::Command;
use vaccel::{Config, Session};

/// Variables that a way may set; the others are removed, whoever set them.
const VARIABLES: [&str; 6] = [
    "VACCEL_RPC_ADDRESS",
    "VACCEL_RPC_MODE",
    "VACCEL_RPC_SHARED",
    "VACCEL_RPC_TIMEOUT",
    "VACCEL_RPC_TLS_CA",
    "VACCEL_RPC_RETRY",
];

/// No call of a benchmark takes longer, in seconds; one that does is an error.
const TIMEOUT: &str = "30";

/// An address and how to go there.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    /// What it is called in names of figures.
    pub(crate) name: &'static str,
    settings: Vec<(&'static str, String)>,
}

impl Way {
    pub(crate) fn new(name: &'static str, address: &str) -> Self {
        Self {
            name,
            settings: vec![
                ("VACCEL_RPC_ADDRESS", address.into()),
                ("VACCEL_RPC_TIMEOUT", TIMEOUT.into()),
            ],
        }
    }

    /// A Unix socket without shared memory.
    pub(crate) fn unix(address: &str) -> Self {
        Self::new("unix", address).with("VACCEL_RPC_SHARED", "0")
    }

    /// A Unix socket with shared memory.
    pub(crate) fn shared(name: &'static str, address: &str, mode: &str) -> Self {
        Self::new(name, address).with("VACCEL_RPC_MODE", mode)
    }

    pub(crate) fn with(mut self, variable: &'static str, value: &str) -> Self {
        self.settings.push((variable, value.into()));
        self
    }

    /// Starts the library of this process anew, and opens a session on a new connection.
    /// All sessions of this process must have been closed before.
    pub(crate) fn open(&self) -> Result<Session> {
        for name in VARIABLES {
            // SAFETY: no other thread of this program uses the environment.
            unsafe { std::env::remove_var(name) };
        }
        for (name, value) in &self.settings {
            // SAFETY: as above.
            unsafe { std::env::set_var(name, value) };
        }
        vaccel::bootstrap_with(&Config {
            plugins: vec!["rpc".into()],
            ..Config::default()
        })?;
        self.session()
    }

    /// A further session on the connection of this process.
    pub(crate) fn session(&self) -> Result<Session> {
        Session::with_hint(vaccel::hint::REMOTE)
            .with_context(|| format!("no session over {}", self.name))
    }

    /// Lets another program go this way.
    pub(crate) fn apply(&self, command: &mut Command) {
        for name in VARIABLES {
            command.env_remove(name);
        }
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
    }
}
