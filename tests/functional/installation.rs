//! The staged tree is what distributions and programs expect.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use vaccel_tests::{Program, stage};

fn tool(name: &str, args: &[&str]) -> String {
    Program::at(Path::new(name)).args(args).output().unwrap()
}

#[test]
fn every_file_is_where_it_belongs() {
    let prefix = stage().unwrap();
    for file in [
        "bin/vaccel",
        "bin/vaccel-agent",
        "bin/vaccel-worker",
        "bin/vaccel-rpc-agent",
        "include/vaccel.h",
        "include/slog.h",
        "include/vaccel/session.h",
        "lib/libvaccel.so",
        "lib/libvaccel.so.0",
        "lib/libvaccel.a",
        "lib/libvaccel-static.a",
        "lib/libvaccel-noop.so",
        "lib/libvaccel-onnx.so",
        "lib/libvaccel-rpc.so",
        "lib/pkgconfig/vaccel.pc",
        "lib/pkgconfig/vaccel-static.pc",
        "lib/cmake/vaccel/vaccelConfig.cmake",
        "lib/cmake/vaccel/vaccelConfigVersion.cmake",
        "share/vaccel/models/classify/model.onnx",
        "share/vaccel/models/classify/model.toml",
        "share/bash-completion/completions/vaccel",
    ] {
        assert!(prefix.join(file).exists(), "{file}");
    }
}

#[test]
fn libraries_have_the_names_that_old_binaries_ask_for() {
    let lib = stage().unwrap().join("lib");
    for (file, soname) in [
        ("libvaccel.so", "libvaccel.so.0"),
        ("libvaccel-noop.so", "libvaccel-noop.so.0"),
        ("libvaccel-rpc.so", "libvaccel-rpc.so.0"),
    ] {
        let text = tool("readelf", &["-d", lib.join(file).to_str().unwrap()]);
        assert!(
            text.contains(&format!("soname: [{soname}]")),
            "{file}: {text}"
        );
    }
}

#[test]
fn plugins_export_their_entry_and_nothing_else() {
    let lib = stage().unwrap().join("lib");
    for plugin in [
        "noop",
        "exec",
        "mbench",
        "onnx",
        "onnxruntime",
        "tflite",
        "openvino",
        "tf",
        "torch",
        "tvm",
        "blas",
        "opencl",
        "opencv",
        "cuda",
        "xrt",
        "jetson",
        "rpc",
    ] {
        let file = lib.join(format!("libvaccel-{plugin}.so"));
        let text = tool("nm", &["-D", "--defined-only", file.to_str().unwrap()]);
        let names: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split_whitespace().last())
            .collect();
        assert!(names.contains(&"vaccel_plugin"), "{plugin}: {names:?}");
        assert!(
            names
                .iter()
                .all(|name| ["vaccel_plugin", "vaccel_plugin_ext", "ops"].contains(name)),
            "{plugin}: {names:?}"
        );
    }
}

#[test]
fn the_transport_plugin_is_small() {
    let file = stage().unwrap().join("lib/libvaccel-rpc.so");
    let text = tool("size", &[file.to_str().unwrap()]);
    let code: u64 = text
        .lines()
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    // TLS is the most of it.
    assert!(code < 4 << 20, "{code} bytes of code");
}
