//! Nothing is left behind: no process, no folder, no descriptor, no socket.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Agent, EXEC, Hold, PATIENCE, children_of, descriptors, is_alive, wait_until};
use std::time::Duration;
use vaccel_abi::blob::BLOB_FILE;
use vaccel_abi::resource::PATH_LOCAL_FILE;
use vaccel_transport::CallError;

/// The idle state: one worker that waits, with its folder, and nothing else.
fn is_idle(agent: &Agent) -> bool {
    agent.workers().len() == 1 && agent.folders().len() == 1
}

#[test]
fn an_abandoned_connection_is_gone_within_a_second_with_everything_it_had() {
    let agent = Agent::start(&[]);
    wait_until("the pool is full", || is_idle(&agent));
    let before = descriptors(agent.id());
    let client = agent.connect();
    for _ in 0..20 {
        let session = client.open_session(0);
        client
            .resource(
                session,
                PATH_LOCAL_FILE,
                &[(BLOB_FILE, "model", &[7; 100_000])],
            )
            .unwrap();
    }
    let worker = agent.worker_of(&client);
    drop(client);
    wait_until("the worker ends", || !is_alive(worker));
    wait_until("the folder goes", || is_idle(&agent));
    wait_until("descriptors are closed", || {
        descriptors(agent.id()) <= before
    });
    agent.stop();
}

#[test]
fn two_hundred_connections_one_after_the_other_leak_nothing() {
    let agent = Agent::start(&["--pool", "2"]);
    wait_until("the pool is full", || agent.workers().len() == 2);
    let before = descriptors(agent.id());
    for i in 0..200 {
        let client = agent.connect();
        // Some hang up at once, some after a call.
        if i % 2 == 0 {
            client.noop(client.open_session(0)).unwrap();
        }
    }
    wait_until("all workers but the idle ones end", || {
        agent.workers().len() == 2
    });
    wait_until("all folders but theirs go", || agent.folders().len() == 2);
    wait_until("descriptors are closed", || {
        descriptors(agent.id()) <= before
    });
    agent.stop();
}

#[test]
fn two_hundred_connections_to_a_shared_worker_leak_nothing_in_it() {
    let agent = Agent::start(&["--isolation", "shared"]);
    let first = agent.connect();
    let worker = agent.worker_of(&first);
    let inside = || {
        let mut found = 0;
        for folder in agent.folders() {
            found += std::fs::read_dir(folder).unwrap().count();
        }
        found
    };
    let threads = || {
        std::fs::read_dir(format!("/proc/{worker}/task"))
            .unwrap()
            .count()
    };
    first.noop(first.open_session(0)).unwrap();
    let before = (descriptors(worker), threads(), inside());
    for _ in 0..200 {
        let client = agent.connect();
        let session = client.open_session(0);
        client
            .resource(session, PATH_LOCAL_FILE, &[(BLOB_FILE, "model", b"x")])
            .unwrap();
    }
    wait_until("descriptors are closed", || descriptors(worker) <= before.0);
    // One more is no leak: under load the reading of `first` may have gone to a second thread.
    wait_until("threads end", || threads() <= before.1 + 1);
    wait_until("folders go", || inside() <= before.2);
    first.connection.ping(PATIENCE).unwrap();
    agent.stop();
}

#[test]
fn sigterm_lets_what_runs_finish_and_takes_nothing_new() {
    let mut agent = Agent::start(&[]);
    let client = agent.connect();
    let session = client.open_session(EXEC);
    let hold = Hold::new();
    std::thread::scope(|scope| {
        let held = scope.spawn(|| hold.run(&client, session, None));
        hold.wait_until_begun();
        agent.signal(libc::SIGTERM);
        wait_until("the socket goes", || {
            !agent.dir().join("agent.sock").exists()
        });
        assert!(agent.is_running(), "the operation still runs");
        hold.release();
        held.join().unwrap().unwrap();
    });
    let status = agent.wait();
    assert!(status.success(), "{status}\n{}", agent.log());
    assert!(agent.folders().is_empty());
}

#[test]
fn an_operation_that_does_not_finish_is_ended_after_the_drain_timeout() {
    let mut agent = Agent::start(&["--drain-timeout", "300ms"]);
    let client = agent.connect();
    let session = client.open_session(EXEC);
    let hold = Hold::new();
    std::thread::scope(|scope| {
        let held = scope.spawn(|| hold.run(&client, session, None));
        hold.wait_until_begun();
        agent.signal(libc::SIGINT);
        let result = held.join().unwrap();
        assert!(matches!(result, Err(CallError::Lost(..))), "{result:?}");
    });
    let status = agent.wait();
    assert!(status.success(), "{status}\n{}", agent.log());
    assert!(agent.folders().is_empty());
    assert!(
        agent.log().contains("takes too long to finish"),
        "{}",
        agent.log()
    );
}

#[test]
fn a_client_that_goes_while_its_operation_runs_leaves_nothing_behind() {
    let agent = Agent::start(&["--deadline", "100ms"]);
    let client = agent.connect();
    let session = client.open_session(EXEC);
    let hold = Hold::new();
    // Never released. The client hangs up when its time is over, by its own clock or the
    // worker's.
    let result = hold.run(&client, session, Some(Duration::from_millis(100)));
    let over = |code| code == vaccel_abi::error::ETIMEDOUT;
    assert!(
        matches!(result, Err(CallError::TimedOut { .. }))
            || matches!(result, Err(CallError::Remote { status, .. }) if over(status)),
        "{result:?}"
    );
    let worker = agent.worker_of(&client);
    drop(client);
    wait_until("the worker gives up", || !is_alive(worker));
    wait_until("its folder goes", || is_idle(&agent));
    let log = agent.stop();
    assert!(log.contains("giving up on an operation"), "{log}");
}

#[test]
fn what_a_killed_agent_left_is_removed_by_the_next_one() {
    let mut agent = Agent::start(&[]);
    let client = agent.connect();
    client.open_session(0);
    agent.signal(libc::SIGKILL);
    agent.wait();
    assert!(!agent.folders().is_empty());
    assert!(agent.dir().join("agent.sock").exists());
    let second = agent.start_again();
    wait_until("only the living agent's folders are there", || {
        is_idle(&second)
    });
    second.stop();
}

#[test]
fn idle_workers_are_started_anew_on_sighup() {
    let agent = Agent::start(&[]);
    wait_until("the pool is full", || agent.workers().len() == 1);
    let before = agent.workers();
    let client = agent.connect();
    let session = client.open_session(0);
    let mut idle = Vec::new();
    wait_until("another one is idle", || {
        idle = agent.workers();
        idle.retain(|w| !before.contains(w));
        !idle.is_empty() && agent.log().matches("is ready").count() == 2
    });
    agent.signal(libc::SIGHUP);
    wait_until("it has been replaced", || {
        !is_alive(idle[0]) && children_of(agent.id()).len() == 2
    });
    // Who is served goes on being served.
    client.noop(session).unwrap();
    agent.stop();
}
