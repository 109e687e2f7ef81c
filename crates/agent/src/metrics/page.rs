//! The metrics page, in the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::time::UNIX_EPOCH;

use super::{NOBODY, resident};
use crate::board::{End, Facts};
use crate::counts::totals::{Histogram, Level, OpTotals, Totals};
use crate::counts::{BUCKETS, Refusal, bound};
use crate::ledger::Quota;

/// What the page is, for the client.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Tenants that are told apart on the page; connections of all others are counted as one.
const MAX_TENANTS: usize = 200;

/// The page.
#[must_use]
pub fn render(facts: &Facts) -> String {
    let totals = facts.totals();
    let mut page = Page::default();
    agent(&mut page, facts);
    connections(&mut page, facts);
    tenants(&mut page, facts);
    workers(&mut page, facts);
    requests(&mut page, &totals);
    times(&mut page, &totals);
    page.text
}

fn agent(page: &mut Page, facts: &Facts) {
    page.gauge("vaccel_build_info", "Version of the agent; always 1.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    let since = facts.started.1.duration_since(UNIX_EPOCH);
    page.gauge(
        "vaccel_start_time_seconds",
        "When the agent started, in seconds since 1970.",
    )
    .sample(&[], since.unwrap_or_default().as_secs_f64());
    page.gauge("vaccel_ready", "1 while clients may come, as /readyz says.")
        .sample(&[], u8::from(facts.not_ready().is_none()));
}

fn connections(page: &mut Page, facts: &Facts) {
    page.counter(
        "vaccel_connections_total",
        "Connections that were accepted.",
    )
    .sample(&[], facts.accepted);
    page.gauge("vaccel_connections", "Connections that workers serve.")
        .sample(&[], facts.served());
    page.gauge(
        "vaccel_connections_waiting",
        "Connections that no worker has taken yet.",
    )
    .sample(&[], facts.waiting);
    let mut tenants: BTreeMap<&str, u64> = BTreeMap::new();
    for worker in facts.workers.values() {
        for connection in worker.connections.values() {
            let name = connection.tenant.as_deref().unwrap_or(NOBODY);
            let full = tenants.len() >= MAX_TENANTS && !tenants.contains_key(name);
            *tenants
                .entry(if full { "others" } else { name })
                .or_default() += 1;
        }
    }
    let mut family = page.gauge("vaccel_tenant_connections", "Connections of each tenant.");
    for (tenant, count) in tenants {
        family.sample(&[("tenant", tenant)], count);
    }
    let counts = facts.workers.values().filter_map(|w| w.counts.as_ref());
    let level = counts.fold(Level::default(), |all, counts| {
        all.and(Level::of(counts.counts()))
    });
    for (name, help, value) in [
        (
            "vaccel_connections_parked",
            "Connections that are quiet and have no thread.",
            level.parked,
        ),
        ("vaccel_sessions", "Sessions that are open.", level.sessions),
        ("vaccel_resources", "Resources of clients.", level.resources),
        (
            "vaccel_resource_bytes",
            "Bytes that resources and kept tensors take.",
            level.resource_bytes,
        ),
    ] {
        page.gauge(name, help).sample(&[], value);
    }
}

fn tenants(page: &mut Page, facts: &Facts) {
    let known = || facts.tenants.iter().take(MAX_TENANTS);
    let mut family = page.counter(
        "vaccel_tenant_refusals_total",
        "What was refused because of a quota of the tenant, or what its policy does not allow.",
    );
    for (name, tenant) in known() {
        for quota in Quota::ALL {
            let labels = [("tenant", &name[..]), ("quota", quota.name())];
            family.sample(&labels, tenant.ledger.refused(quota));
        }
    }
    let mut family = page.counter(
        "vaccel_tenant_worker_crashes_total",
        "Workers of the tenant's own that crashed or were killed.",
    );
    for (name, tenant) in known() {
        family.sample(&[("tenant", name)], tenant.crashes);
    }
    let mut family = page.counter(
        "vaccel_tenant_worker_restarts_total",
        "Workers that the tenant was given in place of those.",
    );
    for (name, tenant) in known() {
        family.sample(&[("tenant", name)], tenant.restarts);
    }
}

fn workers(page: &mut Page, facts: &Facts) {
    let mut family = page.gauge("vaccel_workers", "Worker processes, by what they do.");
    for state in ["starting", "ready", "serving", "ending"] {
        let count = facts.workers.values().filter(|w| w.state == state).count();
        family.sample(&[("state", state)], count);
    }
    page.counter("vaccel_workers_started_total", "Workers that were started.")
        .sample(&[], facts.workers_started);
    page.counter(
        "vaccel_worker_restarts_total",
        "Workers that were started in place of one that failed or was killed.",
    )
    .sample(&[], facts.workers_restarted);
    let mut family = page.counter(
        "vaccel_workers_ended_total",
        "Workers that have ended: finished, failed with an error code, killed by a signal.",
    );
    for end in End::ALL {
        let count = facts.workers_ended.get(&end).copied().unwrap_or(0);
        family.sample(&[("how", end.name())], count);
    }
    let memory: u64 = facts.workers.values().map(|w| resident(w.process)).sum();
    page.gauge(
        "vaccel_workers_resident_bytes",
        "Memory that workers have resident, what they share counted for each.",
    )
    .sample(&[], memory);
}

fn requests(page: &mut Page, totals: &Totals) {
    type Value = fn(&OpTotals) -> u64;
    let families: [(&str, &str, Value); 4] = [
        (
            "vaccel_requests_total",
            "Requests that were answered.",
            |op| op.requests,
        ),
        (
            "vaccel_requests_failed_total",
            "Requests that were answered with an error.",
            |op| op.failed,
        ),
        (
            "vaccel_received_bytes_total",
            "Bytes of requests, in frames and in shared memory.",
            |op| op.bytes_in,
        ),
        (
            "vaccel_sent_bytes_total",
            "Bytes of replies, in frames and in shared memory.",
            |op| op.bytes_out,
        ),
    ];
    for (name, help, value) in families {
        let mut family = page.counter(name, help);
        for ((plugin, op), counts) in &totals.ops {
            family.sample(&[("plugin", plugin), ("op", op)], value(counts));
        }
    }
    let mut family = page.counter(
        "vaccel_errors_total",
        "Requests that were answered with an error, by its code; 0 for codes beyond 255.",
    );
    for (code, count) in &totals.errors {
        family.sample(&[("code", &code.to_string())], count);
    }
    let mut family = page.counter(
        "vaccel_refusals_total",
        "What was refused because of a limit or a policy, by which.",
    );
    for refusal in Refusal::ALL {
        family.sample(&[("limit", refusal.name())], totals.refused(refusal));
    }
    let mut family = page.counter(
        "vaccel_cache_lookups_total",
        "Content that clients announced, by whether the cache had it.",
    );
    family.sample(&[("result", "hit")], totals.cache.0);
    family.sample(&[("result", "miss")], totals.cache.1);
    page.counter(
        "vaccel_requests_cancelled_total",
        "Requests that their clients took back.",
    )
    .sample(&[], totals.cancelled);
}

fn times(page: &mut Page, totals: &Totals) {
    let families = [
        (
            "vaccel_request_transfer_in_seconds",
            "From the header of a request to its last byte; 0 for one that came as a whole.",
        ),
        (
            "vaccel_request_queue_seconds",
            "From the arrival of a request to its beginning.",
        ),
        (
            "vaccel_request_compute_seconds",
            "In the library and the plugin.",
        ),
        (
            "vaccel_request_transfer_out_seconds",
            "From the end of the operation until its reply was sent.",
        ),
    ];
    for (part, (name, help)) in families.into_iter().enumerate() {
        let mut family = page.histogram(name, help);
        for ((plugin, op), counts) in &totals.ops {
            let (_, histogram) = counts.parts()[part];
            family.distribution(&[("plugin", plugin), ("op", op)], histogram);
        }
    }
}

/// A page that grows.
#[derive(Default)]
struct Page {
    text: String,
}

/// The samples of one name.
struct Family<'p> {
    text: &'p mut String,
    name: &'static str,
}

