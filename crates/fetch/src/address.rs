//! The URL of a remote resource.

use crate::error::{Error, Result};
use url::Url;

/// A URL that can be downloaded, and the hash its content must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    url: Url,
    sha256: Option<String>,
}

impl Address {
    /// Understands a URL.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`] and [`Error::UnsupportedScheme`].
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = |why: &str| Error::InvalidUrl {
            url: text.to_string(),
            why: why.to_string(),
        };
        let mut url = Url::parse(text).map_err(|error| invalid(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Error::UnsupportedScheme(text.to_string()));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(invalid("it has no host"));
        }
        let sha256 = match url.fragment().and_then(|f| f.strip_prefix("sha256=")) {
            Some(hash) if hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
                Some(hash.to_ascii_lowercase())
            }
            Some(_) => return Err(invalid("sha256 is not 64 hexadecimal digits")),
            None => None,
        };
        url.set_fragment(None);
        Ok(Self { url, sha256 })
    }

    /// Where a redirection from here leads.
    ///
    /// # Errors
    /// [`Error::BadRedirect`] when it gives up encryption or is no such URL.
    pub(crate) fn redirect(&self, location: &str) -> Result<Self> {
        let bad = |why| Error::BadRedirect {
            url: self.shown(),
            to: location.to_string(),
            why,
        };
        let url = self
            .url
            .join(location)
            .map_err(|_| bad("it is not a URL"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad("it is neither http nor https"));
        }
        if self.url.scheme() == "https" && url.scheme() == "http" {
            return Err(bad("it gives up encryption"));
        }
        Ok(Self {
            url,
            sha256: self.sha256.clone(),
        })
    }

    /// The URL as a server is asked for it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// Hash the content must have, 64 hexadecimal digits in lower case.
    #[must_use]
    pub fn sha256(&self) -> Option<&str> {
        self.sha256.as_deref()
    }

    /// The URL without user name and password, for messages.
    #[must_use]
    pub fn shown(&self) -> String {
        let mut url = self.url.clone();
        // Both only fail for URLs without a host, which are refused above.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.into()
    }

    /// A name for the file: the last part of the path, made harmless.
    #[must_use]
    pub fn file_name(&self) -> String {
        const LONGEST: usize = 200;
        let last = self
            .url
            .path_segments()
            .and_then(|mut parts| parts.next_back())
            .unwrap_or_default();
        let name: String = last
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                    c
                } else {
                    '_'
                }
            })
            .take(LONGEST)
            .collect();
        if name.trim_matches('.').is_empty() {
            "download".into()
        } else {
            name
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_http_and_https_are_taken() {
        assert!(Address::parse("http://host/file").is_ok());
        assert!(Address::parse("HTTPS://host:8443/file?x=1").is_ok());
        for wrong in ["ftp://host/file", "file:///etc/passwd", "data:text/plain,x"] {
            assert!(
                matches!(Address::parse(wrong), Err(Error::UnsupportedScheme(_))),
                "{wrong}"
            );
        }
        for wrong in [
            "",
            "host/file",
            "http://",
            "http://host:99999/",
            "http://host/#sha256=12",
        ] {
            assert!(
                matches!(Address::parse(wrong), Err(Error::InvalidUrl { .. })),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_file_name_never_leaves_its_folder() {
        let name = |url: &str| Address::parse(url).unwrap().file_name();
        assert_eq!(name("http://h/a/model.onnx?x=/../y"), "model.onnx");
        assert_eq!(name("http://h/"), "download");
        assert_eq!(name("http://h"), "download");
        assert_eq!(name("http://h/a%2f..%2fb"), "a_2f.._2fb");
        assert_eq!(name("http://h/a/../.."), "download");
    }

    #[test]
    fn encryption_is_not_given_up_by_a_redirection() {
        let from = Address::parse("https://h/a").unwrap();
        assert_eq!(from.redirect("/b").unwrap().as_str(), "https://h/b");
        assert!(from.redirect("http://h/b").is_err());
        assert!(from.redirect("file:///etc/passwd").is_err());
    }

    #[test]
    fn messages_show_no_password() {
        assert_eq!(
            Address::parse("http://me:secret@h/a").unwrap().shown(),
            "http://h/a"
        );
    }
}
