//! What an agent did between two looks at it.

use super::status::{Histogram, Status};
use std::collections::HashMap;

/// What is shown.
#[derive(Debug)]
pub(super) struct View {
    /// Lines on the agent as a whole.
    pub(super) head: Vec<String>,
    pub(super) sections: Vec<Section>,
}

/// A table: its columns, its rows.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) columns: &'static [&'static str],
    pub(super) rows: Vec<Vec<String>>,
}

impl View {
    /// What happened between two answers of the same agent; counts of another one
    /// that took its place begin anew.
    pub(super) fn between(before: &Status, after: &Status) -> Self {
        let same = before.process == after.process;
        let seconds = (after.uptime_s - before.uptime_s).max(0.001);
        let seconds = if same {
            seconds
        } else {
            after.uptime_s.max(0.001)
        };
        let rate = Rate { seconds };
        let mut sections = vec![
            tenants(before, after, same, rate),
            operations(before, after, same, rate),
            workers(before, after, same, rate),
        ];
        sections.retain(|section| !section.rows.is_empty());
        Self {
            head: head(before, after, same, rate),
            sections,
        }
    }
}

#[derive(Clone, Copy)]
struct Rate {
    seconds: f64,
}

impl Rate {
    fn count(self, before: u64, after: u64) -> String {
        count(after.saturating_sub(before) as f64 / self.seconds)
    }

    fn bytes(self, before: u64, after: u64) -> String {
        bytes(after.saturating_sub(before) as f64 / self.seconds)
    }
}

fn head(before: &Status, after: &Status, same: bool, rate: Rate) -> Vec<String> {
    let sum = |status: &Status, of: fn(&super::status::Operation) -> u64| -> u64 {
        status.operations.iter().map(of).fold(0, u64::wrapping_add)
    };
    let total = |of| {
        let old = if same { sum(before, of) } else { 0 };
        (old, sum(after, of))
    };
    let (requests, failed) = (total(|op| op.requests), total(|op| op.failed));
    let (input, output) = (total(|op| op.bytes_in), total(|op| op.bytes_out));
    let c = &after.connections;
    let resident: u64 = after.workers.iter().map(|w| w.resident_bytes).sum();
    let mut lines = vec![
        format!(
            "vaccel-agent {}  process {}  {}  up {}  {}",
            after.version,
            after.process,
            after.phase,
            time(after.uptime_s),
            after.listeners.join(" ")
        ),
        format!(
            "connections {} ({} parked, {} waiting, {} so far)  workers {} ({} restarted)  memory {}",
            c.served,
            c.parked,
            c.waiting,
            c.accepted,
            after.workers.len(),
            after.workers_restarted,
            bytes(resident as f64)
        ),
        format!(
            "requests {}/s  failed {}/s  in {}/s  out {}/s",
            rate.count(requests.0, requests.1),
            rate.count(failed.0, failed.1),
            rate.bytes(input.0, input.1),
            rate.bytes(output.0, output.1)
        ),
    ];
    if let Some(reason) = &after.not_ready {
        lines.push(format!("not ready: {reason}"));
    }
    if !after.refusals.is_empty() {
        let list: Vec<String> = after
            .refusals
            .iter()
            .map(|(limit, count)| format!("{limit} {count}"))
            .collect();
        lines.push(format!("refused so far: {}", list.join(", ")));
    }
    lines
}

fn tenants(before: &Status, after: &Status, same: bool, rate: Rate) -> Section {
    let old: HashMap<&str, _> = before
        .tenants
        .iter()
        .filter(|_| same)
        .map(|t| (&t.name[..], t))
        .collect();
    let mut rows: Vec<_> = after.tenants.iter().collect();
    rows.sort_by_key(|t| std::cmp::Reverse(t.requests));
    let rows = rows.into_iter().map(|t| {
        let b = old.get(&t.name[..]);
        let was = |of: fn(&super::status::Tenant) -> u64| b.map_or(0, |b| of(b));
        let below = |now: &Histogram, before: Option<&Histogram>, share| {
            duration(quantile(&after.bounds_ns, now, before, share))
        };
        let (compute, queue) = (b.map(|b| &b.compute), b.map(|b| &b.queue));
        vec![
            t.name.clone(),
            t.connections.to_string(),
            t.workers.to_string(),
            t.sessions.to_string(),
            bytes(t.resource_bytes as f64),
            rate.count(was(|b| b.requests), t.requests),
            rate.count(was(|b| b.failed), t.failed),
            below(&t.compute, compute, 0.5),
            below(&t.compute, compute, 0.99),
            below(&t.queue, queue, 0.99),
            rate.bytes(was(|b| b.bytes_in), t.bytes_in),
            rate.bytes(was(|b| b.bytes_out), t.bytes_out),
            refusals(t),
            t.worker_crashes.to_string(),
            t.worker_restarts.to_string(),
        ]
    });
    Section {
        columns: &[
            "TENANT",
            "CONN",
            "WORKERS",
            "SESSIONS",
            "RESOURCES",
            "REQ/S",
            "FAIL/S",
            "P50",
            "P99",
            "QUEUE P99",
            "IN/S",
            "OUT/S",
            "REFUSED",
            "CRASHES",
            "RESTARTS",
        ],
        rows: rows.collect(),
    }
}

