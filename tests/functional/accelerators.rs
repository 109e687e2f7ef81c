//! The plugins of accelerators, here and through an agent over Unix sockets: the C
//! programs check their own results.
#![allow(clippy::unwrap_used)]

#[path = "../../plugins/xrt/tests/support/mod.rs"]
mod made;

use made::{Kernel, Parameter, xclbin};
use serde_json::Value;
use vaccel_plugin::testing::{is_required, skipped};
use vaccel_tests::{Agent, Program, stage, strictest_jail};

/// True when `vaccel info` says that a plugin is ready; where it has to be, it is.
fn ready(plugin: &str) -> bool {
    ready_with(plugin, &[])
}

/// [`ready`] with variables set.
fn ready_with(plugin: &str, env: &[(&str, &str)]) -> bool {
    let about = about(plugin, env);
    let is_ready = about["ext"]["ready"] == true;
    if !is_ready {
        let reason = about["ext"]["missing"].to_string();
        assert!(!is_required(plugin), "{plugin}: {reason}");
        skipped(plugin, &reason);
    }
    is_ready
}

/// What `vaccel info` says of a plugin.
fn about(plugin: &str, env: &[(&str, &str)]) -> Value {
    let info = Program::new(&stage().unwrap(), "vaccel")
        .envs(env)
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
    if !ready("opencl") {
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

/// Finds a bright middle in a window of 24: one feature, the window less nine times the
/// middle third, which has the ninth part of its area.
const CASCADE: &str = r#"<?xml version="1.0"?>
<opencv_storage><cascade type_id="opencv-cascade-classifier">
<stageType>BOOST</stageType><featureType>HAAR</featureType>
<height>24</height><width>24</width>
<stageParams><maxWeakCount>1</maxWeakCount></stageParams>
<featureParams><maxCatCount>0</maxCatCount></featureParams>
<stageNum>1</stageNum>
<stages><_><maxWeakCount>1</maxWeakCount><stageThreshold>0.5</stageThreshold>
<weakClassifiers><_><internalNodes>0 -1 0 -1.0</internalNodes>
<leafValues>1. -1.</leafValues></_></weakClassifiers></_></stages>
<features><_><rects><_>0 0 24 24 1.</_><_>8 8 8 8 -9.</_></rects></_></features>
</cascade></opencv_storage>"#;

#[test]
fn cascades_of_opencv_draw_boxes_here_and_remotely() {
    if !ready("opencv") {
        return;
    }
    let prefix = stage().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (input, model) = (
        folder.path().join("in.png"),
        folder.path().join("model.xml"),
    );
    // A bright square on dark ground.
    let picture = image::RgbImage::from_fn(120, 90, |x, y| {
        let inside = (60..76).contains(&x) && (40..56).contains(&y);
        image::Rgb([if inside { 220 } else { 20 }; 3])
    });
    picture.save(&input).unwrap();
    std::fs::write(&model, CASCADE).unwrap();
    let agent = Agent::start(&prefix, "opencv", &[], &[]).unwrap();
    let mut drawn = Vec::new();
    for (plugins, address) in [("opencv", String::new()), ("rpc", agent.address())] {
        let output = folder.path().join(format!("{plugins}.png"));
        Program::new(&prefix, "detect")
            .env("VACCEL_PLUGINS", plugins)
            .env("VACCEL_RPC_ADDRESS", &address)
            .args([&input, &model])
            .arg("1")
            .arg(&output)
            .run()
            .unwrap()
            .success()
            .unwrap_or_else(|error| panic!("{plugins}: {error:#}"));
        drawn.push(image::open(&output).unwrap().to_rgb8());
    }
    assert_eq!(drawn[0].dimensions(), picture.dimensions());
    let green = |p: &image::Rgb<u8>| p.0 == [0, 200, 0];
    assert!(drawn[0].pixels().any(green), "nothing is drawn");
    assert_eq!(drawn[0], drawn[1], "the same remotely");
}

#[test]
fn xrt_has_its_own_process_in_a_jailed_worker_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kernels.xclbin");
    let parameters = vec![
        Parameter::Memory,
        Parameter::Memory,
        Parameter::Memory,
        Parameter::Number(4, "unsigned int"),
    ];
    let name = "vadd";
    std::fs::write(&file, xclbin(1, &[Kernel { name, parameters }])).unwrap();
    let env = [
        ("XCL_EMULATION_MODE", "noop"),
        ("VACCEL_XRT_XCLBIN", file.to_str().unwrap()),
    ];
    if !ready_with("xrt", &env) {
        return;
    }
    let prefix = stage().unwrap();
    let jail = strictest_jail(&prefix).unwrap();
    let options = [
        "--jail",
        jail,
        "--jail-read",
        folder.path().to_str().unwrap(),
    ];
    let agent = Agent::start_with(&prefix, "xrt", &[], &options, &env).unwrap();
    let add = || {
        let output = Program::driver(env!("CARGO_BIN_EXE_choice-driver"), &["vectors"])
            .unwrap()
            .envs(&[
                ("VACCEL_PLUGINS", "rpc"),
                ("VACCEL_RPC_ADDRESS", &agent.address()),
            ])
            .output()
            .unwrap();
        let answer: Value = serde_json::from_str(output.lines().last().unwrap()).unwrap();
        answer["ok"]
            .as_array()
            .unwrap_or_else(|| panic!("{output}"))
            .len()
    };
    // The device computes nothing: that buffers went there and back is what there is to see.
    assert_eq!(add(), 2);
    assert_eq!(add(), 2);
}
