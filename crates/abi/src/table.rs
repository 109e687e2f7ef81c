//! The table of operations: one row for each, from which generic calls,
//! validation, the wire and the documentation follow.
//!
//! The **generic form** of an operation is a list of read arguments and a list
//! of write arguments ([`vaccel_arg`](crate::arg::vaccel_arg)). It is what
//! `vaccel_genop` takes (after one leading `UINT8` with the code) and what
//! travels between a transport plugin and an agent.

use crate::arg::{
    ARG_BUFFER, ARG_CHAR_ARRAY, ARG_FLOAT32, ARG_FLOAT32_ARRAY, ARG_FLOAT64, ARG_FLOAT64_ARRAY,
    ARG_INT32, ARG_INT32_ARRAY, ARG_INT64, ARG_STRING, ARG_UCHAR_ARRAY, ARG_UINT8, ArgType,
};
use crate::op::{
    OP_BLAS_SGEMM, OP_EXEC, OP_EXEC_WITH_RESOURCE, OP_FPGA_ARRAYCOPY, OP_FPGA_MMULT,
    OP_FPGA_PARALLEL, OP_FPGA_VECTORADD, OP_IMAGE_CLASSIFY, OP_IMAGE_DEPTH, OP_IMAGE_DETECT,
    OP_IMAGE_POSE, OP_IMAGE_SEGMENT, OP_MINMAX, OP_MODEL_INFO, OP_MODEL_LOAD, OP_MODEL_RUN,
    OP_MODEL_UNLOAD, OP_NOOP, OP_OPENCV, OP_TF_MODEL_LOAD, OP_TF_MODEL_RUN, OP_TF_MODEL_UNLOAD,
    OP_TFLITE_MODEL_LOAD, OP_TFLITE_MODEL_RUN, OP_TFLITE_MODEL_UNLOAD, OP_TORCH_MODEL_LOAD,
    OP_TORCH_MODEL_RUN, OP_TORCH_SGEMM, OpType,
};

/// What one parameter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Exactly one element of this scalar type.
    Scalar(ArgType),
    /// Any number of elements of this array type.
    Array(ArgType),
    /// A zero-terminated string.
    Text,
    /// Bytes.
    Bytes,
    /// The number of a resource, an `INT64`.
    Resource,
    /// All remaining arguments, each one tensor
    /// ([`CUSTOM_TENSOR`](crate::arg::CUSTOM_TENSOR)).
    Tensors,
    /// All remaining arguments, of any type.
    Rest,
}

impl Kind {
    /// The argument type that carries it, where there is just one.
    #[must_use]
    pub const fn arg_type(self) -> Option<ArgType> {
        match self {
            Self::Scalar(t) | Self::Array(t) => Some(t),
            Self::Text => Some(ARG_STRING),
            Self::Bytes => Some(ARG_BUFFER),
            Self::Resource => Some(ARG_INT64),
            Self::Tensors | Self::Rest => None,
        }
    }
}

/// Which way the bytes of a parameter go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the caller to the operation.
    In,
    /// From the operation to the caller; its old content is not looked at.
    Out,
    /// Both ways: read when `beta` (the factor of C) is not 0.
    InOut,
}

/// One parameter of the generic form.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    /// Name, as in the C prototype.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Which way it goes.
    pub direction: Direction,
    /// May be left out, or be empty with a null pointer.
    pub optional: bool,
}

/// One row of the table.
#[derive(Debug)]
pub struct OpSpec {
    /// Code, also index in `struct vaccel_plugin` when below `OP_MAX`.
    pub code: OpType,
    /// Lower-case name, for policy files, metrics and profiling regions.
    pub name: &'static str,
    /// The C entry point.
    pub function: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Read arguments, in order.
    pub read: &'static [Param],
    /// Write arguments, in order.
    pub write: &'static [Param],
    /// True when argument types are not enforced, only sizes (callers of the C
    /// library pass these operations all kinds of types).
    pub untyped: bool,
    /// True when running it twice does what running it once does.
    pub idempotent: bool,
}

const fn input(name: &'static str, kind: Kind) -> Param {
    Param {
        name,
        kind,
        direction: Direction::In,
        optional: false,
    }
}
const fn option(name: &'static str, kind: Kind) -> Param {
    Param {
        name,
        kind,
        direction: Direction::In,
        optional: true,
    }
}
const fn output(name: &'static str, kind: Kind) -> Param {
    Param {
        name,
        kind,
        direction: Direction::Out,
        optional: false,
    }
}
const fn output_option(name: &'static str, kind: Kind) -> Param {
    Param {
        name,
        kind,
        direction: Direction::Out,
        optional: true,
    }
}
const fn update(name: &'static str, kind: Kind) -> Param {
    Param {
        name,
        kind,
        direction: Direction::InOut,
        optional: false,
    }
}

