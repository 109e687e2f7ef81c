//! `vaccel bench`: the figures of one way to an accelerator.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use vaccel_tests::{Agent, Program, Run, stage};

fn vaccel(args: &[&str]) -> Run {
    Program::new(&stage().unwrap(), "vaccel")
        .args(args)
        .run()
        .unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

/// Figures of a short run.
fn figures(address: &str) -> Value {
    let run = vaccel(&[
        "--remote",
        address,
        "bench",
        "--json",
        "--time",
        "0.05",
        "--sizes",
        "4K,1M",
        "--clients",
        "1,3",
    ]);
    let figures: Value = serde_json::from_str(&run.success().unwrap()).unwrap();
    assert_eq!(figures["address"], address);
    assert!(number(&figures["latency"]["p50"]) > 0.0, "{figures}");
    assert!(number(&figures["latency"]["p99"]) >= number(&figures["latency"]["p50"]));
    let throughput = figures["throughput"].as_array().unwrap();
    let sizes: Vec<_> = throughput.iter().map(|row| &row["bytes"]).collect();
    assert_eq!(sizes, [4096, 1 << 20]);
    for row in throughput {
        // Bytes a microsecond are megabytes a second.
        let rate = number(&row["bytes"]) / number(&row["p50"]);
        assert!(
            (number(&row["mb_per_s"]) / rate - 1.0).abs() < 1e-6,
            "{row}"
        );
    }
    let scaling = figures["scaling"].as_array().unwrap();
    let clients: Vec<_> = scaling.iter().map(|row| &row["clients"]).collect();
    assert_eq!(clients, [1, 3]);
    assert!(scaling.iter().all(|row| number(&row["calls_per_s"]) > 0.0));
    figures
}

#[test]
fn a_bench_through_an_agent_tells_latency_throughput_and_scaling() {
    let prefix = stage().unwrap();
    let agent = Agent::start(&prefix, "noop", &["tcp://127.0.0.1:0"], &[]).unwrap();
    for address in agent.addresses() {
        assert_eq!(figures(address)["operation"], "tensor", "{address}");
    }
}

#[test]
fn an_agent_that_runs_real_models_only_is_sent_resources() {
    let prefix = stage().unwrap();
    let agent = Agent::start(&prefix, "onnx", &[], &[]).unwrap();
    assert_eq!(figures(&agent.address())["operation"], "resource");
}

#[test]
fn a_bench_draws_its_figures_and_prints_a_table_without_an_agent() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bench.png");
    let table = vaccel(&[
        "bench",
        "--time",
        "0.02",
        "--sizes",
        "1K,64K",
        "--clients",
        "1",
        "--plot",
        file.to_str().unwrap(),
    ])
    .success()
    .unwrap();
    for part in ["vaccel, in process", "p99", "64K", "MB/s", "calls/s"] {
        assert!(table.contains(part), "`{part}` is not in\n{table}");
    }
    let (width, height) = image::image_dimensions(&file).unwrap();
    assert!(width >= 800 && height >= 400, "{width} x {height}");
}

#[test]
fn a_bench_that_cannot_be_made_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("unix://{}", folder.path().join("none").display());
    let run = vaccel(&["--remote", &address, "bench"]);
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    assert!(run.stderr.contains("start vaccel-agent"), "{}", run.stderr);
    for wrong in [["--sizes", "3"], ["--clients", "0"], ["--time", "0"]] {
        let run = vaccel(&["bench", wrong[0], wrong[1]]);
        assert_eq!(run.code, Some(2), "{wrong:?}");
        assert!(run.stderr.contains(wrong[0]), "{}", run.stderr);
    }
}
