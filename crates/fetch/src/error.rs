//! What went wrong with a download.

use std::io;
use std::time::Duration;

/// Why a download failed. Every text names the URL or file, without credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not a URL, or one without a host.
    #[error("`{url}` is not a valid URL: {why}")]
    InvalidUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// Neither http nor https.
    #[error("`{0}` cannot be downloaded: only http and https can; fetch the file and use its path")]
    UnsupportedScheme(String),
    /// The server could not be reached or broke off.
    #[error("cannot download {url}: {why}")]
    Transfer {
        /// The URL.
        url: String,
        /// What the network said.
        why: String,
    },
    /// The server answered with something else than the file.
    #[error("cannot download {url}: the server answers {status}")]
    Status {
        /// The URL.
        url: String,
        /// Status code of HTTP.
        status: u16,
    },
    /// It took too long.
    #[error("cannot download {url}: not done within {} s; see VACCEL_DOWNLOAD_TIMEOUT", .limit.as_secs())]
    TimedOut {
        /// The URL.
        url: String,
        /// The time it may take.
        limit: Duration,
    },
    /// More bytes than are accepted.
    #[error("cannot download {url}: it has more than {limit} bytes; see VACCEL_DOWNLOAD_LIMIT")]
    TooLarge {
        /// The URL.
        url: String,
        /// The number of bytes accepted.
        limit: u64,
    },
    /// One redirection after the other.
    #[error("cannot download {url}: more than {limit} redirections")]
    TooManyRedirects {
        /// The URL.
        url: String,
        /// The number accepted.
        limit: u32,
    },
    /// A redirection that gives up encryption, or leads nowhere.
    #[error("cannot download {url}: the server redirects to `{to}`, which is refused: {why}")]
    BadRedirect {
        /// The URL.
        url: String,
        /// Where it leads.
        to: String,
        /// Why it is not followed.
        why: &'static str,
    },
    /// The bytes are not those that were asked for.
    #[error(
        "{url} has the SHA-256 {found}, not {wanted}: the file was changed or the hash is wrong"
    )]
    WrongHash {
        /// The URL.
        url: String,
        /// Hash of the bytes.
        found: String,
        /// Hash in the URL.
        wanted: String,
    },
    /// The file could not be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The certificates to trust could not be read.
    #[error("cannot read the certificates in {path} (VACCEL_CA_FILE): {why}")]
    Certificates {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
