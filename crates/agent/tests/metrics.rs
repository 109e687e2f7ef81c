//! What the metrics page, the status and the health checks say of real agents.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/figures.rs"]
mod figures;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use common::{Agent, EXEC, Hold, PATIENCE, kill, wait_until};
use figures::{answer, get, page, parse, socket, sum};
use prometheus_parse::Value;
use vaccel_wire::control;

/// How long an operation of a test runs at the least.
const LONG: Duration = Duration::from_millis(20);

/// What `promtool check metrics` would say, and what the format demands.
fn lint(page: &str) {
    assert!(page.ends_with('\n'));
    let mut types = std::collections::HashMap::new();
    let mut helped = std::collections::HashSet::new();
    let mut seen = std::collections::HashSet::new();
    let mut last = String::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(helped.insert(name.to_owned()), "{name} has two helps");
            assert!(help.ends_with('.') && help.len() > 8, "{line}");
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(helped.contains(name), "{name} has a type and no help");
            assert!(
                types.insert(name.to_owned(), kind.to_owned()).is_none(),
                "{name}"
            );
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(name.starts_with("vaccel_"), "{line}");
            last = name.to_owned();
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(seen.insert(series.to_owned()), "{series} is told twice");
        let value: f64 = value.parse().unwrap();
        assert!(value.is_finite() && value >= 0.0, "{line}");
        let name = series.split('{').next().unwrap();
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|suffix| name.strip_suffix(suffix))
            .find(|name| types.get(*name).is_some_and(|kind| kind == "histogram"));
        // Samples of a family stand together, below its type.
        assert_eq!(family.unwrap_or(name), last, "{line}");
    }
    // The buckets of each histogram only grow, and the last is their number.
    for sample in parse(page).samples {
        let Value::Histogram(places) = &sample.value else {
            continue;
        };
        assert!(
            places
                .windows(2)
                .all(|w| w[0].count <= w[1].count && w[0].less_than < w[1].less_than)
        );
        assert!(places.last().unwrap().less_than.is_infinite());
    }
}

#[test]
fn requests_are_counted_by_plugin_and_operation_with_their_times_and_errors() {
    let agent = Agent::start(&[]);
    let client = agent.connect();
    let session = client.open_session(0);
    for _ in 0..10 {
        client.call(0, session, |_| {}).unwrap();
    }
    // sgemm without arguments.
    let (code, _) = client.fails(17, session, |_| {});
    // The error last of the last, when all else of it has been; that the connection is served, the
    // agent is told.
    wait_until("all are counted", || {
        let page = page(&agent);
        sum(&page, "vaccel_requests_total", &[]) >= 12.0
            && sum(&page, "vaccel_errors_total", &[]) >= 1.0
            && sum(&page, "vaccel_connections", &[]) >= 1.0
    });
    let page = page(&agent);
    lint(&page);
    let noop = [("plugin", "noop"), ("op", "noop")];
    assert_eq!(sum(&page, "vaccel_requests_total", &noop), 10.0);
    assert_eq!(sum(&page, "vaccel_requests_failed_total", &noop), 0.0);
    let sgemm = [("op", "sgemm")];
    assert_eq!(sum(&page, "vaccel_requests_failed_total", &sgemm), 1.0);
    let code = code.to_string();
    assert_eq!(sum(&page, "vaccel_errors_total", &[("code", &code)]), 1.0);
    assert_eq!(
        sum(&page, "vaccel_requests_total", &[("op", "session_open")]),
        1.0
    );
    for part in ["queue", "transfer_in", "compute", "transfer_out"] {
        let name = format!("vaccel_request_{part}_seconds");
        assert_eq!(sum(&page, &name, &noop), 10.0, "{part}");
    }
    // Ten headers at the least, each way.
    assert!(sum(&page, "vaccel_received_bytes_total", &noop) >= 400.0);
    assert!(sum(&page, "vaccel_sent_bytes_total", &noop) >= 400.0);
    assert_eq!(sum(&page, "vaccel_connections", &[]), 1.0);
    assert_eq!(sum(&page, "vaccel_sessions", &[]), 1.0);
    assert_eq!(sum(&page, "vaccel_workers", &[("state", "serving")]), 1.0);
    client
        .call(control::SESSION_CLOSE, session, |_| {})
        .unwrap();
    assert_eq!(sum(&self::page(&agent), "vaccel_sessions", &[]), 0.0);
    drop(client);
    agent.stop();
}

#[test]
fn the_time_of_an_operation_is_in_its_histogram() {
    let agent = Agent::start(&[]);
    let client = agent.connect();
    let session = client.open_session(EXEC);
    let hold = Hold::new();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let held = scope.spawn(|| hold.run(&client, session, None));
        hold.wait_until_begun();
        let running = Instant::now();
        wait_until("some time has passed", || running.elapsed() > LONG);
        hold.release();
        held.join().unwrap().unwrap();
    });
    let took = begun.elapsed().as_secs_f64();
    let exec = [("op", "exec")];
    // The last of its histograms.
    wait_until("it is counted", || {
        sum(&page(&agent), "vaccel_request_transfer_out_seconds", &exec) == 1.0
    });
    let page = page(&agent);
    let line = page
        .lines()
        .find(|line| {
            line.starts_with("vaccel_request_compute_seconds_sum") && line.contains("\"exec\"")
        })
        .unwrap();
    let sum: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(
        sum >= LONG.as_secs_f64() && sum <= took,
        "{sum} of {took} s"
    );
    drop(client);
    agent.stop();
}

