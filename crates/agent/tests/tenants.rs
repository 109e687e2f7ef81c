//! Tenants beside each other: whose process serves them, what a crash ends, what is left of a
//! connection; with real processes. What it costs in time is measured by `cargo xtask bench isolation`.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/governed.rs"]
mod governed;

use common::{Client, EXEC, Hold, helper, is_alive, kill, wait_until};
use governed::Governed;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use vaccel_abi::blob::BLOB_FILE;
use vaccel_abi::error::{ENOENT, EREMOTEIO, ESESS};
use vaccel_abi::resource::PATH_LOCAL_FILE;
use vaccel_transport::{CallError, ConnectError};
use vaccel_wire::control;

/// Two tenants with one kind of worker.
fn policy(worker: &str, more: &str) -> String {
    format!(
        r#"
        [defaults]
        worker = "{worker}"
        allow = {{ exec = [{{ path = "/**" }}] }}
        [[tenant]]
        name = "a"
        match = [{{ listener = "a" }}]
        {more}
        [[tenant]]
        name = "b"
        match = [{{ listener = "b" }}]
        "#
    )
}

#[test]
fn connections_of_a_tenant_share_a_process_and_tenants_do_not_unless_they_are_said_to() {
    for (worker, together, with_others) in [
        ("connection", false, false),
        ("tenant", true, false),
        ("shared", true, true),
    ] {
        let governed = Governed::start(&policy(worker, ""));
        let (one, two, other) = (
            governed.connect("a"),
            governed.connect("a"),
            governed.connect("b"),
        );
        let [one_, two_, other_] = [&one, &two, &other].map(|c| governed.agent.worker_of(c));
        assert_eq!(one_ == two_, together, "{worker}");
        assert_eq!(one_ == other_, with_others, "{worker}");
        // Whoever shares a process, numbers of one connection mean nothing on another.
        let session = one.open_session(0);
        let resource = one
            .resource(session, PATH_LOCAL_FILE, &[(BLOB_FILE, "x", b"x")])
            .unwrap();
        for client in [&two, &other] {
            assert_eq!(client.fails(0, session, |_| {}).0, ESESS);
            let own = client.open_session(0);
            let (code, _) = client.fails(control::RESOURCE_ATTACH, own, |b| {
                b.read_scalar(resource);
            });
            assert_eq!(code, ENOENT);
        }
        one.noop(session).unwrap();
        governed.agent.stop();
    }
}

#[test]
fn a_crash_ends_the_connections_of_its_tenant_and_no_other() {
    let governed = Governed::start(&policy("tenant", "quota = { crashes = 3 }"));
    let other = governed.connect("b");
    let others = other.open_session(EXEC);
    for _ in 0..4 {
        let client = governed.connect("a");
        let result = client.exec(client.open_session(EXEC), "crash", &[], None, None);
        assert!(matches!(result, Err(CallError::Lost(..))), "{result:?}");
        other.noop(others).unwrap();
    }
    // A crash loop has to wait; others do not.
    wait_until("the tenant is refused", || {
        match governed.try_connect("a") {
            Err(ConnectError::Refused { status, text, .. }) => {
                assert!(
                    status == EREMOTEIO && text.contains("quota `crashes` of tenant `a`"),
                    "{text}"
                );
                true
            }
            _ => false,
        }
    });
    governed.connect("b");
    other.noop(others).unwrap();
    governed.agent.stop();
}

/// Files below a folder.
fn files(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let count = |entry: std::fs::DirEntry| match entry.path().is_dir() {
        true => files(&entry.path()),
        false => 1,
    };
    entries.flatten().map(count).sum()
}

#[test]
fn what_a_connection_had_is_free_after_its_end_in_a_worker_that_lives() {
    let governed = Governed::start(&policy(
        "tenant",
        "quota = { sessions = 40, resources = 40, model_bytes = \"8M\" }",
    ));
    let stays = governed.connect("a");
    let session = stays.open_session(0);
    let worker = governed.agent.worker_of(&stays);
    let run = governed.agent.dir().join("run");
    let before = files(&run);
    for _ in 0..10 {
        let client = governed.connect("a");
        let bytes = vec![7; 100_000];
        for _ in 0..39 {
            let session = client.open_session(0);
            client
                .resource(session, PATH_LOCAL_FILE, &[(BLOB_FILE, "x", &bytes)])
                .unwrap();
        }
        assert!(files(&run) > before);
        drop(client);
        // All of the quota is there again, and no file is.
        wait_until("everything is free", || {
            let outputs = stays.call(control::SESSION_OPEN, 0, |b| {
                b.read_scalar(0u32)
                    .write_capacity(vaccel_abi::arg::ARG_INT64, 0, 8);
            });
            let opened = outputs.map(|outputs| common::number(&outputs[0]));
            let opened = opened.inspect(|&s| {
                stays.call(control::SESSION_CLOSE, s, |_| {}).unwrap();
            });
            opened.is_ok() && files(&run) <= before
        });
    }
    stays.noop(session).unwrap();
    assert!(is_alive(worker));
    governed.agent.stop();
}

