//! TLS: real agents, real clients, and certificates of all kinds.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../../transport/tests/common/certs.rs"]
mod certs;
mod common;

use certs::{Authority, Signed, replace};
use common::{Agent, Client, Hold, build_library, is_alive, kill, wait_until};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use vaccel_abi::blob::BLOB_FILE;
use vaccel_abi::resource::PATH_LOCAL_FILE;
use vaccel_transport::tls::Security;
use vaccel_transport::{Address, Stream};

/// An agent with a Unix socket and a TLS address, and who may come to it.
struct Fixture {
    authority: Authority,
    server: Signed,
    client: Signed,
    agent: Agent,
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

impl Fixture {
    fn new() -> Self {
        Self::with(|a| a.server("server", &["localhost", "127.0.0.1"]))
    }

    fn with(server: impl FnOnce(&Authority) -> Signed) -> Self {
        let authority = Authority::new("test");
        let server = server(&authority);
        let client = authority.client("client");
        let ca = authority.ca();
        let arguments = [
            ["-a", "tls://127.0.0.1:0"],
            ["--tls-cert", text(&server.certificate)],
            ["--tls-key", text(&server.key)],
            ["--tls-client-ca", text(&ca)],
        ];
        let agent = Agent::start(&arguments.concat());
        Self {
            authority,
            server,
            client,
            agent,
        }
    }

    fn address(&self) -> &Address {
        &self.agent.addresses[1]
    }

    fn security(&self) -> Security {
        Security {
            ca: Some(self.authority.ca()),
            certificate: Some(self.client.certificate.clone()),
            key: Some(self.client.key.clone()),
            ..Security::default()
        }
    }

    fn connect(&self) -> Client {
        Client::with(self.address(), self.security())
            .unwrap_or_else(|e| panic!("{e}\n{}", self.agent.log()))
    }

    /// What a client is told that is not let in; nobody reaches a worker.
    fn refused(&self, security: Security) -> String {
        match Client::with(self.address(), security) {
            Ok(_) => panic!("it was let in"),
            Err(e) => e.to_string(),
        }
    }

