//! Spans of requests, as a collector gets them.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use common::{Agent, Client, EXEC, Hold, PATIENCE, wait_until};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use vaccel_transport::{Connection, Options};
use vaccel_wire::Trace;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// How long an operation computes at least, in nanoseconds.
const COMPUTES: u64 = 20_000_000;

/// Takes spans by HTTP, as a collector does.
struct Collector {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let spans = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&spans);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let to = Arc::clone(&to);
                std::thread::spawn(move || serve(stream.unwrap(), &to));
            }
        });
        Self { address, spans }
    }

    fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }
}

/// Requests of one connection, until it ends.
fn serve(stream: TcpStream, to: &Mutex<Vec<Span>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line == "\r\n" {
                break;
            }
            head.push(line.trim_end().to_lowercase());
        }
        assert_eq!(head[0], "post /v1/traces http/1.1");
        assert!(head.contains(&"content-type: application/x-protobuf".to_owned()));
        let length = head.iter().find_map(|l| l.strip_prefix("content-length: "));
        let mut body = vec![0; length.unwrap().parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        let message = ExportTraceServiceRequest::decode(&body[..]).unwrap();
        for resource in message.resource_spans {
            let attributes = resource.resource.unwrap().attributes;
            assert_eq!(texts(&attributes)["service.name"], "vaccel-agent");
            let scopes = resource.scope_spans.into_iter();
            to.lock().unwrap().extend(scopes.flat_map(|s| s.spans));
        }
        writer
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
    }
}

/// Attributes as texts.
fn texts(attributes: &[KeyValue]) -> HashMap<String, String> {
    let text = |a: &KeyValue| match a.value.as_ref().unwrap().value.as_ref().unwrap() {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    };
    attributes
        .iter()
        .map(|a| (a.key.clone(), text(a)))
        .collect()
}

fn connect(agent: &Agent, parent: Option<&str>, share_memory: bool) -> Client {
    let options = Options {
        timeout: PATIENCE,
        share_memory,
        trace: parent.map(|text| Trace::parse(text).unwrap()),
        ..Options::default()
    };
    let connection = Connection::connect(agent.address(), &options).unwrap();
    Client { connection }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_nanos()).unwrap()
}

#[test]
fn a_call_becomes_a_span_below_that_of_the_client_with_one_for_each_part() {
    let collector = Collector::start();
    let endpoint = format!("http://{}", collector.address);
    let agent = Agent::start(&["--otlp-endpoint", &endpoint]);
    for share_memory in [true, false] {
        let client = connect(&agent, Some(PARENT), share_memory);
        let session = client.open_session(EXEC);
        let before = now();
        let hold = Hold::new();
        std::thread::scope(|scope| {
            let call = scope.spawn(|| hold.run(&client, session, None));
            hold.wait_until_begun();
            let begun = now();
            wait_until("it has computed for a while", || now() - begun >= COMPUTES);
            hold.release();
            call.join().unwrap().unwrap();
        });
        client
            .exec(session, "nowhere", &[], None, None)
            .unwrap_err();
        let of_session = |span: &&Span| {
            texts(&span.attributes).get("vaccel.session") == Some(&session.to_string())
        };
        let mut spans = Vec::new();
        wait_until("the spans arrive", || {
            spans = collector.spans();
            spans.iter().filter(of_session).count() >= 2
        });
        // A call ends when its reply is sent, which may be after the client has read it.
        let after = now();
        let parent = Trace::parse(PARENT).unwrap();
        assert!(spans.iter().all(|s| s.trace_id == parent.trace));
        let calls: Vec<&Span> = spans.iter().filter(of_session).collect();
        let [call, failed] = calls[..] else {
            panic!("{calls:?}");
        };
        for call in [call, failed] {
            assert_eq!((&call.name[..], call.kind()), ("exec", SpanKind::Server));
            assert_eq!(call.parent_span_id, parent.span);
            // It ends when the worker has sent the reply, which may be read before that.
            assert!(before <= call.start_time_unix_nano && call.start_time_unix_nano <= after);
        }
        let attributes = texts(&call.attributes);
        assert_eq!(attributes["vaccel.plugin"], "exec");
        let number = client.connection.granted().connection;
        assert_eq!(attributes["vaccel.connection"], number.to_string());
        assert!(attributes["vaccel.received_bytes"].parse::<u64>().unwrap() > 40);
        assert!(call.status.is_none() && failed.status.as_ref().unwrap().code == 2);
        let below = spans.iter().filter(|s| s.parent_span_id == call.span_id);
        let parts: Vec<&Span> = below.collect();
        let names: Vec<&str> = parts.iter().map(|s| &s.name[..]).collect();
        assert_eq!(names, ["transfer-in", "queue", "compute", "transfer-out"]);
        // One after the other, from the beginning of the call to its end.
        let mut at = call.start_time_unix_nano;
        for part in &parts {
            assert_eq!(
                (part.start_time_unix_nano, part.kind()),
                (at, SpanKind::Internal)
            );
            at = part.end_time_unix_nano;
        }
        assert_eq!(at, call.end_time_unix_nano);
        assert!(parts[2].end_time_unix_nano - parts[2].start_time_unix_nano >= COMPUTES);
        let ids: std::collections::HashSet<_> = spans.iter().map(|s| &s.span_id).collect();
        assert_eq!(ids.len(), spans.len());
    }
    agent.stop();
}

#[test]
fn what_is_part_of_no_trace_or_of_one_that_nobody_records_is_not_told() {
    let collector = Collector::start();
    let endpoint = format!("http://{}", collector.address);
    let agent = Agent::start(&["--otlp-endpoint", &endpoint]);
    let unsampled = PARENT.replace("-01", "-00");
    for parent in [None, Some(&unsampled[..])] {
        let client = connect(&agent, parent, true);
        client.noop(client.open_session(0)).unwrap();
    }
    let told = connect(&agent, Some(PARENT), true);
    let session = told.open_session(0);
    told.noop(session).unwrap();
    // What waits is sent when the agent ends.
    drop(told);
    agent.stop();
    let spans = collector.spans();
    let calls = spans.iter().filter(|s| s.kind() == SpanKind::Server);
    let names: Vec<&str> = calls.map(|s| &s.name[..]).collect();
    assert_eq!(names, ["session_open", "noop"]);
}

#[test]
fn an_agent_whose_collector_is_not_there_serves_and_one_without_takes_no_context() {
    let unused = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr();
    let endpoint = format!("http://{}", unused.unwrap());
    let agent = Agent::start(&["--otlp-endpoint", &endpoint]);
    let client = connect(&agent, Some(PARENT), true);
    client.noop(client.open_session(0)).unwrap();
    wait_until("the log says so", || {
        // Of one or of both, as they came.
        agent.log().contains("requests are lost")
    });
    client.noop(client.open_session(0)).unwrap();
    agent.stop();
    let agent = Agent::start(&[]);
    let client = connect(&agent, Some(PARENT), true);
    let granted = client.connection.granted().features;
    assert_eq!(granted & vaccel_wire::FEATURE_TRACES, 0);
    client.noop(client.open_session(0)).unwrap();
    agent.stop();
}
