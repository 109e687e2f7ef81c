//! `vaccel bench`: latency, throughput and scaling of one way to an accelerator.

mod clients;
mod measure;
mod plot;
mod report;

use crate::connect;
use crate::options::{Bench, BenchClient, Options};
use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use report::Report;
use std::io::IsTerminal;
use std::time::Duration;
use vaccel::Session;

/// Backend of a run without an agent: what is left is the library.
const LOCAL: &str = "noop";

/// Steps of the work with a line that says how far it is, on terminals only.
struct Steps(ProgressBar);

impl Steps {
    fn new(count: u64, quiet: bool) -> Result<Self> {
        let bar = ProgressBar::new(count);
        if quiet || !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        } else {
            let template = "{spinner} {pos}/{len} {wide_bar} {msg}";
            bar.set_style(ProgressStyle::with_template(template)?);
            // A thread of its own would take time from what is measured, were it more often.
            bar.enable_steady_tick(Duration::from_millis(250));
        }
        Ok(Self(bar))
    }

    fn begin(&self, what: String) {
        self.0.set_message(what);
    }

    fn done(&self, result: String) {
        self.0.set_message(result);
        self.0.inc(1);
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Measures, and shows the figures.
pub(crate) fn run(options: &Options, bench: &Bench) -> Result<()> {
    let session = connect::session_with(options, LOCAL)?;
    let count = 1 + bench.sizes.len() + bench.clients.len();
    let steps = Steps::new(count as u64, bench.json)?;

    steps.begin("latency".into());
    let latency = measure::latency(&session, bench.time).context("the empty operation")?;
    steps.done(format!("latency {:.1} us", latency.p50));

    let (operation, throughput) = throughput(&session, bench, &steps)?;
    // The clients are to have the processors for themselves.
    drop(session);
    let scaling = scaling(options, bench, &steps)?;
    drop(steps);

    let report = Report {
        address: options.remote.clone(),
        latency,
        operation: operation.name(),
        throughput,
        scaling,
    };
    if let Some(file) = &bench.plot {
        plot::write(file, &report).with_context(|| format!("cannot draw {}", file.display()))?;
    }
    if bench.json {
        report.json()
    } else {
        report.table()
    }
}

/// One of the clients.
pub(crate) fn client(options: &Options, _: &BenchClient) -> Result<()> {
    clients::serve(&connect::session_with(options, LOCAL)?)
}

fn throughput(
    session: &Session,
    bench: &Bench,
    steps: &Steps,
) -> Result<(measure::Operation, Vec<report::Throughput>)> {
    let operation = measure::Operation::of(session)?;
    let mut rows = Vec::new();
    for &bytes in &bench.sizes {
        let size = report::size(bytes);
        steps.begin(format!("throughput, {size}"));
        let times = measure::throughput(session, &operation, bytes, bench.time)
            .with_context(|| format!("throughput with {size}"))?;
        let row = report::Throughput {
            bytes,
            p50: times.p50,
            p99: times.p99,
            rate: bytes as f64 / times.p50,
        };
        steps.done(format!("{size}: {:.0} MB/s", row.rate));
        rows.push(row);
    }
    Ok((operation, rows))
}

fn scaling(options: &Options, bench: &Bench, steps: &Steps) -> Result<Vec<report::Scaling>> {
    let mut rows = Vec::new();
    for &clients in &bench.clients {
        steps.begin(format!("{clients} clients"));
        let rate = clients::rate(options, clients, bench.time)
            .with_context(|| format!("{clients} clients"))?;
        steps.done(format!("{clients} clients: {rate:.0} calls/s"));
        rows.push(report::Scaling { clients, rate });
    }
    Ok(rows)
}
