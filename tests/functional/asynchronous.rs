//! The C test of calls under way, against agents.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use vaccel_tests::{Agent, Program, repository, stage};

#[test]
fn calls_under_way_end_right_over_every_transport() {
    let prefix = stage().unwrap();
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("async");
    let program = out.join("async");
    Program::at(Path::new("make"))
        .args(["--no-print-directory", "-s", "-C"])
        .arg(repository().join("tests/c"))
        .arg(format!("PREFIX={}", prefix.display()))
        .arg(format!("OUT={}", out.display()))
        .arg(&program)
        .output()
        .unwrap();
    // The first does products, the second nothing.
    let agent = Agent::start(&prefix, "blas,noop", &["tcp://127.0.0.1:0"], &[]).unwrap();
    for address in agent.addresses() {
        for shared in ["1", "0"] {
            // It ends with an error unless all holds.
            let lines = Program::at(&program)
                .env("LD_LIBRARY_PATH", prefix.join("lib"))
                .env("VACCEL_PLUGINS", "rpc")
                .env("VACCEL_RPC_ADDRESS", address)
                .env("VACCEL_RPC_SHARED", shared)
                .output()
                .unwrap();
            assert!(lines.contains("ok - each has its own result"), "{lines}");
        }
    }
}
