//! Element types by TensorFlow Lite's numbers (`TfLiteType`).

use vaccel_plugin::Dtype;

/// Our type of the runtime's number; `None` for strings, complex numbers and handles.
pub(crate) fn from_number(number: i32) -> Option<Dtype> {
    Some(match number {
        1 => Dtype::F32,
        2 => Dtype::I32,
        3 => Dtype::U8,
        4 => Dtype::I64,
        6 => Dtype::Bool,
        7 => Dtype::I16,
        9 => Dtype::I8,
        10 => Dtype::F16,
        11 => Dtype::F64,
        13 => Dtype::U64,
        16 => Dtype::U32,
        17 => Dtype::U16,
        18 => Dtype::I4,
        19 => Dtype::Bf16,
        _ => return None,
    })
}

/// What errors call a type that no tensor of ours has.
pub(crate) fn name_of(number: i32) -> &'static str {
    match number {
        5 => "string",
        8 | 12 => "complex",
        14 => "resource",
        15 => "variant",
        _ => "of another type",
    }
}
