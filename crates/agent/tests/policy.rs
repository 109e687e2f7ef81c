//! The policy: who may connect, what may run, how much; with real processes. `policy_file`: how
//! it is written.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../../transport/tests/common/certs.rs"]
mod certs;
mod common;
#[path = "common/governed.rs"]
mod governed;

use certs::Authority;
use common::{Client, EXEC, Hold, PATIENCE, helper, is_alive, kill, wait_until};
use governed::Governed;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::Digest;
use std::time::{Duration, Instant};
use vaccel_abi::blob::{BLOB_BUFFER, BLOB_FILE};
use vaccel_abi::error::{EACCES, EAGAIN, ENOMEM, ENOSPC, ETIMEDOUT, EUSERS};
use vaccel_abi::resource::PATH_LOCAL_FILE;
use vaccel_transport::tls::Security;
use vaccel_transport::{CallError, ConnectError, Connection, Options};
use vaccel_wire::control;

/// What a call was refused with.
fn refusal<T: std::fmt::Debug>(result: Result<T, CallError>) -> (i32, String) {
    match result {
        Err(CallError::Remote { status, message }) => (status, message),
        other => panic!("{other:?}"),
    }
}

fn try_session(client: &Client, flags: u32) -> Result<i64, CallError> {
    let outputs = client.call(control::SESSION_OPEN, 0, |b| {
        b.read_scalar(flags)
            .write_capacity(vaccel_abi::arg::ARG_INT64, 0, 8);
    })?;
    Ok(common::number(&outputs[0]))
}

#[test]
fn quotas_hold_for_all_connections_of_a_tenant_and_for_no_other() {
    let governed = Governed::start(
        r#"
        [defaults]
        allow = { exec = [{ path = "/**" }] }
        [[tenant]]
        name = "a"
        match = [{ listener = "a" }]
        quota = { connections = 3, sessions = 3, resources = 2, model_bytes = "64K" }
        [[tenant]]
        name = "b"
        match = [{ listener = "b" }]
        "#,
    );
    let (one, two, other) = (
        governed.connect("a"),
        governed.connect("a"),
        governed.connect("b"),
    );
    let first = one.open_session(0);
    let (second, _third) = (two.open_session(0), two.open_session(0));
    let (code, text) = refusal(try_session(&one, 0));
    assert_eq!(code, EUSERS);
    assert!(
        text.contains("quota `sessions` of tenant `a`: 3 are in use, 3 is the most"),
        "{text}"
    );
    assert!((0..10).all(|_| other.open_session(0) > 0));
    // Bytes, of files and of memory.
    let blob = |client: &Client, session, kind, size| {
        let bytes = vec![1; size];
        client.resource(session, PATH_LOCAL_FILE, &[(kind, "data", &bytes)])
    };
    blob(&one, first, BLOB_FILE, 40_000).unwrap();
    let (code, text) = refusal(blob(&two, second, BLOB_BUFFER, 30_000));
    assert!(
        code == ENOSPC && text.contains("quota `model_bytes` of tenant `a`"),
        "{code} {text}"
    );
    let resource = blob(&two, second, BLOB_BUFFER, 20_000).unwrap();
    let (code, text) = refusal(blob(&one, first, BLOB_FILE, 1));
    assert!(
        code == EUSERS && text.contains("quota `resources` of tenant `a`"),
        "{code} {text}"
    );
    two.of_resource(control::RESOURCE_DETACH, second, resource)
        .unwrap();
    blob(&one, first, BLOB_FILE, 1).unwrap();
    // Connections, and what a connection had is free when it has gone, however it went.
    let _three = governed.connect("a");
    match governed.try_connect("a") {
        Err(ConnectError::Refused {
            status,
            text: message,
            ..
        }) => {
            assert_eq!(status, EUSERS);
            assert!(
                message.contains("quota `connections` of tenant `a`"),
                "{message}"
            );
        }
        other => panic!("{:?}", other.map(drop)),
    }
    kill(governed.agent.worker_of(&two), libc::SIGKILL);
    wait_until("sessions are free", || try_session(&one, 0).is_ok());
    governed.connect("a");
    governed.agent.stop();
}

