//! The figures, as a table for people and as JSON.

use super::measure::Times;
use anyhow::Result;
use serde::Serialize;
use std::io::Write;

/// All figures of a run.
#[derive(Serialize)]
pub(super) struct Report {
    /// The agent; nothing for a run in this process.
    pub(super) address: Option<String>,
    /// The empty operation, microseconds.
    pub(super) latency: Times,
    /// How bytes were moved: `tensor` or `resource`.
    pub(super) operation: &'static str,
    pub(super) throughput: Vec<Throughput>,
    pub(super) scaling: Vec<Scaling>,
}

/// Calls with so many bytes.
#[derive(Serialize)]
pub(super) struct Throughput {
    pub(super) bytes: usize,
    /// Microseconds of a call.
    pub(super) p50: f64,
    pub(super) p99: f64,
    /// Megabytes (10^6 bytes) a second, by the median.
    #[serde(rename = "mb_per_s")]
    pub(super) rate: f64,
}

/// So many processes at once.
#[derive(Serialize)]
pub(super) struct Scaling {
    pub(super) clients: u32,
    /// Calls a second of all together.
    #[serde(rename = "calls_per_s")]
    pub(super) rate: f64,
}

impl Report {
    pub(super) fn json(&self) -> Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", serde_json::to_string_pretty(self)?)?;
        Ok(())
    }

    pub(super) fn table(&self) -> Result<()> {
        let mut out = std::io::stdout().lock();
        let latency = &self.latency;
        writeln!(out, "{}", self.title())?;
        writeln!(out)?;
        writeln!(out, "{:<12} {:>12} {:>12}", "latency", "p50", "p99")?;
        writeln!(
            out,
            "{:<12} {:>9.2} us {:>9.2} us",
            "empty", latency.p50, latency.p99
        )?;
        writeln!(out)?;
        let heading = format!("{} in", self.operation);
        writeln!(
            out,
            "{heading:<12} {:>12} {:>12} {:>14}",
            "p50", "p99", "throughput"
        )?;
        for row in &self.throughput {
            writeln!(
                out,
                "{:<12} {:>9.2} us {:>9.2} us {:>9.1} MB/s",
                size(row.bytes),
                row.p50,
                row.p99,
                row.rate
            )?;
        }
        writeln!(out)?;
        writeln!(out, "{:<12} {:>12}", "clients", "calls/s")?;
        for row in &self.scaling {
            writeln!(out, "{:<12} {:>12.0}", row.clients, row.rate)?;
        }
        Ok(())
    }

    /// What was measured.
    pub(super) fn title(&self) -> String {
        match &self.address {
            Some(address) => format!("vaccel, agent at {address}"),
            None => "vaccel, in process".into(),
        }
    }
}

/// A size as one writes it on the command line.
pub(super) fn size(bytes: usize) -> String {
    for (shift, unit) in [(30, "G"), (20, "M"), (10, "K")] {
        if bytes >= 1 << shift && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}
