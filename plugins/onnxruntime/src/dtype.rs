//! Element types by ONNX Runtime's numbers (`ONNXTensorElementDataType`).

use ort_sys::ONNXTensorElementDataType as Type;
use vaccel_plugin::Dtype;

const TYPES: &[(Type, Dtype)] = &[
    (Type::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, Dtype::F32),
    (Type::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, Dtype::U8),
    (Type::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8, Dtype::I8),
    (Type::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16, Dtype::U16),
    (Type::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16, Dtype::I16),
    (Type::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, Dtype::I32),
    (Type::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, Dtype::I64),
    (Type::ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL, Dtype::Bool),
    (Type::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16, Dtype::F16),
    (Type::ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE, Dtype::F64),
    (Type::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32, Dtype::U32),
    (Type::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64, Dtype::U64),
    (Type::ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16, Dtype::Bf16),
    (Type::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT4, Dtype::U4),
    (Type::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT4, Dtype::I4),
];

/// Our type of the runtime's number; `None` for strings and the like.
pub(crate) fn from_number(number: i32) -> Option<Dtype> {
    let found = TYPES.iter().find(|(theirs, _)| *theirs as i32 == number);
    found.map(|(_, ours)| *ours)
}

/// The runtime's type of ours.
pub(crate) fn to_runtime(dtype: Dtype) -> Option<Type> {
    let found = TYPES.iter().find(|(_, ours)| *ours == dtype);
    found.map(|(theirs, _)| *theirs)
}

/// What errors call a type that no tensor of ours has.
pub(crate) fn name_of(number: i32) -> &'static str {
    match number {
        8 => "string",
        14 | 15 => "complex",
        17..=20 | 26 => "float8",
        23 => "float4",
        _ => "of another type",
    }
}