/// All that was refused so far, and what refused most of it.
fn refusals(tenant: &super::status::Tenant) -> String {
    let total = tenant
        .refusals
        .values()
        .fold(0, |all: u64, n| all.wrapping_add(*n));
    let most = tenant.refusals.iter().max_by_key(|(_, count)| **count);
    match most {
        Some((quota, _)) => format!("{total} ({quota})"),
        None => "0".to_owned(),
    }
}

fn operations(before: &Status, after: &Status, same: bool, rate: Rate) -> Section {
    let old: HashMap<_, _> = before
        .operations
        .iter()
        .filter(|_| same)
        .map(|op| ((&op.plugin[..], &op.op[..]), op))
        .collect();
    let mut rows: Vec<(u64, Vec<String>)> = after
        .operations
        .iter()
        .map(|op| {
            let b = old.get(&(&op.plugin[..], &op.op[..]));
            let was = |of: fn(&super::status::Operation) -> u64| b.map_or(0, |b| of(b));
            let delta = op.requests.saturating_sub(was(|b| b.requests));
            let quantile = |now: &Histogram, before: Option<&Histogram>, share| {
                duration(quantile(&after.bounds_ns, now, before, share))
            };
            let (compute, queue) = (b.map(|b| &b.compute), b.map(|b| &b.queue));
            let row = vec![
                op.op.clone(),
                op.plugin.clone(),
                rate.count(was(|b| b.requests), op.requests),
                rate.count(was(|b| b.failed), op.failed),
                quantile(&op.compute, compute, 0.5),
                quantile(&op.compute, compute, 0.99),
                quantile(&op.queue, queue, 0.99),
                rate.bytes(was(|b| b.bytes_in), op.bytes_in),
                rate.bytes(was(|b| b.bytes_out), op.bytes_out),
            ];
            (delta, row)
        })
        .collect();
    rows.sort_by_key(|(delta, _)| std::cmp::Reverse(*delta));
    Section {
        columns: &[
            "OPERATION",
            "PLUGIN",
            "REQ/S",
            "FAIL/S",
            "P50",
            "P99",
            "QUEUE P99",
            "IN/S",
            "OUT/S",
        ],
        rows: rows.into_iter().map(|(_, row)| row).collect(),
    }
}

fn workers(before: &Status, after: &Status, same: bool, rate: Rate) -> Section {
    let old: HashMap<u64, _> = before
        .workers
        .iter()
        .filter(|_| same)
        .map(|w| (w.number, w))
        .collect();
    let rows = after.workers.iter().map(|w| {
        let b = old.get(&w.number);
        let (requests, failed, input, output) = b.map_or((0, 0, 0, 0), |b| {
            (b.requests, b.failed, b.bytes_in, b.bytes_out)
        });
        vec![
            w.number.to_string(),
            w.process.to_string(),
            w.state.clone(),
            w.connections.len().to_string(),
            bytes(w.resident_bytes as f64),
            w.sessions.to_string(),
            w.resources.to_string(),
            rate.count(requests, w.requests),
            rate.count(failed, w.failed),
            rate.bytes(input, w.bytes_in),
            rate.bytes(output, w.bytes_out),
        ]
    });
    Section {
        columns: &[
            "WORKER",
            "PROCESS",
            "STATE",
            "CONN",
            "MEMORY",
            "SESSIONS",
            "RESOURCES",
            "REQ/S",
            "FAIL/S",
            "IN/S",
            "OUT/S",
        ],
        rows: rows.collect(),
    }
}

/// The bound that a share of what is new stays below; `None` when nothing is.
fn quantile(
    bounds: &[Option<u64>],
    now: &Histogram,
    before: Option<&Histogram>,
    share: f64,
) -> Option<f64> {
    let old = |place: usize| before.and_then(|b| b.places.get(place)).copied();
    let new: Vec<u64> = now
        .places
        .iter()
        .enumerate()
        .map(|(place, n)| n.saturating_sub(old(place).unwrap_or(0)))
        .collect();
    let all: f64 = new.iter().map(|n| *n as f64).sum();
    let mut seen = 0.0;
    for (place, n) in new.iter().enumerate() {
        seen += *n as f64;
        if *n > 0 && seen >= all * share {
            let last = || bounds.iter().flatten().last().copied();
            let bound = bounds.get(place).copied().flatten().or_else(last);
            return bound.map(|nanos| nanos as f64);
        }
    }
    None
}

/// A time in nanoseconds, where there is one.
fn duration(nanos: Option<f64>) -> String {
    nanos.map_or_else(|| "-".to_owned(), |nanos| time(nanos / 1e9))
}

