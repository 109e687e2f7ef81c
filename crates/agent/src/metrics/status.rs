//! What the agent does at this moment, as JSON: `/status`, for `vaccel top`.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use super::{NOBODY, resident};
use crate::board::{Facts, LiveTenant, LiveWorker};
use crate::counts::totals::{Histogram, Level, OpTotals, Totals};
use crate::counts::{BUCKETS, Refusal, bound};
use crate::ledger::Quota;

/// All of it. Times are in nanoseconds where the name does not say otherwise; what is
/// counted only grows, so that rates are differences of two answers.
#[must_use]
pub fn render(facts: &Facts) -> Value {
    let totals = facts.totals();
    let now = Instant::now();
    let workers: Vec<(Value, Level, OpTotals)> = facts
        .workers
        .iter()
        .map(|(number, worker)| of_worker(*number, worker, now))
        .collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "process": std::process::id(),
        "uptime_s": now.duration_since(facts.started.0).as_secs_f64(),
        "phase": facts.phase.name(),
        "not_ready": facts.not_ready(),
        "listeners": facts.listeners,
        "resident_bytes": resident(std::process::id()),
        "bounds_ns": (0..BUCKETS).map(bound).collect::<Vec<_>>(),
        "connections": {
            "accepted": facts.accepted,
            "served": facts.served(),
            "waiting": facts.waiting,
            "parked": workers.iter().map(|(_, level, _)| level.parked).sum::<u64>(),
        },
        "workers_started": facts.workers_started,
        "workers_restarted": facts.workers_restarted,
        "operations": operations(&totals),
        "errors": totals.errors.iter().map(|(code, n)| (code.to_string(), *n)).collect::<BTreeMap<_, _>>(),
        "refusals": Refusal::ALL
            .into_iter()
            .map(|r| (r.name(), totals.refused(r)))
            .filter(|(_, n)| *n > 0)
            .collect::<BTreeMap<_, _>>(),
        "tenants": tenants(facts, &workers),
        "workers": workers.into_iter().map(|(value, ..)| value).collect::<Vec<_>>(),
    })
}

fn operations(totals: &Totals) -> Vec<Value> {
    let one = |((plugin, op), counts): (&(String, &str), &OpTotals)| {
        let mut value = json!({
            "plugin": plugin,
            "op": op,
            "requests": counts.requests,
            "failed": counts.failed,
            "bytes_in": counts.bytes_in,
            "bytes_out": counts.bytes_out,
        });
        for (name, histogram) in counts.parts() {
            value[name] = distribution(histogram);
        }
        value
    };
    totals.ops.iter().map(one).collect()
}

fn distribution(histogram: &Histogram) -> Value {
    json!({
        "places": histogram.places,
        "sum_ns": histogram.sum,
        "p50_ns": histogram.quantile(0.5),
        "p99_ns": histogram.quantile(0.99),
    })
}

fn of_worker(number: u64, worker: &LiveWorker, now: Instant) -> (Value, Level, OpTotals) {
    let mut totals = Totals::default();
    let mut level = Level::default();
    if let Some(counts) = &worker.counts {
        totals.add(counts.counts());
        level = Level::of(counts.counts());
    }
    let all = totals.all();
    let connections: Vec<Value> = worker
        .connections
        .iter()
        .map(|(number, connection)| {
            json!({
                "number": number,
                "origin": connection.origin,
                "tenant": connection.tenant.as_deref().unwrap_or(NOBODY),
                "age_s": now.duration_since(connection.since).as_secs_f64(),
            })
        })
        .collect();
    let value = json!({
        "number": number,
        "process": worker.process,
        "state": worker.state,
        "age_s": now.duration_since(worker.since).as_secs_f64(),
        "resident_bytes": resident(worker.process),
        "sessions": level.sessions,
        "resources": level.resources,
        "resource_bytes": level.resource_bytes,
        "requests": all.requests,
        "failed": all.failed,
        "bytes_in": all.bytes_in,
        "bytes_out": all.bytes_out,
        "compute_p50_ns": all.compute.quantile(0.5),
        "compute_p99_ns": all.compute.quantile(0.99),
        "connections": connections,
    });
    (value, level, all)
}

/// Tenants that have connections, with what the workers count that serve only them, and what was
/// counted of them since the agent started; the others too of whom something was.
fn tenants(facts: &Facts, workers: &[(Value, Level, OpTotals)]) -> Vec<Value> {
    #[derive(Default)]
    struct Tenant {
        connections: usize,
        workers: usize,
        /// Another tenant is served by one of its workers: what that counts is of both.
        shared: bool,
        level: Level,
        all: OpTotals,
    }
    let happened = |known: &LiveTenant| {
        let refused = Quota::ALL
            .iter()
            .any(|quota| known.ledger.refused(*quota) > 0);
        refused || known.crashes > 0 || known.restarts > 0
    };
    let known = facts.tenants.iter().filter(|(_, known)| happened(known));
    let mut tenants: BTreeMap<&str, Tenant> = known
        .map(|(name, _)| (&name[..], Tenant::default()))
        .collect();
    for (worker, (_, level, all)) in facts.workers.values().zip(workers) {
        let mut own: BTreeMap<&str, usize> = BTreeMap::new();
        for connection in worker.connections.values() {
            let who = connection.tenant.as_deref().unwrap_or(NOBODY);
            // Clients of a policy's tenants are known as those.
            let name = who.strip_prefix("tenant ").unwrap_or(who);
            *own.entry(name).or_default() += 1;
        }
        let shared = own.len() > 1;
        for (name, count) in own {
            let tenant = tenants.entry(name).or_default();
            tenant.connections += count;
            tenant.workers += 1;
            tenant.shared |= shared;
            if !shared {
                tenant.level = tenant.level.and(*level);
                tenant.all.merge(all);
            }
        }
    }
    let one = |(name, tenant): (&str, Tenant)| {
        let known = facts.tenants.get(name);
        let refused = |quota: Quota| known.map_or(0, |known| known.ledger.refused(quota));
        let refusals: BTreeMap<&str, u64> = Quota::ALL
            .into_iter()
            .map(|quota| (quota.name(), refused(quota)))
            .filter(|(_, count)| *count > 0)
            .collect();
        json!({
            "name": name,
            "connections": tenant.connections,
            "workers": tenant.workers,
            "shares_a_worker": tenant.shared,
            "sessions": tenant.level.sessions,
            "resource_bytes": tenant.level.resource_bytes,
            "requests": tenant.all.requests,
            "failed": tenant.all.failed,
            "bytes_in": tenant.all.bytes_in,
            "bytes_out": tenant.all.bytes_out,
            "queue": distribution(&tenant.all.queue),
            "compute": distribution(&tenant.all.compute),
            "refusals": refusals,
            "worker_crashes": known.map_or(0, |known| known.crashes),
            "worker_restarts": known.map_or(0, |known| known.restarts),
        })
    };
    tenants.into_iter().map(one).collect()
}
