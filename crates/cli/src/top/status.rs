//! What an agent says of itself: its `/status`.

use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Status {
    pub(super) version: String,
    pub(super) process: u32,
    pub(super) uptime_s: f64,
    pub(super) phase: String,
    pub(super) not_ready: Option<String>,
    pub(super) listeners: Vec<String>,
    pub(super) bounds_ns: Vec<Option<u64>>,
    pub(super) connections: Connections,
    pub(super) workers_restarted: u64,
    pub(super) operations: Vec<Operation>,
    pub(super) refusals: BTreeMap<String, u64>,
    pub(super) tenants: Vec<Tenant>,
    pub(super) workers: Vec<Worker>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Connections {
    pub(super) accepted: u64,
    pub(super) served: u64,
    pub(super) waiting: u64,
    pub(super) parked: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Operation {
    pub(super) plugin: String,
    pub(super) op: String,
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) queue: Histogram,
    pub(super) compute: Histogram,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Histogram {
    pub(super) places: Vec<u64>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Tenant {
    pub(super) name: String,
    pub(super) connections: u64,
    pub(super) workers: u64,
    pub(super) sessions: u64,
    pub(super) resource_bytes: u64,
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    // Agents before these were told have none of them.
    #[serde(default)]
    pub(super) queue: Histogram,
    #[serde(default)]
    pub(super) compute: Histogram,
    /// By quota.
    #[serde(default)]
    pub(super) refusals: BTreeMap<String, u64>,
    #[serde(default)]
    pub(super) worker_crashes: u64,
    #[serde(default)]
    pub(super) worker_restarts: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Worker {
    pub(super) number: u64,
    pub(super) process: u32,
    pub(super) state: String,
    pub(super) resident_bytes: u64,
    pub(super) sessions: u64,
    pub(super) resources: u64,
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) connections: Vec<serde::de::IgnoredAny>,
}
