//! Many restarts, in a process of its own: nothing may be left of them.
#![allow(clippy::unwrap_used)]

mod common;

use common::Rpc;
use common::fixture::model;
use common::process::{Process, signal, workers_of};
use common::{SOON, last_error};
use std::time::Instant;
use vaccel_plugin::code;

fn of_this_process() -> (usize, usize, usize) {
    let count = |what: &str| {
        std::fs::read_dir(format!("/proc/self/{what}"))
            .unwrap()
            .count()
    };
    let memory = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = memory.split(' ').nth(1).unwrap().parse().unwrap();
    (count("fd"), count("task"), pages * 4)
}

#[test]
fn a_hundred_restarts_leave_no_descriptor_no_thread_and_no_memory() {
    let mut agent = Process::start("noop");
    let rpc = Rpc::start(&agent.address(), &[]);
    let session = rpc.session();
    let resource = model(1, &vec![7; 300_000]);
    assert_eq!(session.register(&resource), 0);
    let mut before = of_this_process();
    for round in 0..100 {
        if round == 10 {
            before = of_this_process();
        }
        if round % 2 == 0 {
            agent.kill();
            agent.start_again("noop");
        } else {
            for worker in workers_of(&agent, 1) {
                signal(worker, libc::SIGKILL);
            }
        }
        let end = Instant::now() + SOON;
        loop {
            match session.noop() {
                0 => break,
                code::EREMOTEIO => assert!(Instant::now() < end, "{}", last_error()),
                other => panic!("{other}: {}", last_error()),
            }
        }
    }
    let after = of_this_process();
    assert_eq!((after.0, after.1), (before.0, before.1));
    // KiB; a leak of one resource would be 90 times 300.
    assert!(after.2 < before.2 + 4096, "{before:?} and after {after:?}");
}