/// A number of at most five characters.
fn count(n: f64) -> String {
    match n {
        n if n >= 1e6 => format!("{:.1}M", n / 1e6),
        n if n >= 1e4 => format!("{:.1}k", n / 1e3),
        n if n >= 10.0 || n == 0.0 => format!("{n:.0}"),
        n => format!("{n:.1}"),
    }
}

fn bytes(n: f64) -> String {
    let mut n = n;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if n < 1024.0 {
            let digits = usize::from(unit != "B" && n < 100.0);
            return format!("{n:.digits$} {unit}");
        }
        n /= 1024.0;
    }
    format!("{n:.1} TiB")
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s >= 86_400.0 => format!(
            "{:.0} d {:.0} h",
            (s / 86_400.0).floor(),
            s % 86_400.0 / 3600.0
        ),
        s if s >= 3600.0 => format!("{:.0} h {:.0} min", (s / 3600.0).floor(), s % 3600.0 / 60.0),
        s if s >= 120.0 => format!("{:.0} min", s / 60.0),
        s if s >= 1.0 => format!("{s:.1} s"),
        s if s >= 1e-3 => format!("{:.1} ms", s * 1e3),
        s => format!("{:.0} us", s * 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_what_is_new() {
        let bounds = [Some(1000), Some(2000), None];
        let histogram = |places: [u64; 3]| Histogram {
            places: places.to_vec(),
        };
        let before = histogram([100, 0, 0]);
        let now = histogram([100, 3, 1]);
        assert_eq!(quantile(&bounds, &now, Some(&before), 0.5), Some(2000.0));
        assert_eq!(quantile(&bounds, &now, Some(&before), 0.99), Some(2000.0));
        assert_eq!(quantile(&bounds, &now, None, 0.5), Some(1000.0));
        assert_eq!(quantile(&bounds, &now, Some(&now), 0.5), None);
    }

    #[test]
    fn of_a_tenant_is_shown_what_it_was_refused_what_crashed_and_how_long_its_requests_took() {
        let status = |requests: u64, uptime: f64| -> Status {
            let histogram = serde_json::json!({ "places": [requests, 0, 0] });
            let value = serde_json::json!({
                "version": "0", "process": 1, "uptime_s": uptime, "phase": "serving",
                "not_ready": null, "listeners": [], "bounds_ns": [1000, 4000, null],
                "connections": { "accepted": 1, "served": 1, "waiting": 0, "parked": 0 },
                "workers_restarted": 0, "operations": [], "refusals": {}, "workers": [],
                "tenants": [
                    {
                        "name": "a", "connections": 1, "workers": 1, "sessions": 1,
                        "resource_bytes": 0, "requests": requests, "failed": 2,
                        "bytes_in": 0, "bytes_out": 0,
                        "queue": histogram, "compute": histogram,
                        "refusals": { "rate": 7, "sessions": 2 },
                        "worker_crashes": 3, "worker_restarts": 4,
                    },
                    {
                        "name": "b", "connections": 0, "workers": 0, "sessions": 0,
                        "resource_bytes": 0, "requests": 0, "failed": 0,
                        "bytes_in": 0, "bytes_out": 0,
                    },
                ],
            });
            serde_json::from_value(value).unwrap_or_else(|e| panic!("{e}"))
        };
        let view = View::between(&status(10, 1.0), &status(30, 2.0));
        let [tenants] = &view.sections[..] else {
            panic!("{view:?}");
        };
        let shown = |row: &[String], column: &str| {
            let at = tenants.columns.iter().position(|name| *name == column);
            at.map(|at| row[at].clone()).unwrap_or_default()
        };
        for (column, of_a, of_b) in [
            ("TENANT", "a", "b"),
            ("REQ/S", "20", "0"),
            ("FAIL/S", "0", "0"),
            ("P50", "1 us", "-"),
            ("QUEUE P99", "1 us", "-"),
            ("REFUSED", "9 (rate)", "0"),
            ("CRASHES", "3", "0"),
            ("RESTARTS", "4", "0"),
        ] {
            let both = (
                shown(&tenants.rows[0], column),
                shown(&tenants.rows[1], column),
            );
            assert_eq!(both, (of_a.to_owned(), of_b.to_owned()), "{column}");
        }
        assert!(
            tenants
                .rows
                .iter()
                .all(|row| row.len() == tenants.columns.len())
        );
    }

    #[test]
    fn figures_are_short() {
        assert_eq!(count(0.0), "0");
        assert_eq!(count(1.25), "1.2");
        assert_eq!(count(12_345.0), "12.3k");
        assert_eq!(bytes(512.0), "512 B");
        assert_eq!(bytes(1536.0), "1.5 KiB");
        assert_eq!(bytes(3e9), "2.8 GiB");
        assert_eq!(time(4e-6), "4 us");
        assert_eq!(time(90_000.0), "1 d 1 h");
    }
}
