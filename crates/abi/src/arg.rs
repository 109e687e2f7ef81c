//! Arguments of generic operations: a pointer, a size and a type.

use crate::CResult;
use libc::{c_uint, c_void, size_t};

/// `vaccel_arg_type_t`; one of the `ARG_*` constants.
pub type ArgType = u32;

macro_rules! arg_types {
    ($($name:ident = $value:literal, $text:literal;)*) => {
        $(#[doc = $text] pub const $name: ArgType = $value;)*

        /// The C name of a type, for example `VACCEL_ARG_INT64_ARRAY`.
        #[must_use]
        pub const fn name(t: ArgType) -> &'static str {
            match t {
                $($value => concat!("VACCEL_", stringify!($name)),)*
                _ => "unknown",
            }
        }
    };
}

arg_types! {
    ARG_RAW = 0, "untyped bytes";
    ARG_INT8 = 1, "one i8";
    ARG_INT8_ARRAY = 2, "array of i8";
    ARG_INT16 = 3, "one i16";
    ARG_INT16_ARRAY = 4, "array of i16";
    ARG_INT32 = 5, "one i32";
    ARG_INT32_ARRAY = 6, "array of i32";
    ARG_INT64 = 7, "one i64";
    ARG_INT64_ARRAY = 8, "array of i64";
    ARG_UINT8 = 9, "one u8";
    ARG_UINT8_ARRAY = 10, "array of u8";
    ARG_UINT16 = 11, "one u16";
    ARG_UINT16_ARRAY = 12, "array of u16";
    ARG_UINT32 = 13, "one u32";
    ARG_UINT32_ARRAY = 14, "array of u32";
    ARG_UINT64 = 15, "one u64";
    ARG_UINT64_ARRAY = 16, "array of u64";
    ARG_FLOAT32 = 17, "one f32";
    ARG_FLOAT32_ARRAY = 18, "array of f32";
    ARG_FLOAT64 = 19, "one f64";
    ARG_FLOAT64_ARRAY = 20, "array of f64";
    ARG_BOOL = 21, "one bool (one byte)";
    ARG_BOOL_ARRAY = 22, "array of bool";
    ARG_CHAR = 23, "one char";
    ARG_CHAR_ARRAY = 24, "array of char";
    ARG_UCHAR = 25, "one unsigned char";
    ARG_UCHAR_ARRAY = 26, "array of unsigned char";
    ARG_STRING = 27, "string with its terminating zero counted in the size";
    ARG_BUFFER = 28, "opaque bytes";
    ARG_CUSTOM = 29, "bytes with a type number of the application";
}
/// One past the last type.
pub const ARG_MAX: ArgType = 30;

/// `custom_type_id` of an [`ARG_CUSTOM`] argument whose buffer is one
/// [`vaccel_tensor`](crate::model::vaccel_tensor): how model operations travel
/// in generic form.
pub const CUSTOM_TENSOR: u32 = 0x5445_4e53;

/// Bytes of one element of a scalar or array type; 1 for untyped ones.
#[must_use]
pub const fn element_size(t: ArgType) -> usize {
    match t {
        ARG_INT16 | ARG_INT16_ARRAY | ARG_UINT16 | ARG_UINT16_ARRAY => 2,
        ARG_INT32 | ARG_INT32_ARRAY | ARG_UINT32 | ARG_UINT32_ARRAY | ARG_FLOAT32
        | ARG_FLOAT32_ARRAY => 4,
        ARG_INT64 | ARG_INT64_ARRAY | ARG_UINT64 | ARG_UINT64_ARRAY | ARG_FLOAT64
        | ARG_FLOAT64_ARRAY => 8,
        _ => 1,
    }
}

/// True for the types that hold exactly one element.
#[must_use]
pub const fn is_scalar(t: ArgType) -> bool {
    t >= ARG_INT8 && t <= ARG_UCHAR && t % 2 == 1
}

/// One argument.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct vaccel_arg {
    /// The bytes.
    pub buf: *mut c_void,
    /// Their number.
    pub size: size_t,
    /// One of the `ARG_*` constants.
    pub type_: ArgType,
    /// The application's number for an [`ARG_CUSTOM`] argument, else 0.
    pub custom_type_id: u32,
    /// True when the buffer is freed (libc `free`) with the argument.
    pub owned: bool,
}

/// A growing or wrapped array of arguments with a read position.
#[repr(C)]
#[derive(Debug)]
#[allow(non_camel_case_types)]
pub struct vaccel_arg_array {
    /// `capacity` arguments, the first `count` of them set.
    pub args: *mut vaccel_arg,
    /// How many are set.
    pub count: size_t,
    /// How many there is room for.
    pub capacity: size_t,
    /// Index of the next one to get.
    pub position: size_t,
    /// True when `args` belongs to this array.
    pub owned: bool,
}

/// Deprecated list of arguments.
#[repr(C)]
#[derive(Debug)]
#[allow(non_camel_case_types)]
pub struct vaccel_arg_list {
    /// Room for this many.
    pub size: c_uint,
    /// The arguments.
    pub list: *mut vaccel_arg,
    /// Index of the next one to set.
    pub curr_idx: libc::c_int,
    /// One flag for each: 1 when its buffer was allocated by the list.
    pub idcs_allocated_space: *mut libc::c_int,
}

/// Checks that a buffer holds a value of a custom type: 0 when it does.
pub type ArgTypeValidatorFn = Option<unsafe extern "C" fn(u32, *const c_void, size_t) -> CResult>;
/// Turns a structure into bytes: `(data, size, out_buf, out_size)`.
pub type ArgSerializerFn =
    Option<unsafe extern "C" fn(*const c_void, size_t, *mut *mut c_void, *mut size_t) -> CResult>;
/// Turns bytes into a structure: `(buf, size, out, out_size)`.
pub type ArgDeserializerFn =
    Option<unsafe extern "C" fn(*const c_void, size_t, *mut c_void, size_t) -> CResult>;
