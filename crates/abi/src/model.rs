//! The framework-neutral model API: named tensors of any type.

use libc::{c_char, c_void, size_t};

/// `vaccel_dtype_t`; one of the `DTYPE_*` constants.
pub type Dtype = u32;

macro_rules! dtypes {
    ($($name:ident = $value:literal, $text:literal, $bits:literal;)*) => {
        $(#[doc = concat!("`", $text, "`, ", $bits, " bits an element.")] pub const $name: Dtype = $value;)*

        /// Short name of a type as used in text and JSON, for example `f32`.
        #[must_use]
        pub const fn dtype_name(t: Dtype) -> &'static str {
            match t { $($value => $text,)* _ => "unknown" }
        }

        /// The type of a short name.
        #[must_use]
        pub fn dtype_from_name(name: &str) -> Option<Dtype> {
            match name { $($text => Some($value),)* _ => None }
        }

        /// Bits of one element; `None` for an unknown type.
        #[must_use]
        pub const fn dtype_bits(t: Dtype) -> Option<usize> {
            match t { $($value => Some($bits),)* _ => None }
        }
    };
}

dtypes! {
    DTYPE_F32 = 1, "f32", 32;
    DTYPE_F64 = 2, "f64", 64;
    DTYPE_F16 = 3, "f16", 16;
    DTYPE_BF16 = 4, "bf16", 16;
    DTYPE_I8 = 5, "i8", 8;
    DTYPE_U8 = 6, "u8", 8;
    DTYPE_I16 = 7, "i16", 16;
    DTYPE_U16 = 8, "u16", 16;
    DTYPE_I32 = 9, "i32", 32;
    DTYPE_U32 = 10, "u32", 32;
    DTYPE_I64 = 11, "i64", 64;
    DTYPE_U64 = 12, "u64", 64;
    DTYPE_BOOL = 13, "bool", 8;
    DTYPE_I4 = 14, "i4", 4;
    DTYPE_U4 = 15, "u4", 4;
}
/// Not set. As the type of an output: the model's own.
pub const DTYPE_UNDEFINED: Dtype = 0;
/// One past the last type.
pub const DTYPE_MAX: Dtype = 16;

/// Largest rank of a tensor.
pub const TENSOR_MAX_RANK: usize = 8;

/// `data` was allocated with malloc by the library or a plugin and is freed by
/// `vaccel_tensor_release`.
pub const TENSOR_OWNED: u32 = 1;

/// An output with this flag stays where it was computed: on return `handle` is its
/// number and there is no data. `vaccel_tensor_release` frees it.
pub const TENSOR_KEEP: u32 = 2;

/// Bytes of `dims` elements of a type, row-major without padding. Elements of
/// 4 bits are packed two to a byte, the earlier one in the low half, and the
/// last byte is filled up. `None` when a dimension is negative, the type is
/// unknown or the number overflows.
#[must_use]
pub fn tensor_bytes(dtype: Dtype, dims: &[i64]) -> Option<usize> {
    let bits = dtype_bits(dtype)?;
    let mut count: usize = 1;
    for &d in dims {
        count = count.checked_mul(usize::try_from(d).ok()?)?;
    }
    if bits >= 8 {
        count.checked_mul(bits / 8)
    } else {
        Some(count.div_ceil(8 / bits))
    }
}

/// A dense tensor: type, shape and row-major bytes.
///
/// As an **input**, `data` and `size` are the caller's and only read; `name`
/// may be null, then the position counts.
///
/// As an **output**, `name` chooses the output (null: by position). With `data`
/// null, the library allocates `data` and sets [`TENSOR_OWNED`]. Otherwise the
/// result is written to the caller's `data`, whose capacity is `size`; too
/// little is `ERANGE` and `size` says what is needed. In both cases `dtype`,
/// `rank`, `dims` and `size` say on return what was written.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct vaccel_tensor {
    /// Name of the model's input or output; borrowed; may be null.
    pub name: *const c_char,
    /// One of the `DTYPE_*` constants.
    pub dtype: Dtype,
    /// Number of dimensions, at most [`TENSOR_MAX_RANK`].
    pub rank: u32,
    /// Their lengths; entries from `rank` on are 0.
    pub dims: [i64; TENSOR_MAX_RANK],
    /// The elements.
    pub data: *mut c_void,
    /// Bytes at `data`.
    pub size: size_t,
    /// [`TENSOR_OWNED`], [`TENSOR_KEEP`] or 0.
    pub flags: u32,
    /// 0.
    pub reserved: u32,
    /// Number of a tensor that stayed where it was computed, or 0. An input with one
    /// has no data.
    pub handle: u64,
}

impl vaccel_tensor {
    /// A tensor with nothing in it: what an output is before the call.
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            name: core::ptr::null(),
            dtype: DTYPE_UNDEFINED,
            rank: 0,
            dims: [0; TENSOR_MAX_RANK],
            data: core::ptr::null_mut(),
            size: 0,
            flags: 0,
            reserved: 0,
            handle: 0,
        }
    }

    /// The lengths of the dimensions, at most [`TENSOR_MAX_RANK`] of them.
    #[must_use]
    pub fn shape(&self) -> &[i64] {
        &self.dims[..(self.rank as usize).min(TENSOR_MAX_RANK)]
    }
}

/// Name, type and shape of a model's input or output.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct vaccel_tensor_info {
    /// Name; malloc'ed.
    pub name: *mut c_char,
    /// One of the `DTYPE_*` constants, [`DTYPE_UNDEFINED`] when not known.
    pub dtype: Dtype,
    /// Number of dimensions.
    pub rank: u32,
    /// Their lengths; -1 where any length will do.
    pub dims: [i64; TENSOR_MAX_RANK],
}

/// What a backend knows of a loaded model. Everything malloc'ed; freed by
/// `vaccel_model_info_release`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct vaccel_model_info {
    /// Format: `onnx`, `torchscript`, `savedmodel`, `graphdef`, `tflite`.
    pub format: *mut c_char,
    /// Name of the backend that loaded it.
    pub backend: *mut c_char,
    /// Further facts as a JSON object, or null.
    pub metadata: *mut c_char,
    /// `nr_inputs` entries.
    pub inputs: *mut vaccel_tensor_info,
    /// Number of inputs.
    pub nr_inputs: size_t,
    /// `nr_outputs` entries.
    pub outputs: *mut vaccel_tensor_info,
    /// Number of outputs.
    pub nr_outputs: size_t,
}

impl vaccel_model_info {
    /// Nothing known.
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            format: core::ptr::null_mut(),
            backend: core::ptr::null_mut(),
            metadata: core::ptr::null_mut(),
            inputs: core::ptr::null_mut(),
            nr_inputs: 0,
            outputs: core::ptr::null_mut(),
            nr_outputs: 0,
        }
    }
}
