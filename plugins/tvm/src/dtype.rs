//! Element types by DLPack's codes and bits.

use vaccel_plugin::Dtype;

const TYPES: &[(u8, u8, Dtype)] = &[
    (0, 8, Dtype::I8),
    (0, 16, Dtype::I16),
    (0, 32, Dtype::I32),
    (0, 64, Dtype::I64),
    (1, 8, Dtype::U8),
    (1, 16, Dtype::U16),
    (1, 32, Dtype::U32),
    (1, 64, Dtype::U64),
    (2, 16, Dtype::F16),
    (2, 32, Dtype::F32),
    (2, 64, Dtype::F64),
    (4, 16, Dtype::Bf16),
    (6, 8, Dtype::Bool),
];

/// Our type; `None` for one that no tensor of ours has.
pub(crate) fn from_dl(code: u8, bits: u8) -> Option<Dtype> {
    let found = TYPES.iter().find(|(c, b, _)| (*c, *b) == (code, bits));
    found.map(|(_, _, dtype)| *dtype)
}

/// DLPack's code and bits.
pub(crate) fn to_dl(dtype: Dtype) -> Option<(u8, u8)> {
    let found = TYPES.iter().find(|(_, _, ours)| *ours == dtype);
    found.map(|(code, bits, _)| (*code, *bits))
}
