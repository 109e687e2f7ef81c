//! What an agent tells a worker about a tenant: numbers and lists, and no reasons.
//!
//! The worker holds its clients to them and knows nothing of the policy that they come from.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The longest text of terms.
pub const MAX: usize = 60 << 10;

/// What a tenant may, as its worker needs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// Name of the tenant, for messages.
    pub tenant: String,
    /// The worker serves other tenants too.
    pub shared: bool,
    /// Its part of what a shared worker does, beside those of the others.
    pub weight: u32,
    /// Requests of a connection in flight; each has a thread.
    pub threads: u16,
    /// Time of a request that names none, in milliseconds.
    pub deadline_ms: u64,
    /// The most time that a request may have, in milliseconds.
    pub deadline_most_ms: u64,
    /// How long an operation may go on after its time, in milliseconds, before the worker
    /// gives up on it.
    pub grace_ms: u64,
    /// Largest frame, and room for the outputs of one request.
    pub max_frame: u64,
    /// What resources of one connection may take.
    pub max_resources: u64,
    /// What memory a connection may share; 0 for none.
    pub max_shared: u64,
    /// What all connections of the tenant may have together.
    pub limits: Limits,
    /// Codes of operations that are allowed; `None` for all.
    pub ops: Option<Vec<u16>>,
    /// Libraries of this machine that may be called; `None` for all.
    pub exec: Option<Vec<Library>>,
    /// The client may send code: libraries, sources of kernels.
    pub client_code: bool,
    /// The client may send resources.
    pub uploads: bool,
}

/// Quotas of a tenant; `None` where there is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Sessions that are open.
    pub sessions: Option<u64>,
    /// Resources.
    pub resources: Option<u64>,
    /// Bytes of resources and kept tensors.
    pub model_bytes: Option<u64>,
    /// Operations in flight.
    pub in_flight: Option<u64>,
    /// Bytes of what is in flight, outputs included.
    pub memory: Option<u64>,
    /// Requests a second.
    pub rate: Option<u64>,
    /// Requests at once, where there is a rate.
    pub burst: u64,
}

/// A library of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Library {
    /// Its absolute path; with `/*` at its end, any file of that folder, with `/**` any below it.
    pub path: String,
    /// BLAKE3 hash of its content, in hexadecimal, where it must have one.
    pub blake3: Option<String>,
}

impl Library {
    /// True when a path, as the client gives it, is this library.
    #[must_use]
    pub fn is(&self, path: &str) -> bool {
        let below = |folder: &str| path.strip_prefix(folder)?.strip_prefix('/');
        let (rest, deep) = match (self.path.strip_suffix("/*"), self.path.strip_suffix("/**")) {
            (_, Some(folder)) => (below(folder), true),
            (Some(folder), None) => (below(folder), false),
            (None, None) => return self.path == path,
        };
        rest.is_some_and(|rest| {
            let mut parts = rest.split('/');
            (deep || !rest.contains('/')) && parts.all(|part| !["", ".", ".."].contains(&part))
        })
    }
}

impl Terms {
    /// As text, for the worker.
    ///
    /// # Errors
    /// Says that there is too much of it.
    pub fn to_text(&self) -> Result<String, String> {
        let text = serde_json::to_string(self).map_err(|e| e.to_string())?;
        if text.len() > MAX {
            return Err(format!(
                "what tenant `{}` is allowed takes {} bytes as text, and {MAX} is the most; \
                 list folders (`/path/*`) instead of single libraries",
                self.tenant,
                text.len()
            ));
        }
        Ok(text)
    }

    /// From text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_text(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|e| e.to_string())
    }

    /// Time of a request: what it asks for, `None` when it does not say.
    #[must_use]
    pub fn time(&self, wanted: Option<Duration>) -> Duration {
        let most = Duration::from_millis(self.deadline_most_ms);
        wanted.unwrap_or(self.deadline()).min(most)
    }

    /// Time of a request that names none.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms.min(self.deadline_most_ms))
    }

    /// True when an operation of the library is allowed.
    #[must_use]
    pub fn allows(&self, operation: u16) -> bool {
        self.ops
            .as_ref()
            .is_none_or(|allowed| allowed.contains(&operation))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::*;

    /// Terms that allow everything.
    pub(crate) fn open() -> Terms {
        Terms {
            tenant: "test".into(),
            shared: false,
            weight: 100,
            threads: 64,
            deadline_ms: 300_000,
            deadline_most_ms: u64::from(u32::MAX),
            grace_ms: 2000,
            max_frame: 1 << 20,
            max_resources: 1 << 30,
            max_shared: 0,
            limits: Limits::default(),
            ops: None,
            exec: None,
            client_code: true,
            uploads: true,
        }
    }

    #[test]
    fn terms_come_back_as_they_were_and_too_many_are_refused() {
        let mut terms = open();
        terms.limits.sessions = Some(3);
        terms.ops = Some(vec![0, 1]);
        let library = Library {
            path: "/usr/lib/x.so".into(),
            blake3: Some("00".repeat(32)),
        };
        terms.exec = Some(vec![library.clone()]);
        let text = terms.to_text().unwrap();
        assert_eq!(Terms::from_text(&text), Ok(terms.clone()));
        assert!(Terms::from_text("{}").is_err());
        terms.exec = Some(vec![library; 2000]);
        let error = terms.to_text().unwrap_err();
        assert!(
            error.contains("`test`") && error.contains("/path/*"),
            "{error}"
        );
    }

    #[test]
    fn a_library_is_its_path_or_a_file_of_its_folder_and_never_one_elsewhere() {
        let of = |path: &str| Library {
            path: path.into(),
            blake3: None,
        };
        assert!(of("/lib/a.so").is("/lib/a.so"));
        assert!(!of("/lib/a.so").is("/lib/../lib/a.so") && !of("/lib/a.so").is("a.so"));
        assert!(of("/lib/*").is("/lib/a.so"));
        for path in [
            "/lib/",
            "/lib",
            "/lib/..",
            "/lib/x/a.so",
            "/lib2/a.so",
            "/lib/../a.so",
            "",
        ] {
            assert!(!of("/lib/*").is(path), "{path}");
        }
        assert!(of("/lib/**").is("/lib/x/a.so") && of("/**").is("/lib/a.so"));
        assert!(!of("/lib/**").is("/lib/x/../../a.so") && !of("/lib/**").is("/lib//a.so"));
    }

    #[test]
    fn the_ceiling_bounds_what_is_asked_for_and_what_is_not() {
        let mut terms = open();
        terms.deadline_most_ms = 1000;
        let time = |wanted| terms.time(wanted).as_millis();
        assert_eq!(time(None), 1000);
        assert_eq!(time(Some(Duration::from_secs(9))), 1000);
        assert_eq!(time(Some(Duration::from_millis(9))), 9);
    }
}
