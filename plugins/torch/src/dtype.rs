//! Element types by torch's numbers (`c10::ScalarType`).

use vaccel_plugin::Dtype;

const TYPES: &[(i32, Dtype)] = &[
    (0, Dtype::U8),
    (1, Dtype::I8),
    (2, Dtype::I16),
    (3, Dtype::I32),
    (4, Dtype::I64),
    (5, Dtype::F16),
    (6, Dtype::F32),
    (7, Dtype::F64),
    (11, Dtype::Bool),
    (15, Dtype::Bf16),
];

/// Our type of torch's number; `None` for complex and quantised ones.
pub(crate) fn from_number(number: i32) -> Option<Dtype> {
    let found = TYPES.iter().find(|(theirs, _)| *theirs == number);
    found.map(|(_, ours)| *ours)
}

/// Torch's number of our type.
pub(crate) fn to_number(dtype: Dtype) -> Option<i32> {
    let found = TYPES.iter().find(|(_, ours)| *ours == dtype);
    found.map(|(theirs, _)| *theirs)
}

/// What errors call a type that no tensor of ours has.
pub(crate) fn name_of(number: i32) -> &'static str {
    match number {
        8..=10 => "complex",
        12..=14 | 16 | 17 => "quantised",
        _ => "of another type",
    }
}
