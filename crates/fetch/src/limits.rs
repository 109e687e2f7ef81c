//! What a download may cost.

use std::path::PathBuf;
use std::time::Duration;

/// Bounds of a download, and where to keep copies.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes that are accepted; 16 GiB by default.
    pub max_bytes: u64,
    /// Time until the whole file is there; one hour by default.
    pub timeout: Duration,
    /// Time in which at least one byte must arrive, and in which the connection
    /// must come about; 30 s by default.
    pub stall: Duration,
    /// Redirections that are followed; 5 by default.
    pub max_redirects: u32,
    /// Folder of the cache; `None` keeps nothing.
    pub cache: Option<PathBuf>,
    /// PEM file of certificates to trust instead of the built-in ones.
    pub ca_file: Option<PathBuf>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 16 << 30,
            timeout: Duration::from_secs(3600),
            stall: Duration::from_secs(30),
            max_redirects: 5,
            cache: None,
            ca_file: None,
        }
    }
}

impl Limits {
    /// The defaults, changed by what the environment says.
    ///
    /// `VACCEL_DOWNLOAD_TIMEOUT` (seconds), `VACCEL_DOWNLOAD_LIMIT` (bytes),
    /// `VACCEL_CA_FILE` (PEM file) and `VACCEL_CACHE` (folder; else `vaccel` in
    /// `XDG_CACHE_HOME` or `~/.cache`; empty for none). Values that are no numbers are passed over.
    #[must_use]
    pub fn from_environment() -> Self {
        let number = |name: &str| std::env::var(name).ok()?.trim().parse::<u64>().ok();
        let folder = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let mut limits = Self::default();
        if let Some(seconds) = number("VACCEL_DOWNLOAD_TIMEOUT").filter(|&s| s > 0) {
            limits.timeout = Duration::from_secs(seconds);
        }
        if let Some(bytes) = number("VACCEL_DOWNLOAD_LIMIT") {
            limits.max_bytes = bytes;
        }
        limits.ca_file = folder("VACCEL_CA_FILE");
        limits.cache = match std::env::var_os("VACCEL_CACHE") {
            Some(_) => folder("VACCEL_CACHE"),
            None => folder("XDG_CACHE_HOME")
                .or_else(|| Some(folder("HOME")?.join(".cache")))
                .map(|cache| cache.join("vaccel")),
        };
        limits
    }
}
