//! The plugins of accelerators, here and through an agent over Unix sockets: the C
//! programs check their own results.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use vaccel_tests::{Agent, Program, stage};

/// What `vaccel info` says of a plugin.
fn about(plugin: &str) -> Value {
    let info = Program::new(&stage().unwrap(), "vaccel")
        .args(["--plugins", plugin, "info", "--json"])
        .run()
        .unwrap()
        .success()
        .unwrap();
    let info: Value = serde_json::from_str(&info).unwrap();
    let plugins = info["plugins"].as_array().unwrap();
    let found = plugins.iter().find(|p| p["name"] == plugin);
    found.unwrap_or_else(|| panic!("{plugin}: {info}")).clone()
}

/// Runs a program with a plugin in process, and through an agent that has it.
fn gives(plugin: &str, runs: &[(&str, &[&str], &str)]) {
    let prefix = stage().unwrap();
    let agent = Agent::start(&prefix, plugin, &[], &[]).unwrap();
    for (plugins, address) in [(plugin, String::new()), ("rpc", agent.address())] {
        for (program, args, text) in runs {
            let output = Program::new(&prefix, program)
                .env("VACCEL_PLUGINS", plugins)
                .env("VACCEL_RPC_ADDRESS", &address)
                .args(*args)
                .run()
                .unwrap()
                .success()
                .unwrap_or_else(|error| panic!("{program} {args:?} {plugins}: {error:#}"));
            assert!(output.contains(text), "{program} {plugins}: {output}");
        }
    }
}

#[test]
fn opencl_devices_serve_products_vectors_and_extremes_here_and_remotely() {
    let about = about("opencl");
    if about["ext"]["ready"] != true {
        eprintln!("SKIPPED: opencl is not ready: {about}");
        return;
    }
    gives(
        "opencl",
        &[
            ("sgemm", &["65", "33", "17"], "is right"),
            ("fpga_mmult", &["5"], "C: "),
            ("fpga_mmult_generic", &["5"], "C: "),
            ("fpga_vadd", &["100"], "sums: "),
            ("fpga_parallel", &[], "products: "),
            ("fpga_arraycopy", &[], "ints are copied"),
            (
                "minmax",
                &["2", "8", "1", "5.5", "9", "-3"],
                "min -3, max 9, clipped: 2 5.5 8 2",
            ),
        ],
    );
}
