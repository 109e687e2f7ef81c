//! Element types by TensorFlow's numbers (`TF_DataType`).

use vaccel_inference::Types;
use vaccel_plugin::Dtype;

pub(crate) const TYPES: Types = Types {
    known: &[
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
    ],
    other: |number| match number {
        7 => "string",
        8 | 18 => "complex",
        11 | 12 | 13 | 15 | 16 => "quantised",
        20 => "resource",
        21 => "variant",
        _ => "of another type",
    },
};