#[test]
fn what_a_killed_worker_counted_survives_it_and_its_successor_is_a_restart() {
    let agent = Agent::start(&[]);
    let client = agent.connect();
    let session = client.open_session(0);
    let worker = agent.worker_of(&client);
    for _ in 0..5 {
        client.call(0, session, |_| {}).unwrap();
    }
    let noop = [("plugin", "noop"), ("op", "noop")];
    wait_until("all are counted", || {
        sum(&page(&agent), "vaccel_requests_total", &noop) == 5.0
    });
    kill(worker, libc::SIGKILL);
    wait_until("the agent has seen it", || {
        sum(
            &page(&agent),
            "vaccel_workers_ended_total",
            &[("how", "killed")],
        ) == 1.0
    });
    let page = page(&agent);
    lint(&page);
    assert_eq!(sum(&page, "vaccel_requests_total", &noop), 5.0);
    assert_eq!(sum(&page, "vaccel_connections", &[]), 0.0);
    assert_eq!(sum(&page, "vaccel_sessions", &[]), 0.0);
    drop(client);
    agent.connect();
    wait_until("another one starts", || {
        sum(&self::page(&agent), "vaccel_worker_restarts_total", &[]) == 1.0
    });
    agent.stop();
}

#[test]
fn refused_connections_are_counted() {
    let agent = Agent::start(&["--max-connections", "1"]);
    let _first = agent.connect();
    assert!(agent.try_connect().is_err());
    let refused = [("limit", "connections")];
    assert_eq!(sum(&page(&agent), "vaccel_refusals_total", &refused), 1.0);
}

#[test]
fn the_status_tells_who_is_served_by_which_worker() {
    let agent = Agent::start(&[]);
    let client = agent.connect();
    let session = client.open_session(0);
    client.call(0, session, |_| {}).unwrap();
    let worker = agent.worker_of(&client);
    let status = || -> serde_json::Value {
        let (code, text) = get(&socket(&agent), "/status");
        assert_eq!(code, 200);
        serde_json::from_str(&text).unwrap()
    };
    wait_until("the operation is there", || {
        status()["operations"]
            .as_array()
            .unwrap()
            .iter()
            .any(|op| op["op"] == "noop")
    });
    let status = status();
    assert_eq!(status["process"], agent.id());
    assert_eq!(status["phase"], "serving");
    assert_eq!(status["not_ready"], serde_json::Value::Null);
    let workers = status["workers"].as_array().unwrap();
    let serving = workers.iter().find(|w| w["process"] == worker).unwrap();
    assert_eq!(serving["state"], "serving");
    assert_eq!(serving["sessions"], 1);
    let origin = serving["connections"][0]["origin"].as_str().unwrap();
    assert!(origin.contains(&std::process::id().to_string()), "{origin}");
    assert_eq!(status["tenants"][0]["connections"], 1);
    drop(client);
    agent.stop();
}

#[test]
fn ready_is_said_while_clients_may_come_and_no_longer() {
    let mut agent = Agent::start(&["--drain-timeout", "20s"]);
    let path = socket(&agent);
    assert_eq!(get(&path, "/readyz"), (200, "ok\n".to_owned()));
    assert_eq!(get(&path, "/healthz"), (200, "ok\n".to_owned()));
    let client = agent.connect();
    let session = client.open_session(EXEC);
    let hold = Hold::new();
    std::thread::scope(|scope| {
        let held = scope.spawn(|| hold.run(&client, session, None));
        hold.wait_until_begun();
        agent.signal(libc::SIGTERM);
        // While a call runs, the agent lives and says that it ends.
        wait_until("it is not ready", || get(&path, "/readyz").0 == 503);
        assert_eq!(get(&path, "/healthz").0, 200);
        hold.release();
        held.join().unwrap().unwrap();
    });
    assert!(agent.wait().success());
    assert!(!path.exists());
}

#[test]
fn an_agent_that_stands_still_is_not_healthy() {
    let agent = Agent::start(&[]);
    let path = socket(&agent);
    kill(agent.id(), libc::SIGSTOP);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(PATIENCE / 60)).unwrap();
    write!(stream, "GET /healthz HTTP/1.1\r\n\r\n").unwrap();
    assert!(
        stream.read(&mut [0; 1]).is_err(),
        "a stopped process answers nothing"
    );
    kill(agent.id(), libc::SIGCONT);
    assert_eq!(get(&path, "/healthz").0, 200);
    agent.stop();
}

#[test]
fn figures_are_served_by_tcp_to_this_machine_only_unless_asked_for() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let address = format!("tcp://127.0.0.1:{port}");
    let agent = Agent::start(&["--metrics", &address]);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (status, page) = answer(&mut stream, "/metrics");
    assert_eq!(status, 200);
    lint(&page);
    agent.stop();
    let dir = tempfile::tempdir().unwrap();
    let refused = Agent::command(&dir, "noop", &["--metrics", "tcp://0.0.0.0:0"])
        .output()
        .unwrap();
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{log}");
    assert!(log.contains("tcp+insecure://0.0.0.0:0"), "{log}");
}
