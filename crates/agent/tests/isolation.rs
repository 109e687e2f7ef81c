//! What happens to one connection does not happen to another.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Agent, EXEC, Hold, PATIENCE, is_alive, kill, wait_until};
use std::time::{Duration, Instant};
use vaccel_transport::CallError;

#[test]
fn a_killed_worker_ends_its_own_connection_at_once_and_no_other() {
    let agent = Agent::start(&[]);
    let (one, two) = (agent.connect(), agent.connect());
    let (session_one, session_two) = (one.open_session(EXEC), two.open_session(0));
    let (worker_one, worker_two) = (agent.worker_of(&one), agent.worker_of(&two));
    assert_ne!(worker_one, worker_two);
    let hold = Hold::new();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| {
            let result = hold.run(&one, session_one, None);
            (result, Instant::now())
        });
        hold.wait_until_begun();
        let killed = Instant::now();
        kill(worker_one, libc::SIGKILL);
        let (result, seen) = call.join().unwrap();
        assert!(matches!(result, Err(CallError::Lost(..))), "{result:?}");
        assert!(
            seen - killed < Duration::from_secs(10),
            "{:?}",
            seen - killed
        );
    });
    two.noop(session_two).unwrap();
    let three = agent.connect();
    three.noop(three.open_session(0)).unwrap();
    assert!(is_alive(worker_two));
    let log = agent.stop();
    assert!(
        log.contains("killed by signal 9 (SIGKILL) while it served it"),
        "{log}"
    );
}

#[test]
fn a_crash_in_an_operation_ends_its_own_connection_and_no_other() {
    let agent = Agent::start(&[]);
    let (one, two) = (agent.connect(), agent.connect());
    let (session_one, session_two) = (one.open_session(EXEC), two.open_session(EXEC));
    let result = one.exec(session_one, "crash", &[], None, None);
    assert!(matches!(result, Err(CallError::Lost(..))), "{result:?}");
    two.exec(session_two, "allocate", &[], Some(0), None)
        .unwrap();
    agent.connect().connection.ping(PATIENCE).unwrap();
    let log = agent.stop();
    assert!(log.contains("killed by signal 11 (SIGSEGV)"), "{log}");
}

#[test]
fn a_shared_worker_that_dies_is_replaced() {
    let agent = Agent::start(&["--isolation", "shared"]);
    let client = agent.connect();
    let worker = agent.worker_of(&client);
    kill(worker, libc::SIGKILL);
    wait_until("the connection ends", || {
        client.connection.ping(PATIENCE).is_err()
    });
    let again = agent.connect();
    again.noop(again.open_session(0)).unwrap();
    assert_ne!(agent.worker_of(&again), worker);
    agent.stop();
}

#[test]
fn processes_that_an_operation_started_end_with_its_connection() {
    let agent = Agent::start(&["--jail-spawn"]);
    let client = agent.connect();
    let session = client.open_session(EXEC);
    let outputs = client
        .exec(session, "leave_child", &[], Some(4), None)
        .unwrap();
    let child = i32::from_le_bytes(outputs[0][..].try_into().unwrap());
    let child = u32::try_from(child).unwrap();
    assert!(is_alive(child));
    drop(client);
    wait_until("the child ends", || !is_alive(child));
    agent.stop();
}

#[test]
fn a_worker_cannot_gain_privileges_or_leave_a_core_file() {
    let agent = Agent::start(&[]);
    let client = agent.connect();
    let worker = agent.worker_of(&client);
    let status = std::fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
    assert!(
        status.lines().any(|line| line == "NoNewPrivs:\t1"),
        "{status}"
    );
    let limits = std::fs::read_to_string(format!("/proc/{worker}/limits")).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core"))
        .unwrap();
    let numbers: Vec<&str> = core.split_whitespace().collect();
    assert_eq!(numbers[4..6], ["0", "0"], "{core}");
    agent.stop();
}

#[test]
fn workers_do_not_outlive_an_agent_that_is_killed() {
    let mut agent = Agent::start(&["--pool", "2"]);
    let client = agent.connect();
    let busy = agent.worker_of(&client);
    let mut workers = Vec::new();
    wait_until("two idle workers", || {
        workers = agent.workers();
        workers.len() == 3
    });
    assert!(workers.contains(&busy));
    agent.signal(libc::SIGKILL);
    agent.wait();
    wait_until("the workers end", || !workers.iter().any(|&w| is_alive(w)));
}
