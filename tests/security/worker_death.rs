//! A worker that dies takes down its own session's call, and nothing else.
#![allow(clippy::unwrap_used)]

use rustix::process::{Pid, Signal, kill_process};
use std::time::{Duration, Instant};
use vaccel_tests::{Agent, Program, Running, stage, wait_until};

/// A program that calls an operation of so many milliseconds on the agent.
fn busy(agent: &Agent, milliseconds: &str) -> Running {
    Program::new(&stage().unwrap(), "vaccel")
        .args(["--remote", &agent.address(), "exec", "mbench", milliseconds])
        .spawn()
        .unwrap()
}

/// CPU time a process has used, in clock ticks.
fn ticks(pid: u32) -> u64 {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return 0;
    };
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// The worker that has begun to compute since it was one of `known`.
fn computing(agent: &Agent, known: &[u32]) -> u32 {
    let mut found = None;
    wait_until("a worker computes", Duration::from_secs(20), || {
        found = agent
            .workers()
            .unwrap()
            .into_iter()
            .find(|pid| !known.contains(pid) && ticks(*pid) > 30);
        found.is_some()
    })
    .unwrap();
    found.unwrap()
}

#[test]
fn a_killed_worker_fails_its_own_call_at_once_and_no_other() {
    let mut agent = Agent::start(&stage().unwrap(), "mbench", &[], &[]).unwrap();
    let victim = busy(&agent, "60000");
    let victims_worker = computing(&agent, &[]);
    let other = busy(&agent, "3000");
    let others_worker = computing(&agent, &[victims_worker]);

    let killed = Instant::now();
    kill_process(
        Pid::from_raw(victims_worker.cast_signed()).unwrap(),
        Signal::KILL,
    )
    .unwrap();
    let run = victim.wait().unwrap();
    assert!(
        killed.elapsed() < Duration::from_secs(20),
        "{:?}",
        killed.elapsed()
    );
    assert_ne!(run.code, Some(0));
    assert!(
        run.stderr.contains("lost") && run.stderr.contains("killed by signal 9"),
        "{}",
        run.stderr
    );

    // The other session goes on to its end, in its own worker.
    assert!(agent.workers().unwrap().contains(&others_worker));
    other.wait().unwrap().success().unwrap();
    // And the next one works.
    assert!(agent.is_running().unwrap());
    busy(&agent, "1").wait().unwrap().success().unwrap();
}

#[test]
fn a_call_that_takes_too_long_ends_at_its_deadline() {
    let agent = Agent::start(&stage().unwrap(), "mbench", &[], &[]).unwrap();
    let begin = Instant::now();
    let run = Program::new(&stage().unwrap(), "vaccel")
        .env("VACCEL_RPC_TIMEOUT", "1")
        .args(["--remote", &agent.address(), "exec", "mbench", "30000"])
        .run()
        .unwrap();
    assert_ne!(run.code, Some(0));
    assert!(
        run.stderr.contains("deadline") || run.stderr.contains("TIMEDOUT"),
        "{}",
        run.stderr
    );
    assert!(
        begin.elapsed() < Duration::from_secs(20),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn workers_end_with_their_connections() {
    let agent = Agent::start(&stage().unwrap(), "noop", &[], &["--pool", "1"]).unwrap();
    for _ in 0..20 {
        Program::new(&stage().unwrap(), "vaccel")
            .args(["--remote", &agent.address(), "info"])
            .output()
            .unwrap();
    }
    wait_until(
        "only the idle worker is left",
        Duration::from_secs(5),
        || agent.workers().unwrap().len() <= 1,
    )
    .unwrap();
}