    fn log_says(&self, part: &str) {
        wait_until(part, || self.agent.log().contains(part));
    }
}

#[test]
fn a_client_with_a_certificate_gets_the_answers_of_a_unix_socket() {
    let fixture = Fixture::new();
    let plain = fixture.agent.connect();
    let encrypted = fixture.connect();
    for client in [&plain, &encrypted] {
        let session = client.open_session(common::EXEC);
        client.noop(session).unwrap();
        let allocated = client
            .exec(session, "allocate", &[], Some(0), None)
            .unwrap();
        assert_eq!(allocated, [b"allocated"]);
        let large: Vec<u8> = (0..900_000_u32).map(|i| (i % 251) as u8).collect();
        let blobs = [(BLOB_FILE, "large", &large[..]), (BLOB_FILE, "x", b"")];
        let resource = client.resource(session, PATH_LOCAL_FILE, &blobs).unwrap();
        client
            .of_resource(vaccel_wire::control::RESOURCE_DETACH, session, resource)
            .unwrap();
        let (status, _) = client.fails(0, 12345, |_| {});
        assert_eq!(status, vaccel_abi::error::ESESS);
    }
    drop((plain, encrypted));
    fixture.agent.stop();
}

#[test]
fn who_is_not_let_in_is_told_why_and_reaches_no_worker() {
    let fixture = Fixture::new();
    let stranger = Authority::new("stranger");
    let other = stranger.client("other");
    let expired = fixture.authority.expired_client("expired");
    // A certificate for an agent is none for a client.
    let misused = fixture.authority.server("misused", &["client"]);
    let with = |signed: Option<&Signed>| Security {
        certificate: signed.map(|s| s.certificate.clone()),
        key: signed.map(|s| s.key.clone()),
        ..fixture.security()
    };
    for (signed, told, logged) in [
        (None, "asks for a certificate", "has shown no certificate"),
        (
            Some(&other),
            "does not know the authority",
            "not from the authority",
        ),
        (Some(&expired), "has expired", "has expired"),
        (Some(&misused), "certificate", "not meant for this side"),
    ] {
        let error = fixture.refused(with(signed));
        assert!(error.contains(told), "{error}");
        fixture.log_says(logged);
    }
    assert!(!fixture.agent.log().contains("served by worker"));
    fixture.connect();
}

#[test]
fn an_agent_that_cannot_show_who_it_is_is_not_trusted() {
    let fixture = Fixture::new();
    let stranger = Authority::new("stranger");
    let error = fixture.refused(Security {
        ca: Some(stranger.ca()),
        ..fixture.security()
    });
    assert!(error.contains("not from the authority"), "{error}");
    let error = fixture.refused(Security {
        name: Some("gpu.example.org".into()),
        ..fixture.security()
    });
    assert!(
        error.contains("another name") && error.contains("localhost"),
        "{error}"
    );
    let named = Fixture::with(|a| a.server("server", &["gpu.example.org"]));
    let error = named.refused(named.security());
    assert!(error.contains("another name"), "{error}");
    let by_name = Security {
        name: Some("gpu.example.org".into()),
        ..named.security()
    };
    Client::with(named.address(), by_name).unwrap();
    let expired = Fixture::with(|a| a.expired_server("server", &["127.0.0.1"]));
    let error = expired.refused(expired.security());
    assert!(error.contains("has expired"), "{error}");
}

#[test]
fn plain_text_and_tls_do_not_mix_and_say_so() {
    let fixture = Fixture::new();
    let (_, port) = fixture.address().host_and_port().unwrap();
    let plain = format!("tcp://127.0.0.1:{port}").parse().unwrap();
    let error = Client::to(&plain).map(drop).unwrap_err().to_string();
    assert!(error.contains("write tls://"), "{error}");
    fixture.log_says("does not speak TLS");

    let agent = Agent::start(&["-a", "tcp://127.0.0.1:0"]);
    let (_, port) = agent.addresses[1].host_and_port().unwrap();
    let address = format!("tls://127.0.0.1:{port}").parse().unwrap();
    let error = Client::with(&address, fixture.security())
        .map(drop)
        .unwrap_err();
    assert!(error.to_string().contains("tcp://"), "{error}");
}

#[test]
fn new_certificates_count_from_the_next_connection_and_old_ones_go_on() {
    let fixture = Fixture::new();
    let first = fixture.connect();
    let session = first.open_session(common::EXEC);
    let replacement = Authority::new("replacement");
    let server = replacement.server("server", &["127.0.0.1"]);
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let new = Security {
        ca: Some(replacement.ca()),
        ..fixture.security()
    };
    // What is no certificate is not taken.
    replace(&fixture.server.certificate, "half a fi");
    fixture.connect();
    fixture.log_says("certificates stay as they were");
    replace(&fixture.server.key, &read(&server.key));
    replace(&fixture.server.certificate, &read(&server.certificate));
    Client::with(fixture.address(), new.clone()).unwrap();
    let error = fixture.refused(fixture.security());
    assert!(error.contains("not from the authority"), "{error}");
    first.noop(session).unwrap();

    // The authority of clients too, here by signal.
    replace(&fixture.authority.ca(), &read(&replacement.ca()));
    fixture.agent.signal(libc::SIGHUP);
    fixture.log_says("certificates read again");
    let error = fixture.refused(new.clone());
    assert!(error.contains("does not know the authority"), "{error}");
    let client = replacement.client("client");
    let again = Security {
        certificate: Some(client.certificate),
        key: Some(client.key),
        ..new
    };
    Client::with(fixture.address(), again).unwrap();
    first.noop(session).unwrap();
}

#[test]
fn clients_that_drip_or_say_nothing_hold_nobody_up() {
    let fixture = Fixture::new();
    let (_, port) = fixture.address().host_and_port().unwrap();
    let silent: Vec<_> = (0..40)
        .map(|i| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.write_all(&[0x16, 3, 1, 2, 0, 1][..i % 7]).unwrap();
            stream
        })
        .collect();
    let client = fixture.connect();
    let session = client.open_session(common::EXEC);
    client.noop(session).unwrap();
    // They end at the deadline of the handshake.
    for mut stream in silent {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
    fixture.log_says("no TLS handshake within 10s");
    client.noop(session).unwrap();
}

#[test]
fn a_worker_that_dies_ends_its_tls_connection_and_no_other() {
    let fixture = Fixture::new();
    let (one, two) = (fixture.connect(), fixture.connect());
    let sessions = [&one, &two].map(|c| c.open_session(common::EXEC));
    let worker = fixture.agent.worker_of(&one);
    kill(worker, libc::SIGKILL);
    let error = one.noop(sessions[0]).unwrap_err();
    assert!(error.is_lost(), "{error}");
    two.noop(sessions[1]).unwrap();
    wait_until("the worker is gone", || !is_alive(worker));
}

#[test]
fn a_client_reads_how_its_worker_ended_through_tls() {
    let fixture = Fixture::new();
    common::reads_how_its_worker_ended(&fixture.agent, &|| fixture.connect());
    fixture.agent.stop();
}

#[test]
fn a_call_in_flight_ends_when_the_connection_is_cut_on_the_way() {
    let fixture = Fixture::new();
    let (_, port) = fixture.address().host_and_port().unwrap();
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let through = format!("tls://{}", proxy.local_addr().unwrap())
        .parse()
        .unwrap();
    let hold = Hold::new();
    std::thread::scope(|scope| {
        let cut = scope.spawn(move || {
            let (client, _) = proxy.accept().unwrap();
            let agent = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let ends = [client.try_clone().unwrap(), agent.try_clone().unwrap()];
            for (mut from, mut to) in [
                (client.try_clone().unwrap(), agent.try_clone().unwrap()),
                (agent, client),
            ] {
                std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            }
            ends
        });
        let client = Client::with(&through, fixture.security()).unwrap();
        let session = client.open_session(common::EXEC);
        let hold = &hold;
        let call = scope.spawn(move || hold.run(&client, session, None));
        hold.wait_until_begun();
        for end in cut.join().unwrap() {
            end.shutdown(Shutdown::Both).unwrap();
        }
        let error = call.join().unwrap().unwrap_err();
        assert!(
            error.is_lost() && error.to_string().contains("goodbye"),
            "{error}"
        );
        fixture.log_says("without TLS's goodbye");
        hold.release();
    });
}

#[test]
fn the_last_reply_arrives_when_the_agent_is_told_to_end() {
    let fixture = Fixture::new();
    let client = fixture.connect();
    let session = client.open_session(common::EXEC);
    let hold = Hold::new();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| hold.run(&client, session, None));
        hold.wait_until_begun();
        fixture.agent.signal(libc::SIGTERM);
        fixture.log_says("ending: 1 connections");
        hold.release();
        call.join().unwrap().unwrap();
    });
}