#[test]
fn a_worker_that_is_killed_is_replaced_again_and_again() {
    for worker in ["connection", "tenant", "shared"] {
        let governed = Governed::start(&policy(worker, "quota = { crashes = 100000 }"));
        for _ in 0..20 {
            let client = governed.connect("a");
            let session = client.open_session(0);
            client.noop(session).unwrap();
            let process = governed.agent.worker_of(&client);
            kill(process, libc::SIGKILL);
            // As a client does: it sees that the worker has gone, and comes again.
            wait_until("the connection ends", || client.noop(session).is_err());
            let again = governed.connect("a");
            again.noop(again.open_session(0)).unwrap();
            assert_ne!(governed.agent.worker_of(&again), process, "{worker}");
        }
        governed.agent.stop();
    }
}

#[test]
fn a_tenant_that_floods_keeps_nobody_else_from_being_served() {
    helper();
    for worker in ["connection", "tenant", "shared"] {
        let governed = Governed::start(&policy(worker, ""));
        let quiet = governed.connect("b");
        let session = quiet.open_session(EXEC);
        let stop = AtomicBool::new(false);
        let flooded = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let clients: Vec<Client> = (0..4).map(|_| governed.connect("a")).collect();
            for client in clients {
                let session = client.open_session(EXEC);
                let (client, stop, flooded) = (Arc::new(client), &stop, &flooded);
                for _ in 0..8 {
                    let client = Arc::clone(&client);
                    scope.spawn(move || {
                        while !stop.load(Ordering::Relaxed) {
                            compute(&client, session);
                            flooded.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            }
            // All 32 operations are in flight, and go on being so.
            wait_until("the flood is there", || {
                flooded.load(Ordering::Relaxed) > 64
            });
            // Each is answered; how soon is a figure of `cargo xtask bench isolation`.
            (0..20).for_each(|_| compute(&quiet, session));
            stop.store(true, Ordering::Relaxed);
        });
        governed.agent.stop();
    }
}

/// An operation that computes for about 2 ms.
fn compute(client: &Client, session: i64) {
    client
        .exec(session, "compute", &["2000"], None, None)
        .unwrap();
}

#[test]
fn a_shared_worker_that_hangs_serves_what_it_has_and_gets_nothing_more() {
    let governed = Governed::start(&policy(
        "shared",
        "quota = { deadline = \"100ms\", grace = \"100ms\" }",
    ));
    let (client, other) = (governed.connect_plain("a"), governed.connect_plain("b"));
    let (session, others) = (client.open_session(EXEC), other.open_session(0));
    let worker = governed.agent.worker_of(&client);
    let hold = Hold::new();
    assert!(hold.run(&client, session, None).is_err());
    wait_until("the worker is given up", || {
        governed.agent.log().contains("is given up")
    });
    other.noop(others).unwrap();
    let again = governed.connect("b");
    assert_ne!(governed.agent.worker_of(&again), worker);
    hold.release();
    drop((client, other));
    wait_until("it ends with its last connection", || !is_alive(worker));
    governed.agent.stop();
}

/// The network that a process is in.
fn network_of(process: u32) -> std::path::PathBuf {
    std::fs::read_link(format!("/proc/{process}/ns/net")).unwrap()
}

#[test]
fn a_worker_has_the_network_when_plugins_of_its_own_tenant_need_it_and_never_for_another() {
    common::build_library();
    // The jail knows plugins by their names; this one has the name of one that makes sockets.
    let built = Path::new(common::AGENT).with_file_name("libvaccel_noop.so");
    let folder = tempfile::tempdir_in(common::OPEN).unwrap();
    let named = folder.path().join("libvaccel-rpc.so");
    std::fs::copy(built, &named).unwrap();
    let named = named.to_str().unwrap();
    let governed = Governed::start_of(
        &format!("noop,{named}"),
        &format!(
            r#"
            [[tenant]]
            name = "a"
            match = [{{ listener = "a" }}]
            allow = {{ plugins = ["noop"] }}
            [[tenant]]
            name = "b"
            match = [{{ listener = "b" }}]
            allow = {{ plugins = ["{named}"] }}
            "#
        ),
        &[],
    );
    let agent = network_of(governed.agent.id());
    let (without, with) = (governed.connect("a"), governed.connect("b"));
    let [without_, with_] = [&without, &with].map(|c| network_of(governed.agent.worker_of(c)));
    assert_eq!(with_, agent);
    if vaccel_jail::namespaces::Plan::find().is_ok() {
        assert_ne!(without_, agent);
    }
    for client in [without, with] {
        client.noop(client.open_session(0)).unwrap();
    }
    governed.agent.stop();
}