impl Page {
    fn family(&mut self, name: &'static str, help: &str, kind: &str) -> Family<'_> {
        // Writing to a string cannot fail, here and below.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        Family {
            text: &mut self.text,
            name,
        }
    }

    fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, help, "counter")
    }

    fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, help, "gauge")
    }

    fn histogram(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, help, "histogram")
    }
}

impl Family<'_> {
    fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) -> &mut Self {
        self.line("", labels, None, value);
        self
    }

    /// Every other bound is told: from one to the next is four times the time.
    fn distribution(&mut self, labels: &[(&str, &str)], histogram: &Histogram) {
        let mut count = 0_u64;
        for place in 0..BUCKETS {
            count = count.wrapping_add(histogram.places[place]);
            if place % 2 == 0
                && let Some(nanos) = bound(place)
            {
                let bound = (nanos as f64 / 1e9).to_string();
                self.line("_bucket", labels, Some(&bound), count);
            }
        }
        self.line("_bucket", labels, Some("+Inf"), count);
        self.line("_sum", labels, None, histogram.sum as f64 / 1e9);
        self.line("_count", labels, None, count);
    }

    fn line(
        &mut self,
        suffix: &str,
        labels: &[(&str, &str)],
        bound: Option<&str>,
        value: impl Display,
    ) {
        let _ = write!(self.text, "{}{suffix}", self.name);
        let labels = labels.iter().copied().chain(bound.map(|b| ("le", b)));
        let mut open = false;
        for (name, value) in labels {
            self.text.push(if open { ',' } else { '{' });
            open = true;
            let _ = write!(self.text, "{name}=\"");
            for c in value.chars() {
                match c {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    c if c.is_control() => self.text.push('\u{fffd}'),
                    c => self.text.push(c),
                }
            }
            self.text.push('"');
        }
        if open {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}