#[test]
fn an_agent_that_anybody_could_reach_must_be_told_whom_to_let_in() {
    build_library();
    let authority = Authority::new("test");
    let server = authority.server("server", &["127.0.0.1"]);
    let fails = |arguments: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        let output = Agent::command(&dir, "noop", arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        std::fs::read_to_string(dir.path().join("log")).unwrap()
    };
    let files = [
        "--tls-cert",
        text(&server.certificate),
        "--tls-key",
        text(&server.key),
    ];
    let log = fails(&["-a", "tls://127.0.0.1:0"]);
    assert!(
        log.contains("--tls-cert") && log.contains("vaccel certs"),
        "{log}"
    );
    let log = fails(&[&["-a", "tls://0.0.0.0:0"], &files[..]].concat());
    assert!(
        log.contains("--tls-client-ca") && log.contains("--tls-no-client-auth"),
        "{log}"
    );
    let log = fails(&[
        "-a",
        "tls://127.0.0.1:0",
        "--tls-cert",
        "/no.pem",
        "--tls-key",
        "/no.key",
    ]);
    assert!(log.contains("/no.pem"), "{log}");
    let open = [
        &["-a", "tls://0.0.0.0:0", "--tls-no-client-auth"],
        &files[..],
    ]
    .concat();
    let agent = Agent::start(&open);
    let (_, port) = agent.addresses[1].host_and_port().unwrap();
    let address: Address = format!("tls://127.0.0.1:{port}").parse().unwrap();
    let anybody = Security {
        ca: Some(authority.ca()),
        ..Security::default()
    };
    Client::with(&address, anybody).unwrap();
    // And nobody speaks plain text there by mistake.
    assert!(Stream::connect(&address, common::PATIENCE).is_err());
}
