//! The `rpc` plugin with an agent on the ttrpc crate.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};
use vaccel_reference::digest;
use vaccel_tests::{Agent, Program, reference_plugin, stage};
use vaccel_ttrpc_tests::Server;

/// What the cases print, by case.
fn drive(address: &str, settings: &[(&str, &str)], cases: &[&str]) -> HashMap<String, String> {
    let text = Program::driver(env!("CARGO_BIN_EXE_plugin-driver"), cases)
        .unwrap()
        .envs(&[("VACCEL_PLUGINS", "rpc"), ("VACCEL_RPC_ADDRESS", address)])
        .envs(settings)
        .output()
        .unwrap();
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    lines
        .map(|(case, answer)| (case.to_owned(), answer.to_owned()))
        .collect()
}

const TTRPC: (&str, &str) = ("VACCEL_RPC_PROTOCOL", "ttrpc");

fn expected() -> Vec<(&'static str, String)> {
    vec![
        ("noop", "done".to_owned()),
        ("update", "done".to_owned()),
        ("echo", "true".to_owned()),
        ("sgemm", "[20.0, 23.0, 45.0, 52.0]".to_owned()),
        ("library", format!("{:016x}", digest(b"code"))),
        ("sync", "3210".to_owned()),
        ("threads", "true".to_owned()),
    ]
}

fn check(address: &str, settings: &[(&str, &str)]) {
    let expected = expected();
    let cases: Vec<&str> = expected.iter().map(|(case, _)| *case).collect();
    let answers = drive(address, settings, &cases);
    for (case, answer) in expected {
        assert_eq!(
            answers.get(case),
            Some(&answer),
            "{address}: {case}: {answers:?}"
        );
    }
}

#[test]
fn an_old_agent_does_what_it_is_asked_for() {
    let server = Server::start().unwrap();
    for address in server.addresses() {
        check(address, &[TTRPC]);
    }
}

#[test]
fn an_old_agent_is_found_out_where_hello_is_not_understood() {
    let server = Server::start().unwrap();
    // It waits for the rest of what it takes for a long message.
    for address in server.addresses() {
        check(address, &[("VACCEL_RPC_CONNECT_TIMEOUT", "0.5")]);
    }
}

#[test]
fn the_native_protocol_is_not_left_where_it_is_asked_for() {
    let server = Server::start().unwrap();
    let settings = [
        ("VACCEL_RPC_PROTOCOL", "native"),
        ("VACCEL_RPC_CONNECT_TIMEOUT", "0.5"),
    ];
    let answers = drive(&server.addresses()[0], &settings, &["noop"]);
    assert!(answers["session"].contains("did not answer"), "{answers:?}");
}

#[test]
fn errors_of_an_old_agent_keep_number_and_text() {
    let server = Server::start().unwrap();
    let cases = ["unknown", "no-details", "model", "folder"];
    let answers = drive(&server.addresses()[0], &[TTRPC], &cases);
    assert!(
        answers["unknown"].starts_with("VACCEL_ENOENT"),
        "{answers:?}"
    );
    assert!(
        answers["unknown"].contains("there is no such function"),
        "{answers:?}"
    );
    assert!(
        answers["no-details"].starts_with("VACCEL_EREMOTEIO"),
        "{answers:?}"
    );
    assert!(
        answers["no-details"].contains("it does not say why"),
        "{answers:?}"
    );
    // What the old protocol has no way to say.
    for (case, what) in [
        ("model", "model_load"),
        ("folder", "a folder as a resource"),
    ] {
        assert!(answers[case].starts_with("VACCEL_ENOTSUP"), "{answers:?}");
        assert!(answers[case].contains(what), "{answers:?}");
    }
}

