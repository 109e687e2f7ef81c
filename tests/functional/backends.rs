//! Backends that run models, in the jailed workers of an agent: what the jail forbids would
//! be missed here, and by nobody who runs them in process.
#![allow(clippy::unwrap_used)]

// A part of what it gives is used here.
#[allow(dead_code, unreachable_pub)]
#[path = "../../plugins/onnx/tests/support/npz.rs"]
mod npz;

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use vaccel_plugin::testing::{is_required, skipped};

use vaccel_tests::{Agent, Program, repository, stage, strictest_jail, wait_until};

/// Files of the same model by backend: `[batch, 1, 8, 8]` in, ten numbers out.
const DIGITS: &[(&str, &[&str])] = &[
    ("onnx", &["model.onnx"]),
    ("onnxruntime", &["model.onnx"]),
    (
        "openvino",
        &["model.onnx", "savedmodel", "graphdef", "tflite"],
    ),
    ("tflite", &["tflite", "tflite-int8"]),
    ("tf", &["savedmodel", "graphdef"]),
    ("torch", &["torchscript"]),
    ("tvm", &["model.so"]),
];
/// Pictures that are asked about: a process each, so not all of them.
const ASKED: usize = 2;

/// A JSON that the command prints.
fn json(args: &[&str]) -> Value {
    let text = Program::new(&stage().unwrap(), "vaccel")
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{args:?}: {error:#}"));
    serde_json::from_str(&text).unwrap()
}

/// True when a plugin says that it is ready; where it has to be, it is.
fn ready(plugin: &str) -> bool {
    let info = json(&["--plugins", plugin, "info", "--json"]);
    let plugins = info["plugins"].as_array().unwrap();
    let about = plugins.iter().find(|p| p["name"] == plugin).unwrap();
    if about["ext"]["ready"] == true {
        return true;
    }
    let reason = about["ext"]["missing"].to_string();
    assert!(!is_required(plugin), "{plugin}: {reason}");
    skipped(plugin, &reason);
    false
}

/// A file with a picture as NumPy writes it, and the class of what it shows.
fn pictures(folder: &Path) -> Vec<(PathBuf, i64)> {
    let arrays = npz::read(&repository().join("models/digits-8x8/test.npz"));
    let labels = arrays["labels"].bytes.as_chunks().0;
    let pictures = arrays["images"].bytes.chunks_exact(8 * 8 * 3);
    let write = |(at, (rgb, label)): (usize, (&[u8], &[u8; 8]))| {
        let mut bytes = header("(1, 1, 8, 8)");
        for pixel in rgb.chunks_exact(3) {
            bytes.extend((f32::from(pixel[0]) / 255.0).to_le_bytes());
        }
        let path = folder.join(format!("{at}.npy"));
        fs::write(&path, bytes).unwrap();
        (path, i64::from_le_bytes(*label))
    };
    pictures
        .zip(labels)
        .take(ASKED)
        .enumerate()
        .map(write)
        .collect()
}

/// What a NumPy file of f32 begins with.
fn header(shape: &str) -> Vec<u8> {
    let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    let text = format!("{text:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(text.len()).unwrap().to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

/// The ten numbers that a model gives for a picture.
fn numbers(connection: &[&str], model: &Path, picture: &Path, folder: &Path) -> Vec<f32> {
    let model = model.to_str().unwrap();
    let info = json(&[connection, &["run", model, "--info", "--json"]].concat());
    // TorchScript names no inputs that mean anything: the backend makes one up.
    let name = info["inputs"][0]["name"].as_str().unwrap();
    let input = format!("{name}={}", picture.display());
    let output = folder.join("out");
    let arguments = ["run", model, "--input", &input, "--json", "--output"];
    let run = json(&[connection, &arguments, &[output.to_str().unwrap()]].concat());
    let file = run["outputs"][0]["file"].as_str().unwrap();
    let npy = fs::read(file).unwrap();
    let start = 10 + usize::from(u16::from_le_bytes([npy[8], npy[9]]));
    let numbers = npy[start..].as_chunks().0;
    numbers.iter().map(|&b| f32::from_le_bytes(b)).collect()
}

fn largest(numbers: &[f32]) -> i64 {
    let best = numbers.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.unwrap().0 as i64
}

/// A line of `/proc/PID/status`.
fn status(pid: u32, name: &str) -> String {
    // It may have ended meanwhile.
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mut lines = status.lines();
    let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    found.unwrap_or_default().trim().to_owned()
}

/// Every file of a backend gives in a jailed worker what it gives in process.
fn runs_in_a_jailed_worker(plugin: &str) {
    if !ready(plugin) {
        return;
    }
    let prefix = stage().unwrap();
    let jail = strictest_jail(&prefix).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let pictures = pictures(folder.path());
    let agent = Agent::start(&prefix, plugin, &[], &["--jail", jail]).unwrap();
    let (_, files) = DIGITS.iter().find(|(name, _)| *name == plugin).unwrap();
    let models = match plugin {
        // Compiled for this processor.
        "tvm" => prefix.join("../../tvm-models/digits-8x8"),
        _ => repository().join("models/digits-8x8"),
    };
    for file in *files {
        let model = models.join(file);
        for (picture, label) in &pictures {
            let here = numbers(&["--plugins", plugin], &model, picture, folder.path());
            let address = agent.address();
            let there = numbers(&["--remote", &address], &model, picture, folder.path());
            assert_eq!(there.len(), 10, "{file}");
            for (a, b) in here.iter().zip(&there) {
                assert!((a - b).abs() < 1e-4, "{file}: {here:?} {there:?}");
            }
            assert_eq!(largest(&there), *label, "{file}: {there:?}");
        }
    }
    // One is kept ready, locked in before it is given a client.
    let locked = || {
        let workers = agent.workers().unwrap();
        let mut jailed = workers.iter().filter(|&&pid| status(pid, "Seccomp") == "2");
        jailed.any(|&pid| status(pid, "NoNewPrivs") == "1")
    };
    wait_until("a jailed worker", Duration::from_secs(60), locked).unwrap();
}

#[test]
fn onnx_runs_in_a_jailed_worker() {
    runs_in_a_jailed_worker("onnx");
}

#[test]
fn onnxruntime_runs_in_a_jailed_worker() {
    runs_in_a_jailed_worker("onnxruntime");
}

#[test]
fn openvino_runs_in_a_jailed_worker() {
    runs_in_a_jailed_worker("openvino");
}

#[test]
fn tflite_runs_in_a_jailed_worker() {
    runs_in_a_jailed_worker("tflite");
}

#[test]
fn tf_runs_in_a_jailed_worker() {
    runs_in_a_jailed_worker("tf");
}

#[test]
fn tvm_runs_in_a_jailed_worker() {
    runs_in_a_jailed_worker("tvm");
}

#[test]
fn torch_runs_in_a_jailed_worker() {
    runs_in_a_jailed_worker("torch");
}
