//! What a plugin says of itself to `vaccel info` and its like.

use serde::Serialize;

/// Devices, formats, and whether the plugin can work here. Serialised as JSON,
/// to which the SDK adds name, version and operations.
#[derive(Debug, Clone, Serialize, PartialEq)]
pub struct Description {
    /// One sentence: what it does.
    pub summary: String,
    /// True when operations can run now.
    pub ready: bool,
    /// What is not there, for example `libtorch.so`; `None` when nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// What to do about it, for example the command that installs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Model formats: `onnx`, `torchscript`, ...
    pub formats: Vec<String>,
    /// Devices it can use.
    pub devices: Vec<Device>,
    /// Version of the runtime behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// Environment variables it reads, with their meaning.
    pub environment: Vec<Variable>,
    /// Models it uses when a session brings none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub default_models: Vec<DefaultModel>,
}

/// A model that is used when a session brings none.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct DefaultModel {
    /// Task of the image operation: `classify`, `detect`, ...
    pub task: String,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub path: String,
}

/// What a model is, told without loading it.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Judgement {
    /// Format: `onnx`, `tflite`, `savedmodel`, ...
    pub format: String,
    /// What errors call the model: its file.
    pub model: String,
    /// Task of the image operation that its description names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Backend that its description names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
}

/// A device.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Device {
    /// How options name it, for example `cpu` or `cuda:0`.
    pub id: String,
    /// Its name, for example `NVIDIA H100`.
    pub name: String,
    /// Memory in bytes, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
}

/// An environment variable.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Variable {
    /// Name.
    pub name: &'static str,
    /// Meaning, values and default.
    pub meaning: &'static str,
}

impl Description {
    /// A plugin that is ready and needs no device.
    pub fn ready(summary: impl Into<String>) -> Self {
        Self {
            summary: summary.into(),
            ready: true,
            missing: None,
            remedy: None,
            formats: Vec::new(),
            devices: Vec::new(),
            runtime: None,
            environment: Vec::new(),
            default_models: Vec::new(),
        }
    }

    /// A plugin that cannot work until something is installed.
    pub fn missing(
        summary: impl Into<String>,
        missing: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            ready: false,
            missing: Some(missing.into()),
            remedy: Some(remedy.into()),
            ..Self::ready(summary)
        }
    }
}