#[test]
fn requests_are_held_to_rate_number_and_memory() {
    let governed = Governed::start(
        r#"
        [defaults]
        allow = { exec = [{ path = "/**" }] }
        [[tenant]]
        name = "a"
        match = [{ listener = "a" }]
        quota = { rate = 1, burst = 20 }
        [[tenant]]
        name = "b"
        match = [{ listener = "b" }]
        quota = { in_flight = 2, memory = "1M" }
        "#,
    );
    let client = governed.connect("a");
    let session = client.open_session(0);
    let refused = (0..100).find_map(|_| client.noop(session).err()).unwrap();
    let (code, text) = refusal::<()>(Err(refused));
    assert!(
        code == EAGAIN && text.contains("quota `rate` of tenant `a`: 1 requests a second"),
        "{text}"
    );
    client
        .call(control::SESSION_CLOSE, session, |_| {})
        .unwrap();

    let [one, two, three] = [0; 3].map(|_| governed.connect("b"));
    let [first, second, third] = [&one, &two, &three].map(|client| client.open_session(EXEC));
    let (hold, small) = (Hold::new(), Hold::new());
    std::thread::scope(|scope| {
        let large = scope.spawn(|| hold.run_with(&one, first, &vec![0; 600 << 10]));
        hold.wait_until_begun();
        let (code, text) = refusal(two.exec(second, "allocate", &[], Some(600 << 10), None));
        assert!(
            code == ENOMEM && text.contains("quota `memory` of tenant `b`"),
            "{code} {text}"
        );
        let call = scope.spawn(|| small.run(&two, second, None));
        small.wait_until_begun();
        let (code, text) = refusal(three.noop(third));
        assert!(
            code == EAGAIN && text.contains("quota `in_flight` of tenant `b`: 2 are in use"),
            "{text}"
        );
        small.release();
        call.join().unwrap().unwrap();
        hold.release();
        large.join().unwrap().unwrap();
    });
    let outputs = two
        .exec(second, "allocate", &[], Some(600 << 10), None)
        .unwrap();
    assert_eq!(outputs[0], b"allocated");
    governed.agent.stop();
}

#[test]
fn only_what_is_allowed_runs() {
    let path = helper().to_str().unwrap();
    let hash = blake3::hash(&std::fs::read(path).unwrap()).to_hex();
    let governed = Governed::start(&format!(
        r#"
        [[tenant]]
        name = "hashed"
        match = [{{ listener = "a" }}]
        allow = {{ exec = [{{ path = "{path}", blake3 = "{hash}" }}] }}
        [[tenant]]
        name = "noop"
        match = [{{ listener = "b" }}]
        allow = {{ plugins = ["noop"], ops = ["noop"], uploads = false }}
        "#
    ));
    let client = governed.connect("a");
    let session = client.open_session(EXEC);
    let outputs = client
        .exec(session, "allocate", &[], Some(0), None)
        .unwrap();
    assert_eq!(outputs[0], b"allocated");
    // Another library, and code of the client's own.
    let exec = u16::try_from(vaccel_abi::op::OP_EXEC).unwrap();
    let (code, text) = client.fails(exec, session, |b| {
        b.read_text("libc.so.6").read_text("abort");
    });
    assert!(
        code == EACCES && text.contains("the library `libc.so.6` may not be called"),
        "{text}"
    );
    let bytes = std::fs::read(path).unwrap();
    let library = client.resource(session, PATH_LOCAL_FILE, &[(BLOB_FILE, "x.so", &bytes)]);
    let with = u16::try_from(vaccel_abi::op::OP_EXEC_WITH_RESOURCE).unwrap();
    let library = library.unwrap();
    let (code, text) = client.fails(with, session, |b| {
        b.read_scalar(library).read_text("allocate");
    });
    assert!(code == EACCES && text.contains("`client_code`"), "{text}");

    let client = governed.connect("b");
    let session = client.open_session(0);
    client.noop(session).unwrap();
    let (code, text) = client.fails(exec, session, |b| {
        b.read_text(path).read_text("allocate");
    });
    assert!(
        code == EACCES && text.contains("the operation 1 `exec` is not allowed"),
        "{text}"
    );
    let (code, text) =
        refusal(client.resource(session, PATH_LOCAL_FILE, &[(BLOB_FILE, "x", b"x")]));
    assert!(
        code == EACCES && text.contains("may not send resources"),
        "{text}"
    );
    // The plugin is not even in its process.
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", governed.agent.worker_of(&client)));
    let maps = maps.unwrap();
    assert!(maps.contains("libvaccel_noop.so") && !maps.contains("libvaccel_exec.so"));
    governed.agent.stop();
}