const IMAGE: Param = input("image", Kind::Bytes);
const IMAGE_NAME: Param = output_option("out_imgname", Kind::Array(ARG_UCHAR_ARRAY));
const MODEL: Param = input("model", Kind::Resource);
const TF_STATUS: [Param; 2] = [
    output("status_code", Kind::Scalar(ARG_UINT8)),
    output_option("status_message", Kind::Array(ARG_CHAR_ARRAY)),
];
const F32S: Kind = Kind::Array(ARG_FLOAT32_ARRAY);

macro_rules! op {
    ($code:ident, $name:literal, $function:literal, $summary:literal,
     [$($read:expr),* $(,)?] => [$($write:expr),* $(,)?] $(, $flag:ident)*) => {
        OpSpec {
            code: $code,
            name: $name,
            function: $function,
            summary: $summary,
            read: &[$($read),*],
            write: &[$($write),*],
            untyped: false $(|| op!(@untyped $flag))*,
            idempotent: true $(&& !op!(@stateful $flag))*,
        }
    };
    (@untyped untyped) => { true };
    (@untyped stateful) => { false };
    (@stateful stateful) => { true };
    (@stateful untyped) => { false };
}

/// All operations, by code.
pub static OPS: &[OpSpec] = &[
    op!(OP_NOOP, "noop", "vaccel_noop", "Do nothing.", [] => []),
    op!(OP_EXEC, "exec", "vaccel_exec", "Call a function of a shared library named by path.",
        [input("library", Kind::Text), input("symbol", Kind::Text), option("read", Kind::Rest)]
        => [output_option("write", Kind::Rest)], stateful),
    op!(OP_EXEC_WITH_RESOURCE, "exec_with_resource", "vaccel_exec_with_resource",
        "Call a function of a shared library that is a resource.",
        [input("library", Kind::Resource), input("symbol", Kind::Text), option("read", Kind::Rest)]
        => [output_option("write", Kind::Rest)], stateful),
    op!(OP_IMAGE_CLASSIFY, "image_classify", "vaccel_image_classification",
        "Name what a picture shows.",
        [IMAGE] => [IMAGE_NAME, output_option("out_text", Kind::Array(ARG_UCHAR_ARRAY))]),
    op!(OP_IMAGE_DETECT, "image_detect", "vaccel_image_detection",
        "Find the objects in a picture.", [IMAGE] => [IMAGE_NAME]),
    op!(OP_IMAGE_SEGMENT, "image_segment", "vaccel_image_segmentation",
        "Tell the class of every pixel of a picture.", [IMAGE] => [IMAGE_NAME]),
    op!(OP_IMAGE_POSE, "image_pose", "vaccel_image_pose",
        "Find the key points of figures in a picture.", [IMAGE] => [IMAGE_NAME]),
    op!(OP_IMAGE_DEPTH, "image_depth", "vaccel_image_depth",
        "Estimate the distance of every pixel of a picture.", [IMAGE] => [IMAGE_NAME]),
    op!(OP_TF_MODEL_LOAD, "tf_model_load", "vaccel_tf_model_load", "Load a TensorFlow model.",
        [MODEL] => [TF_STATUS[0], TF_STATUS[1]]),
    op!(OP_TF_MODEL_UNLOAD, "tf_model_unload", "vaccel_tf_model_unload",
        "Unload a TensorFlow model.", [MODEL] => [TF_STATUS[0], TF_STATUS[1]], stateful),
    op!(OP_TF_MODEL_RUN, "tf_model_run", "vaccel_tf_model_run",
        "Run a TensorFlow model; tensor names are `node:index`, dtypes TensorFlow's.",
        [MODEL, option("run_options", Kind::Bytes), option("inputs", Kind::Tensors)]
        => [TF_STATUS[0], TF_STATUS[1], output_option("outputs", Kind::Tensors)]),
    op!(OP_TFLITE_MODEL_LOAD, "tflite_model_load", "vaccel_tflite_model_load",
        "Load a TFLite model.", [MODEL] => []),
    op!(OP_TFLITE_MODEL_UNLOAD, "tflite_model_unload", "vaccel_tflite_model_unload",
        "Unload a TFLite model.", [MODEL] => [], stateful),
    op!(OP_TFLITE_MODEL_RUN, "tflite_model_run", "vaccel_tflite_model_run",
        "Run a TFLite model; dtypes are TFLite's.",
        [MODEL, option("inputs", Kind::Tensors)]
        => [output("status", Kind::Scalar(ARG_UINT8)), output_option("outputs", Kind::Tensors)]),
    op!(OP_TORCH_MODEL_LOAD, "torch_model_load", "vaccel_torch_model_load",
        "Load a Torch model.", [MODEL] => []),
    op!(OP_TORCH_MODEL_RUN, "torch_model_run", "vaccel_torch_model_run",
        "Run a Torch model; dtypes are Torch's.",
        [MODEL, option("run_options", Kind::Bytes), option("inputs", Kind::Tensors)]
        => [output_option("outputs", Kind::Tensors)]),
    op!(OP_TORCH_SGEMM, "torch_sgemm", "vaccel_torch_sgemm",
        "Multiply matrices with Torch; the tensors are A, B and C.",
        [input("M", Kind::Scalar(ARG_INT32)), input("N", Kind::Scalar(ARG_INT32)),
         input("K", Kind::Scalar(ARG_INT32)), input("ABC", Kind::Tensors)]
        => [output("out", Kind::Tensors)]),
    op!(OP_BLAS_SGEMM, "sgemm", "vaccel_sgemm", "C = alpha A B + beta C, row-major f32.",
        [input("m", Kind::Scalar(ARG_INT64)), input("n", Kind::Scalar(ARG_INT64)),
         input("k", Kind::Scalar(ARG_INT64)), input("alpha", Kind::Scalar(ARG_FLOAT32)),
         input("a", F32S), input("lda", Kind::Scalar(ARG_INT64)),
         input("b", F32S), input("ldb", Kind::Scalar(ARG_INT64)),
         input("beta", Kind::Scalar(ARG_FLOAT32)), input("ldc", Kind::Scalar(ARG_INT64))]
        => [update("c", F32S)], stateful),
    op!(OP_FPGA_ARRAYCOPY, "fpga_arraycopy", "vaccel_fpga_arraycopy", "Copy an array of int.",
        [input("a", Kind::Array(ARG_INT32_ARRAY))] => [output("out", Kind::Array(ARG_INT32_ARRAY))],
        untyped),
    op!(OP_FPGA_MMULT, "fpga_mmult", "vaccel_fpga_mmult", "Multiply two square matrices.",
        [input("a", F32S), input("b", F32S)] => [output("c", F32S)], untyped),
    op!(OP_FPGA_PARALLEL, "fpga_parallel", "vaccel_fpga_parallel",
        "Add and multiply two arrays.",
        [input("a", F32S), input("b", F32S)] => [output("add_out", F32S), output("mult_out", F32S)],
        untyped),
    op!(OP_FPGA_VECTORADD, "fpga_vadd", "vaccel_fpga_vadd", "Add two arrays.",
        [input("a", F32S), input("b", F32S)] => [output("c", F32S)], untyped),
    op!(OP_MINMAX, "minmax", "vaccel_minmax",
        "Smallest and largest element, and all elements clipped to thresholds.",
        [input("indata", Kind::Array(ARG_FLOAT64_ARRAY)), input("ndata", Kind::Scalar(ARG_INT32)),
         input("low_threshold", Kind::Scalar(ARG_INT32)),
         input("high_threshold", Kind::Scalar(ARG_INT32))]
        => [output("outdata", Kind::Array(ARG_FLOAT64_ARRAY)),
            output("min", Kind::Scalar(ARG_FLOAT64)), output("max", Kind::Scalar(ARG_FLOAT64))],
        untyped),
    op!(OP_OPENCV, "opencv", "vaccel_opencv_unpack", "Call an OpenCV function.",
        [input("read", Kind::Rest)] => [output_option("write", Kind::Rest)], untyped, stateful),
    op!(OP_MODEL_LOAD, "model_load", "vaccel_model_load", "Load a model of any format.",
        [MODEL, option("options", Kind::Text)] => []),
    op!(OP_MODEL_UNLOAD, "model_unload", "vaccel_model_unload", "Unload a model.",
        [MODEL] => [], stateful),
    op!(OP_MODEL_RUN, "model_run", "vaccel_model_run", "Run a model on named tensors.",
        [MODEL, option("inputs", Kind::Tensors)] => [output_option("outputs", Kind::Tensors)]),
    op!(OP_MODEL_INFO, "model_info", "vaccel_model_info",
        "Describe a loaded model; the output is one u8 tensor of JSON.",
        [MODEL] => [output("info", Kind::Tensors)]),
];

