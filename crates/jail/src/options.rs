//! What is asked for.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How a jail is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Whatever the kernel has; what it lacks is warned of.
    #[default]
    On,
    /// All of it, or nobody is served.
    Strict,
    /// None, for debugging.
    Off,
}

/// A jail as an operator asks for it, for example in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct JailOptions {
    /// How it is meant.
    pub mode: Mode,
    /// Further files and folders that may be read.
    pub read: Vec<PathBuf>,
    /// Further files and folders that may be read and changed.
    pub write: Vec<PathBuf>,
    /// Folders whose files may be read by who knows their names, which cannot be listed.
    pub known: Vec<PathBuf>,
    /// Private memory of a process, in bytes.
    pub memory: Option<u64>,
    /// All mapped memory of a process, in bytes: private, shared, files. Not for backends
    /// with devices, which map far more than they use.
    pub address_space: Option<u64>,
    /// Processes and threads. Counted by process only where it has a user namespace of its own.
    pub processes: Option<u64>,
    /// Open descriptors.
    pub files: Option<u64>,
    /// Size of a file that is written, in bytes.
    pub file_size: Option<u64>,
    /// Memory may be made executable, whatever the plugin's profile says.
    pub jit: Option<bool>,
    /// Sockets may be made, whatever the plugin's profile says.
    pub network: Option<bool>,
    /// Programs may be started, whatever the plugin's profile says.
    pub spawn: Option<bool>,
}