#[test]
fn clients_are_known_by_socket_user_token_and_certificate_and_strangers_are_refused() {
    let authority = Authority::new("test");
    let (server, alice) = (
        authority.server("server", &["127.0.0.1"]),
        authority.client("alice"),
    );
    let bob = authority.client("bob");
    let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let ca = authority.ca();
    let certificates = [
        "-a".to_owned(),
        "tls://127.0.0.1:0".to_owned(),
        "--tls-cert".to_owned(),
        text(&server.certificate),
        "--tls-key".to_owned(),
        text(&server.key),
        "--tls-client-ca".to_owned(),
        text(&ca),
    ];
    let certificates: Vec<&str> = certificates.iter().map(String::as_str).collect();
    let der = CertificateDer::from_pem_file(&alice.certificate).unwrap();
    let digest = sha2::Sha256::digest(&der);
    // As openssl prints it.
    let fingerprint: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    let fingerprint = fingerprint.join(":");
    // SAFETY: asks for a number.
    let uid = unsafe { libc::getuid() };
    let governed = Governed::start_with(
        &format!(
            r#"
            [[tenant]]
            name = "token"
            match = [{{ listener = "a", token_file = "tokens" }}]
            [[tenant]]
            name = "user"
            match = [{{ listener = "b", uid = {uid} }}]
            [[tenant]]
            name = "nobody"
            match = [{{ listener = "a", uid = {} }}]
            [[tenant]]
            name = "alice"
            match = [{{ fingerprint = "{fingerprint}" }}]
            "#,
            uid + 1
        ),
        &certificates,
    );
    let with_token = |token: Option<&[u8]>| {
        let options = Options {
            connect_timeout: PATIENCE,
            token: token.map(<[_]>::to_vec),
            ..Options::default()
        };
        Connection::connect(governed.address("a"), &options)
    };
    let refused = |result: Result<Connection, ConnectError>| match result {
        Err(ConnectError::Refused {
            status,
            text: message,
            ..
        }) => {
            assert_eq!(status, EACCES, "{message}");
            assert!(
                message.contains("names no tenant that you are"),
                "{message}"
            );
        }
        other => panic!("{:?}", other.map(drop)),
    };
    refused(with_token(None));
    refused(with_token(Some(b"wrong")));
    with_token(Some(governed::TOKEN)).unwrap();
    governed.connect("b");
    let security = |signed: &certs::Signed| Security {
        ca: Some(authority.ca()),
        certificate: Some(signed.certificate.clone()),
        key: Some(signed.key.clone()),
        ..Security::default()
    };
    let tls = governed.agent.addresses.last().unwrap();
    Client::with(tls, security(&alice)).unwrap();
    let error = Client::with(tls, security(&bob)).map(drop).unwrap_err();
    assert!(
        error.to_string().contains("names no tenant that you are"),
        "{error}"
    );
    let log = governed.agent.stop();
    for tenant in ["token", "user", "alice"] {
        assert!(
            log.contains(&format!(" as tenant {tenant}, served by")),
            "{tenant}\n{log}"
        );
    }
}

