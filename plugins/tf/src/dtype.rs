//! Element types by TensorFlow's numbers (`TF_DataType`).

use vaccel_plugin::Dtype;

const TYPES: &[(i32, Dtype)] = &[
    (1, Dtype::F32),
    (2, Dtype::F64),
    (3, Dtype::I32),
    (4, Dtype::U8),
    (5, Dtype::I16),
    (6, Dtype::I8),
    (9, Dtype::I64),
    (10, Dtype::Bool),
    (14, Dtype::Bf16),
    (17, Dtype::U16),
    (19, Dtype::F16),
    (22, Dtype::U32),
    (23, Dtype::U64),
];

/// Our type of the runtime's number; `None` for strings, handles and the like.
pub(crate) fn from_number(number: i32) -> Option<Dtype> {
    let found = TYPES.iter().find(|(theirs, _)| *theirs == number);
    found.map(|(_, ours)| *ours)
}

/// The runtime's number of our type.
pub(crate) fn to_number(dtype: Dtype) -> Option<i32> {
    let found = TYPES.iter().find(|(_, ours)| *ours == dtype);
    found.map(|(theirs, _)| *theirs)
}

/// What errors call a type that no tensor of ours has.
pub(crate) fn name_of(number: i32) -> &'static str {
    match number {
        7 => "string",
        8 | 18 => "complex",
        11 | 12 | 13 | 15 | 16 => "quantised",
        20 => "resource",
        21 => "variant",
        _ => "of another type",
    }
}
