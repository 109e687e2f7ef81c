//! The policy file as it is written: [`docs/policy.md`](../../../../docs/policy.md).

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::options::{bytes, duration};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// Name of the tenant that clients are whom no tenant matches, or `refuse`.
    pub(super) unknown: Option<Spanned<String>>,
    /// What holds where a tenant does not say otherwise.
    #[serde(default)]
    pub(super) defaults: Rules,
    /// The tenants; the first one that matches counts.
    #[serde(default)]
    pub(super) tenant: Vec<Tenant>,
}

/// A tenant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tenant {
    pub(super) name: Spanned<String>,
    #[serde(rename = "match", default)]
    pub(super) matches: Vec<Spanned<Match>>,
    pub(super) worker: Option<Worker>,
    pub(super) weight: Option<Spanned<u32>>,
    #[serde(default)]
    pub(super) allow: Allow,
    #[serde(default)]
    pub(super) quota: Quota,
}

/// What a client is known by. All of it must be so.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Match {
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) listener: Option<String>,
    pub(super) cid: Option<u32>,
    pub(super) address: Option<std::net::IpAddr>,
    pub(super) subject: Option<String>,
    pub(super) common_name: Option<String>,
    pub(super) fingerprint: Option<String>,
    pub(super) token_sha256: Option<String>,
    pub(super) token_file: Option<PathBuf>,
}

/// Defaults.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rules {
    pub(super) worker: Option<Worker>,
    pub(super) weight: Option<Spanned<u32>>,
    #[serde(default)]
    pub(super) allow: Allow,
    #[serde(default)]
    pub(super) quota: Quota,
}

/// Who shares a worker process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Worker {
    /// Nobody: each connection has its own.
    Connection,
    /// All connections of the tenant.
    Tenant,
    /// All tenants that are said to share.
    Shared,
}

/// What a tenant may do.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Allow {
    pub(super) plugins: Option<Vec<Spanned<String>>>,
    pub(super) ops: Option<Vec<Spanned<String>>>,
    pub(super) exec: Option<Vec<Spanned<Library>>>,
    pub(super) client_code: Option<bool>,
    pub(super) uploads: Option<bool>,
}

/// A library of this machine.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Library {
    pub(super) path: String,
    pub(super) blake3: Option<String>,
}

/// How much a tenant may have.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Quota {
    pub(super) connections: Option<u64>,
    pub(super) sessions: Option<u64>,
    pub(super) resources: Option<u64>,
    pub(super) model_bytes: Option<Size>,
    pub(super) memory: Option<Size>,
    pub(super) in_flight: Option<u64>,
    pub(super) rate: Option<Spanned<u64>>,
    pub(super) burst: Option<u64>,
    pub(super) deadline: Option<Time>,
    pub(super) grace: Option<Time>,
    pub(super) crashes: Option<u64>,
    pub(super) nice: Option<Spanned<i32>>,
}

/// Bytes: a number, or a text such as `"8G"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

/// A time: a text such as `"30s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time(pub(super) Duration);

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as 65536 or \"8G\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
        bytes(text).map(Size).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Size, E> {
        self.visit_str(&number.to_string())
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(SizeVisitor)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        duration(&text).map(Self).map_err(D::Error::custom)
    }
}
