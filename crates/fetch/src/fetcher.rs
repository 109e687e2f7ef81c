//! The download itself.

use crate::address::Address;
use crate::cache::{Cache, Entry, hex};
use crate::error::{Error, Result};
use crate::limits::Limits;
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use ureq::http::{Response, header};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

/// Called with the bytes that are there, and with the size where the server says it.
type OnProgress<'a> = Box<dyn Fn(u64, Option<u64>) + Send + Sync + 'a>;

/// Downloads files within [`Limits`].
pub struct Fetcher<'a> {
    limits: Limits,
    progress: Option<OnProgress<'a>>,
}

impl<'a> Fetcher<'a> {
    /// A fetcher that keeps to some limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            progress: None,
        }
    }

    /// Calls a function as bytes arrive: how many are there, and how many there
    /// will be where the server says it.
    #[must_use]
    pub fn on_progress(mut self, call: impl Fn(u64, Option<u64>) + Send + Sync + 'a) -> Self {
        self.progress = Some(Box::new(call));
        self
    }

    /// Downloads a URL into a folder, and returns the new file.
    ///
    /// The file appears whole or not at all. One of that name is replaced.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn download(&self, url: &str, folder: &Path) -> Result<PathBuf> {
        let address = Address::parse(url)?;
        let path = folder.join(address.file_name());
        let agent = self.agent()?;
        let deadline = Instant::now() + self.limits.timeout;
        let cache = self.limits.cache.as_deref().map(Cache::new);
        if let Some(cache) = &cache
            && let Some(entry) = cache.entry(&address)
        {
            let (_, response) = self.request(&agent, &address, Some(&entry.etag), deadline)?;
            let wanted = address.sha256().is_none_or(|hash| hash == entry.sha256);
            if response.status() == 304
                && wanted
                && cache.copy_to(&address, &entry, &path).is_some()
            {
                return Ok(path);
            }
            if response.status() == 200 {
                return self.take(response, &address, &path, Some(cache), deadline);
            }
            // A copy that is no longer whole or wanted: as if there were none.
        }
        let (_, response) = self.request(&agent, &address, None, deadline)?;
        if response.status() != 200 {
            return Err(Error::Status {
                url: address.shown(),
                status: response.status().as_u16(),
            });
        }
        self.take(response, &address, &path, cache.as_ref(), deadline)
    }

    fn agent(&self) -> Result<Agent> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            // Followed by hand, so that each step is looked at.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(self.limits.stall))
            .timeout_recv_response(Some(self.limits.stall))
            .timeout_per_read(Some(self.limits.stall))
            .user_agent(concat!("vaccel/", env!("CARGO_PKG_VERSION")));
        if let Some(file) = &self.limits.ca_file {
            let roots = RootCerts::Specific(Arc::new(certificates(file)?));
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        Ok(config.build().into())
    }

    /// Asks for a file, and follows redirections.
    fn request(
        &self,
        agent: &Agent,
        address: &Address,
        etag: Option<&str>,
        deadline: Instant,
    ) -> Result<(Address, Response<Body>)> {
        let mut at = address.clone();
        for _ in 0..=self.limits.max_redirects {
            let mut request = agent.get(at.as_str());
            if let Some(etag) = etag {
                request = request.header(header::IF_NONE_MATCH, etag);
            }
            let response = request
                .config()
                .timeout_global(Some(self.left(address, deadline)?))
                .build()
                .call()
                .map_err(|error| self.transfer(address, error))?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok((at, response));
            }
            let location = response
                .headers()
                .get(header::LOCATION)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default();
            at = at.redirect(location)?;
        }
        Err(Error::TooManyRedirects {
            url: address.shown(),
            limit: self.limits.max_redirects,
        })
    }

    /// Streams the body to the file.
    fn take(
        &self,
        response: Response<Body>,
        address: &Address,
        path: &Path,
        cache: Option<&Cache<'_>>,
        deadline: Instant,
    ) -> Result<PathBuf> {
        let etag = response
            .headers()
            .get(header::ETAG)
            .and_then(|value| value.to_str().ok())
            .map(String::from);
        let total = response.body().content_length();
        let too_large = || Error::TooLarge {
            url: address.shown(),
            limit: self.limits.max_bytes,
        };
        if total.is_some_and(|total| total > self.limits.max_bytes) {
            return Err(too_large());
        }
        let write = |source| Error::Write {
            path: path.display().to_string(),
            source,
        };
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(write)?;
        let mut hash = Sha256::new();
        let mut body = response
            .into_body()
            .into_with_config()
            .limit(u64::MAX)
            .reader();
        let mut buffer = vec![0; 1 << 16];
        let mut received = 0_u64;
        loop {
            self.left(address, deadline)?;
            let n = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.transfer(address, error.into())),
            };
            received += n as u64;
            if received > self.limits.max_bytes {
                return Err(too_large());
            }
            hash.update(&buffer[..n]);
            file.write_all(&buffer[..n]).map_err(write)?;
            if let Some(progress) = &self.progress {
                progress(received, total);
            }
        }
        if total.is_some_and(|total| total != received) {
            return Err(Error::Transfer {
                url: address.shown(),
                why: format!("it ended after {received} bytes"),
            });
        }
        let found = hex(&hash.finalize());
        if let Some(wanted) = address.sha256()
            && wanted != found
        {
            return Err(Error::WrongHash {
                url: address.shown(),
                found,
                wanted: wanted.to_string(),
            });
        }
        file.persist(path).map_err(|error| write(error.error))?;
        if let (Some(cache), Some(etag)) = (cache, etag) {
            // A cache that cannot be written is no reason to fail.
            let _ = cache.keep(
                address,
                path,
                &Entry {
                    etag,
                    sha256: found,
                },
            );
        }
        Ok(path.to_path_buf())
    }

    /// Time until the deadline.
    fn left(&self, address: &Address, deadline: Instant) -> Result<Duration> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(self.timed_out(address));
        }
        Ok(left)
    }

    fn timed_out(&self, address: &Address) -> Error {
        Error::TimedOut {
            url: address.shown(),
            limit: self.limits.timeout,
        }
    }

    fn transfer(&self, address: &Address, error: ureq::Error) -> Error {
        match error {
            ureq::Error::Timeout(ureq::Timeout::Global | ureq::Timeout::PerCall) => {
                self.timed_out(address)
            }
            other => Error::Transfer {
                url: address.shown(),
                why: other.to_string(),
            },
        }
    }
}

/// The certificates of a PEM file.
fn certificates(file: &Path) -> Result<Vec<Certificate<'static>>> {
    let wrong = |why: String| Error::Certificates {
        path: file.display().to_string(),
        why,
    };
    let text = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let mut found = Vec::new();
    for item in parse_pem(&text) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| wrong(error.to_string()))? {
            found.push(certificate);
        }
    }
    if found.is_empty() {
        return Err(wrong("it holds no certificate".into()));
    }
    Ok(found)
}
