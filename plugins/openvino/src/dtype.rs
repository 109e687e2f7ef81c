//! Element types by OpenVINO's numbers (`ov_element_type_e` from version 2026 on).

use vaccel_plugin::Dtype;

const TYPES: &[(i32, Dtype)] = &[
    (1, Dtype::Bool),
    (2, Dtype::Bf16),
    (3, Dtype::F16),
    (4, Dtype::F32),
    (5, Dtype::F64),
    (6, Dtype::I4),
    (7, Dtype::I8),
    (8, Dtype::I16),
    (9, Dtype::I32),
    (10, Dtype::I64),
    (14, Dtype::U4),
    (16, Dtype::U8),
    (17, Dtype::U16),
    (18, Dtype::U32),
    (19, Dtype::U64),
];

/// Our type of the runtime's number; `None` for strings, open types and small floats.
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
        0 => "of an open type",
        23 => "string",
        _ => "of another type",
    }
}
