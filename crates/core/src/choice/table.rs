//! Which backend is preferred for what: the one place where that is written.
//!
//! A row names backends from the best to the last; those that are not installed or not
//! ready are passed over. Loaded backends that no row names come after those of the row,
//! when they say that they read the format, or offer the operation. To have a new backend
//! chosen, put its name into the rows that it serves.

use vaccel_abi::op::{
    OP_BLAS_SGEMM, OP_EXEC, OP_EXEC_WITH_RESOURCE, OP_FPGA_ARRAYCOPY, OP_FPGA_MMULT,
    OP_FPGA_PARALLEL, OP_FPGA_VECTORADD, OP_IMAGE_CLASSIFY, OP_IMAGE_DEPTH, OP_IMAGE_DETECT,
    OP_IMAGE_POSE, OP_IMAGE_SEGMENT, OP_MINMAX, OP_OPENCV, OP_TORCH_SGEMM, OpType,
};
use vaccel_abi::plugin::{PLUGIN_JETSON, PLUGIN_TENSORFLOW, PLUGIN_TORCH, PluginType};

/// Formats of models, as `model_judge` of plugins calls them, and who runs them.
pub(super) const FORMATS: &[(&str, &[&str])] = &[
    ("onnx", &["onnxruntime", "openvino", "onnx"]),
    ("ort", &["onnxruntime"]),
    ("savedmodel", &["tf", "openvino"]),
    ("graphdef", &["tf", "openvino"]),
    ("tflite", &["tflite", "openvino"]),
    ("torchscript", &["torch"]),
    ("openvino", &["openvino"]),
    ("tensorrt", &["jetson"]),
    ("elf", &["tvm"]),
];

/// Operations without a model. `cuda` is ready where there is a GPU and nowhere else.
/// Those on pictures are here for sessions without a model, where there is no default
/// model either: backends with models of their own.
pub(super) const OPERATIONS: &[(OpType, &[&str])] = &[
    (OP_EXEC, &["exec"]),
    (OP_EXEC_WITH_RESOURCE, &["exec"]),
    (OP_BLAS_SGEMM, &["cuda", "blas", "opencl"]),
    (OP_TORCH_SGEMM, &["blas"]),
    (OP_FPGA_ARRAYCOPY, &["xrt", "cuda", "opencl"]),
    (OP_FPGA_MMULT, &["xrt", "cuda", "opencl"]),
    (OP_FPGA_PARALLEL, &["xrt", "cuda", "opencl"]),
    (OP_FPGA_VECTORADD, &["xrt", "cuda", "opencl"]),
    (OP_MINMAX, &["cuda", "opencl"]),
    (OP_OPENCV, &["opencv"]),
    (OP_IMAGE_CLASSIFY, &["jetson"]),
    (OP_IMAGE_DETECT, &["jetson", "opencv"]),
    (OP_IMAGE_SEGMENT, &["jetson"]),
    (OP_IMAGE_POSE, &["jetson"]),
    (OP_IMAGE_DEPTH, &["jetson"]),
];

/// Flags of a session that name a backend rather than a device.
pub(super) const FLAGS: &[(PluginType, &str)] = &[
    (PLUGIN_TENSORFLOW, "tf"),
    (PLUGIN_TORCH, "torch"),
    (PLUGIN_JETSON, "jetson"),
];

/// Plugins that `auto` leaves out: a transport is another machine's choice, and these
/// answer without computing anything.
pub(super) const LEFT_OUT: &[&str] = &["rpc", "noop", "mbench", "template"];

/// The order for a format; empty for one that no row names.
pub(super) fn of_format(format: &str) -> &'static [&'static str] {
    let row = FORMATS.iter().find(|(name, _)| *name == format);
    row.map_or(&[], |(_, names)| names)
}

/// The order for an operation; empty for one that no row names.
pub(super) fn of_operation(op: OpType) -> &'static [&'static str] {
    let row = OPERATIONS.iter().find(|(code, _)| *code == op);
    row.map_or(&[], |(_, names)| names)
}

/// Every backend that a row names, each once.
pub(super) fn all() -> Vec<&'static str> {
    let rows = FORMATS.iter().map(|(_, names)| *names);
    let rows = rows.chain(OPERATIONS.iter().map(|(_, names)| *names));
    let mut all = Vec::new();
    for &name in rows.flatten() {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all
}
