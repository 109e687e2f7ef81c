//! Sessions with `VACCEL_PLUGINS=auto`, and what they answer.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

use serde_json::Value;
use vaccel_tests::{Program, reference_plugin, repository, stage};

/// No runtime is installed, whatever is.
pub const WITHOUT_RUNTIMES: [(&str, &str); 5] = [
    ("VACCEL_ONNXRUNTIME_LIB", "/nonexistent/onnxruntime"),
    ("VACCEL_OPENVINO_LIB", "/nonexistent/openvino"),
    ("VACCEL_TF_LIB", "/nonexistent/tf"),
    ("VACCEL_TFLITE_LIB", "/nonexistent/tflite"),
    ("VACCEL_TORCH_LIB", "/nonexistent/torch"),
];
pub const ENOTSUP: i64 = 95;
pub const EINVAL: i64 = 22;
pub const EEXIST: i64 = 17;
pub const ENOENT: i64 = 2;

/// The same network in every format; `int8` answers less exactly.
pub const FORMATS: [(&str, &str, &[&str]); 5] = [
    ("onnx", "model.onnx", &["onnxruntime", "openvino", "onnx"]),
    ("tflite", "tflite/model.tflite", &["tflite", "openvino"]),
    ("savedmodel", "savedmodel", &["tf", "openvino"]),
    ("graphdef", "graphdef/model.pb", &["tf", "openvino"]),
    ("torchscript", "torchscript/model.pt", &["torch"]),
];

pub fn digits(file: &str) -> String {
    let path = repository().join("models/digits-8x8").join(file);
    path.canonicalize().unwrap().to_str().unwrap().to_owned()
}

/// Does the steps in one session of one process; an answer for each.
pub fn session(env: &[(&str, &str)], steps: &[&str]) -> Vec<Value> {
    let output = Program::driver(env!("CARGO_BIN_EXE_choice-driver"), &[])
        .unwrap()
        .envs(&[
            ("VACCEL_PLUGINS", "auto"),
            ("VACCEL_LOG_FILE", "/dev/stderr"),
        ])
        .envs(env)
        .args(steps)
        .output()
        .unwrap();
    let answers: Vec<Value> = output
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    assert_eq!(answers.len(), steps.len(), "{output}");
    answers
}

/// [`session`] without any runtime.
pub fn bare(env: &[(&str, &str)], steps: &[&str]) -> Vec<Value> {
    session(&[&WITHOUT_RUNTIMES[..], env].concat(), steps)
}

pub fn backend(answer: &Value) -> &str {
    let backend = answer["ok"]["backend"].as_str();
    backend.unwrap_or_else(|| panic!("no backend: {answer}"))
}

pub fn error(answer: &Value, code: i64) -> &str {
    assert_eq!(answer["code"], code, "{answer}");
    answer["error"].as_str().unwrap()
}

pub fn numbers(answer: &Value) -> Vec<f64> {
    let list = answer["ok"].as_array();
    let list = list.unwrap_or_else(|| panic!("no numbers: {answer}"));
    list.iter().map(|n| n.as_f64().unwrap()).collect()
}

/// What `vaccel info` says with an environment.
pub fn info(env: &[(&str, &str)]) -> Value {
    let text = Program::new(&stage().unwrap(), "vaccel")
        .args(["info", "--json"])
        .envs(env)
        .output()
        .unwrap();
    serde_json::from_str(&text).unwrap()
}

pub fn row<'a>(info: &'a Value, what: &str) -> &'a Value {
    let rows = info["choice"].as_array().unwrap();
    let found = rows.iter().find(|row| row["for"] == what);
    found.unwrap_or_else(|| panic!("no row for {what}: {rows:?}"))
}

/// A folder with the digits and a description that has this section `[run]`.
pub fn described(run: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(digits("model.onnx"), folder.path().join("model.onnx")).unwrap();
    let text = std::fs::read_to_string(digits("model.toml")).unwrap();
    std::fs::write(
        folder.path().join("model.toml"),
        format!("{text}\n[run]\n{run}\n"),
    )
    .unwrap();
    let path = folder.path().to_str().unwrap().to_owned();
    (folder, path)
}

pub fn reference() -> String {
    let plugin = reference_plugin().unwrap();
    format!("auto:{}", plugin.to_str().unwrap())
}
