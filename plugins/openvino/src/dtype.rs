//! Element types by OpenVINO's numbers (`ov_element_type_e` from version 2026 on).

use vaccel_inference::Types;
use vaccel_plugin::Dtype;

pub(crate) const TYPES: Types = Types {
    known: &[
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
    ],
    other: |number| match number {
        0 => "of an open type",
        23 => "string",
        _ => "of another type",
    },
};
