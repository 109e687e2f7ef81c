//! Resources that are URLs, brought to this machine.

use crate::{Result, env, fail};
use std::ffi::CStr;
use std::path::{Path, PathBuf};

/// Downloads URLs into a folder; the files, in order.
///
/// # Errors
/// `EPERM` where `VACCEL_DOWNLOAD_ENABLED` is 0, as it is for the tenants of an
/// agent; `EINVAL` for a bad URL, `ENOTSUP` for one that is neither http nor
/// https; `ETIMEDOUT`, `ERANGE` for one that is too large, `ENOENT`, `EACCES` and
/// `EREMOTEIO` for what the server says.
pub(crate) fn all(urls: &[&CStr], folder: &Path) -> Result<Vec<PathBuf>> {
    if !env::switch("VACCEL_DOWNLOAD_ENABLED", None, true) {
        fail!(
            EPERM,
            "downloading resources is switched off here (VACCEL_DOWNLOAD_ENABLED=0); \
             fetch the file and use its path"
        );
    }
    urls.iter()
        .enumerate()
        .map(|(i, url)| {
            // Two URLs may end in the same name.
            let folder = folder.join(i.to_string());
            crate::rundir::make(&folder)?;
            one(&url.to_string_lossy(), &folder)
        })
        .collect()
}

#[cfg(feature = "http")]
fn one(url: &str, folder: &Path) -> Result<PathBuf> {
    use crate::Error;
    use vaccel_abi::error as code;
    use vaccel_fetch::{Error as Failure, Fetcher, Limits};

    crate::log_info!("downloading {url}");
    let failed = |failure: Failure| {
        let code = match &failure {
            Failure::InvalidUrl { .. } | Failure::WrongHash { .. } => code::EINVAL,
            Failure::UnsupportedScheme(_) => code::ENOTSUP,
            Failure::TimedOut { .. } => code::ETIMEDOUT,
            Failure::TooLarge { .. } => code::ERANGE,
            Failure::Status {
                status: 404 | 410, ..
            } => code::ENOENT,
            Failure::Status {
                status: 401 | 403, ..
            } => code::EACCES,
            Failure::Write { path, source } => return Error::io(path, source),
            _ => code::EREMOTEIO,
        };
        Error::new(code, failure.to_string())
    };
    let name = std::ffi::CString::new(url).unwrap_or_default();
    Fetcher::new(Limits::from_environment())
        .on_progress(|done, total| crate::progress::report(&name, done, total.unwrap_or(0)))
        .download(url, folder)
        .map_err(failed)
}

#[cfg(not(feature = "http"))]
fn one(url: &str, _: &Path) -> Result<PathBuf> {
    fail!(
        ENOTSUP,
        "this library was built without downloads (feature `http`); fetch {url} and use its path"
    )
}