#[test]
fn a_policy_is_read_again_on_sighup_and_a_bad_one_changes_nothing() {
    let text = |sessions: u32, second: &str| {
        format!(
            r#"
            [[tenant]]
            name = "a"
            match = [{{ listener = "a" }}]
            quota = {{ sessions = {sessions} }}
            [[tenant]]
            name = "{second}"
            match = [{{ listener = "b" }}]
            "#
        )
    };
    let governed = Governed::start(&text(1, "b"));
    let (client, other) = (governed.connect("a"), governed.connect("b"));
    client.open_session(0);
    assert_eq!(refusal(try_session(&client, 0)).0, EUSERS);
    governed.write("[[tenant]]\nname = \"a\"\nsesions = 3\n");
    governed.agent.signal(libc::SIGHUP);
    wait_until("the log tells of the mistake", || {
        let log = governed.agent.log();
        log.contains("the policy stays as it was") && log.contains("unknown field `sesions`")
    });
    assert_eq!(refusal(try_session(&client, 0)).0, EUSERS);
    let worker = governed.agent.worker_of(&other);
    governed.write(&text(2, "c"));
    governed.agent.signal(libc::SIGHUP);
    wait_until("the connection has the new quota", || {
        try_session(&client, 0).is_ok()
    });
    assert_eq!(refusal(try_session(&client, 0)).0, EUSERS);
    wait_until("the worker of the tenant that is gone ends", || {
        !is_alive(worker)
    });
    let again = governed.connect("b");
    again.noop(again.open_session(0)).unwrap();
    governed.agent.stop();
}

#[test]
fn a_request_is_answered_by_the_deadline_of_its_tenant_and_a_worker_that_hangs_is_replaced() {
    let governed = Governed::start(
        r#"
        [defaults]
        allow = { exec = [{ path = "/**" }] }
        quota = { deadline = "1s", grace = "4s" }
        [[tenant]]
        name = "a"
        match = [{ listener = "a" }]
        worker = "tenant"
        [[tenant]]
        name = "b"
        match = [{ listener = "b" }]
        worker = "tenant"
        "#,
    );
    // Without shared memory: there, a client that waits longer is hung up on instead.
    let (client, other) = (governed.connect_plain("a"), governed.connect_plain("b"));
    let (session, others) = (client.open_session(EXEC), other.open_session(EXEC));
    let worker = governed.agent.worker_of(&client);
    // It hangs until it is killed, for its file never comes. How promptly the answer comes is a
    // figure of `cargo xtask bench isolation`; here it comes long before the client gives up.
    let hangs = Hold::new();
    let begun = Instant::now();
    let (code, text) = refusal(hangs.run(&client, session, Some(PATIENCE)));
    let took = begun.elapsed();
    assert_eq!(code, ETIMEDOUT, "{text}");
    assert!(
        took >= Duration::from_secs(1) && took < PATIENCE,
        "{took:?}"
    );
    // Others of the tenant are served, until it is clear that it hangs.
    client.noop(session).unwrap();
    wait_until("the worker that hangs ends", || !is_alive(worker));
    other.noop(others).unwrap();
    let again = governed.connect("a");
    again.noop(again.open_session(0)).unwrap();
    wait_until("the log says why", || {
        let log = governed.agent.log();
        log.contains("does not end, long after its deadline")
    });
    governed.agent.stop();
}

#[test]
fn a_worker_that_takes_more_memory_than_its_tenant_may_is_ended_and_no_other() {
    let governed = Governed::start(
        r#"
        [defaults]
        allow = { exec = [{ path = "/**" }] }
        [[tenant]]
        name = "a"
        match = [{ listener = "a" }]
        quota = { memory = "64M" }
        [[tenant]]
        name = "b"
        match = [{ listener = "b" }]
        "#,
    );
    let (client, other) = (governed.connect("a"), governed.connect("b"));
    let (session, others) = (client.open_session(EXEC), other.open_session(EXEC));
    let hold = Hold::new();
    let [_, released] = hold.names();
    let result = client.exec(session, "fill", &["300", &released], None, None);
    assert!(matches!(result, Err(CallError::Lost(..))), "{result:?}");
    let text = result.unwrap_err().to_string();
    assert!(text.contains("quota `memory` of tenant `a`"), "{text}");
    other.noop(others).unwrap();
    let again = governed.connect("a");
    let session = again.open_session(EXEC);
    hold.release();
    again
        .exec(session, "fill", &["30", &released], None, None)
        .unwrap();
    let log = governed.agent.stop();
    assert!(
        log.contains("quota `memory` of tenant `a`: its workers take"),
        "{log}"
    );
}
