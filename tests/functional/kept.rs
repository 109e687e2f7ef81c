//! Tensors that stay on the agent: what crosses the wire.
#![allow(clippy::unwrap_used)]

use vaccel_tests::{Agent, Meter, Program, reference_plugin, stage};

/// What a chain of so many models sends and receives; its tensor has 4 MiB.
fn moved(meter: &Meter, group: &str) -> (u64, u64) {
    let before = (meter.sent(), meter.received());
    let text = Program::driver(env!("CARGO_BIN_EXE_conformance-driver"), &[group])
        .unwrap()
        .envs(&[
            ("VACCEL_PLUGINS", "rpc"),
            ("VACCEL_RPC_ADDRESS", meter.address()),
        ])
        .output()
        .unwrap();
    assert!(text.contains("\"value\":["), "{text}");
    (meter.sent() - before.0, meter.received() - before.1)
}

#[test]
fn links_in_the_middle_of_a_chain_move_no_tensors() {
    const TENSOR: u64 = 4 << 20;
    let plugin = reference_plugin().unwrap();
    let agent = Agent::start(
        &stage().unwrap(),
        plugin.to_str().unwrap(),
        &["tcp://127.0.0.1:0"],
        &[],
    )
    .unwrap();
    let meter = Meter::start(&agent.addresses()[1]).unwrap();
    let (sent, received) = moved(&meter, "links-1");
    // In once; back once fetched and once as the output of the last run.
    assert!((TENSOR..TENSOR + 65_536).contains(&sent), "{sent}");
    assert!(
        (2 * TENSOR..2 * TENSOR + 65_536).contains(&received),
        "{received}"
    );
    let (more_sent, more_received) = moved(&meter, "links-9");
    println!(
        "eight further links: {} bytes sent, {} received",
        more_sent.abs_diff(sent),
        more_received.abs_diff(received)
    );
    // Eight runs and eight releases, without any element.
    assert!(more_sent.abs_diff(sent) < 8 * 512, "{sent} {more_sent}");
    assert!(
        more_received.abs_diff(received) < 8 * 512,
        "{received} {more_received}"
    );
}