#[test]
fn a_slow_operation_ends_at_its_deadline_and_the_session_goes_on() {
    let server = Server::start().unwrap();
    for address in server.addresses() {
        let settings = [TTRPC, ("VACCEL_RPC_TIMEOUT", "0.3")];
        let answers = drive(address, &settings, &["wait", "noop"]);
        assert!(
            answers["wait"].starts_with("VACCEL_ETIMEDOUT"),
            "{answers:?}"
        );
        assert_eq!(answers["noop"], "done");
    }
}

/// A server that answers the first question and does what the test wants after the second.
fn listen(then: impl FnOnce(UnixStream) + Send + 'static) -> (tempfile::TempDir, String) {
    let folder = tempfile::Builder::new()
        .prefix("vaccel-")
        .tempdir()
        .unwrap();
    let path = folder.path().join("agent.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let read = |stream: &mut UnixStream| {
            let mut head = [0; 10];
            stream.read_exact(&mut head).unwrap();
            let len = u32::from_be_bytes(head[..4].try_into().unwrap());
            stream.read_exact(&mut vec![0; len as usize]).unwrap();
            head
        };
        let head = read(&mut stream);
        // Status: code 12 and no text.
        let body = [0x0a, 2, 0x08, 12];
        stream.write_all(&[0, 0, 0, 4]).unwrap();
        stream.write_all(&head[4..8]).unwrap();
        stream.write_all(&[2, 0]).unwrap();
        stream.write_all(&body).unwrap();
        read(&mut stream);
        then(stream);
    });
    let address = format!("unix://{}", path.display());
    (folder, address)
}

#[test]
fn an_agent_that_dies_under_a_call_is_told_at_once() {
    let (_folder, address) = listen(drop);
    let begun = Instant::now();
    let settings = [TTRPC, ("VACCEL_RPC_CONNECT_TIMEOUT", "1")];
    let answers = drive(&address, &settings, &["noop"]);
    assert!(answers["session"].starts_with("VACCEL_E"), "{answers:?}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{answers:?}");
}

#[test]
fn an_agent_that_stops_answering_holds_up_nobody() {
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let (_folder, address) = listen(move |stream| {
        // Until the test is over.
        let _ = wait.recv();
        drop(stream);
    });
    let settings = [TTRPC, ("VACCEL_RPC_TIMEOUT", "0.3")];
    let answers = drive(&address, &settings, &["noop"]);
    assert!(
        answers["session"].starts_with("VACCEL_ETIMEDOUT"),
        "{answers:?}"
    );
    drop(done);
}

#[test]
fn what_answers_odd_things_is_no_agent() {
    let (_folder, address) = listen(|mut stream| {
        // A length beyond all limits.
        let _ = stream.write_all(&[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 3, 2, 0]);
        let _ = stream.read(&mut [0; 1]);
    });
    let answers = drive(&address, &[TTRPC], &["noop"]);
    assert!(
        answers["session"].starts_with("VACCEL_EREMOTEIO"),
        "{answers:?}"
    );
}

#[test]
fn an_agent_of_ours_is_spoken_to_in_ttrpc_where_asked() {
    let plugin = reference_plugin().unwrap();
    let addresses = ["tcp://127.0.0.1:0"];
    let agent = Agent::start(&stage().unwrap(), plugin.to_str().unwrap(), &addresses, &[]).unwrap();
    for address in agent.addresses() {
        let cases = [
            "noop", "echo", "sgemm", "library", "classify", "threads", "model",
        ];
        let answers = drive(address, &[TTRPC], &cases);
        assert_eq!(answers["noop"], "done");
        assert_eq!(answers["echo"], "true");
        assert_eq!(answers["sgemm"], "[20.0, 23.0, 45.0, 52.0]");
        assert_eq!(answers["library"], format!("{:016x}", digest(b"code")));
        assert!(answers["classify"].starts_with("classification of 9 bytes"));
        assert_eq!(answers["threads"], "true");
        // So that it is that protocol.
        assert!(
            answers["model"].starts_with("VACCEL_ENOTSUP"),
            "{answers:?}"
        );
    }
}