/// The place of a code in [`OPS`].
#[must_use]
pub fn position(code: OpType) -> Option<usize> {
    let at = code as usize;
    match OPS.get(at) {
        Some(spec) if spec.code == code => Some(at),
        _ => OPS.iter().position(|spec| spec.code == code),
    }
}

/// The row of a code.
#[must_use]
pub fn find(code: OpType) -> Option<&'static OpSpec> {
    position(code).map(|at| &OPS[at])
}

/// The row of a name.
#[must_use]
pub fn find_by_name(name: &str) -> Option<&'static OpSpec> {
    OPS.iter().find(|spec| spec.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::OP_MAX;

    #[test]
    fn codes_below_op_max_are_indices() {
        for code in 0..OP_MAX {
            assert_eq!(OPS[code as usize].code, code);
        }
    }

    #[test]
    fn open_ended_parameters_come_last() {
        for spec in OPS {
            for list in [spec.read, spec.write] {
                for (i, p) in list.iter().enumerate() {
                    if matches!(p.kind, Kind::Tensors | Kind::Rest) {
                        assert_eq!(i + 1, list.len(), "{}: {}", spec.name, p.name);
                    }
                }
            }
        }
    }

    #[test]
    fn names_and_codes_are_unique() {
        for (i, a) in OPS.iter().enumerate() {
            for b in &OPS[..i] {
                assert!(a.code != b.code && a.name != b.name && a.function != b.function);
            }
        }
    }
}
