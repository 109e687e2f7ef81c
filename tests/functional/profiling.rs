//! What programs learn of their calls: histograms in the log, and a trace file.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use vaccel_tests::{Program, Run, reference_plugin};

fn driver(groups: &[&str], settings: &[(&str, &Path)]) -> Run {
    Program::driver(env!("CARGO_BIN_EXE_conformance-driver"), groups)
        .unwrap()
        .env("VACCEL_PLUGINS", reference_plugin().unwrap())
        .env("VACCEL_LOG_LEVEL", "3")
        .envs(settings)
        .run()
        .unwrap()
}

#[test]
fn histograms_are_kept_by_session_and_operation_and_printed() {
    let run = driver(
        &["profile"],
        &[("VACCEL_PROFILING_ENABLED", Path::new("1"))],
    );
    let text = run.success().unwrap();
    assert!(!text.contains("WRONG"), "{text}");
    let line = |what: &str| {
        let found = text.lines().find(|line| line.contains(what));
        found
            .unwrap_or_else(|| panic!("no `{what}` in {text}"))
            .to_string()
    };
    assert!(
        line("fpga_vadd: count: 100 errors: 0 p50: ")
            .contains("bytes_in: 800000 bytes_out: 400000")
    );
    // A line for the session when it ended, and one for all.
    assert_eq!(text.matches("fpga_vadd: count: 100 ").count(), 2, "{text}");
    assert!(text.contains("[prof] vaccel_fpga_vadd: total_time: "));
}

#[test]
fn nothing_is_kept_while_profiling_is_off() {
    let text = driver(&["profile"], &[]).success().unwrap();
    assert!(text.contains("wanted (100, 0)"), "{text}");
    assert!(!text.contains("[prof]"));
}

#[test]
fn a_trace_holds_every_call_of_every_thread() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trace-%p.json");
    driver(&["compute", "sessions"], &[("VACCEL_TRACE", &file)])
        .success()
        .unwrap();
    let written: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(written.len(), 1, "{written:?}");
    let file = written.into_iter().next().unwrap().unwrap();
    assert!(!file.file_name().to_string_lossy().contains('%'));
    let trace: Value = serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let mut counts = BTreeMap::new();
    let mut threads = BTreeSet::new();
    for event in events.iter().filter(|event| event["ph"] == "X") {
        *counts.entry(event["name"].as_str().unwrap()).or_insert(0) += 1;
        threads.insert(event["tid"].as_u64().unwrap());
        assert!(event["ts"].as_f64().unwrap() > 0.0 && event["dur"].as_f64().unwrap() >= 0.0);
        assert!(event["args"]["session"].as_i64().unwrap() > 0);
    }
    // Two cases of 8 threads with 100 calls each, and one that looks at resources.
    assert_eq!(counts["exec"], 1601);
    assert_eq!(counts["noop"], 302);
    assert_eq!(threads.len(), 17);
    let failed = events
        .iter()
        .filter(|event| event["args"]["failed"] == true);
    assert_eq!(failed.count(), 2);
}

#[test]
fn a_trace_that_cannot_be_written_is_one_line_in_the_log() {
    let file = Path::new("/proc/no/such/folder/trace.json");
    let text = driver(&["sessions"], &[("VACCEL_TRACE", file)])
        .success()
        .unwrap();
    assert_eq!(
        text.matches("VACCEL_TRACE: cannot write /proc/no/such/folder/trace.json")
            .count(),
        1
    );
}
