//! Element types by TensorFlow Lite's numbers (`TfLiteType`).

use vaccel_inference::Types;
use vaccel_plugin::Dtype;

pub(crate) const TYPES: Types = Types {
    known: &[
        (1, Dtype::F32),
        (2, Dtype::I32),
        (3, Dtype::U8),
        (4, Dtype::I64),
        (6, Dtype::Bool),
        (7, Dtype::I16),
        (9, Dtype::I8),
        (10, Dtype::F16),
        (11, Dtype::F64),
        (13, Dtype::U64),
        (16, Dtype::U32),
        (17, Dtype::U16),
        (18, Dtype::I4),
        (19, Dtype::Bf16),
    ],
    other: |number| match number {
        5 => "string",
        8 | 12 => "complex",
        14 => "resource",
        15 => "variant",
        _ => "of another type",
    },
};
