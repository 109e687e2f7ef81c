//! Numbers that are one argument.

use vaccel_abi::arg::{
    ARG_BOOL, ARG_FLOAT32, ARG_FLOAT64, ARG_INT8, ARG_INT16, ARG_INT32, ARG_INT64, ARG_UINT8,
    ARG_UINT16, ARG_UINT32, ARG_UINT64, ArgType,
};

mod sealed {
    pub trait Sealed {}
}

/// A number with an argument type of its own.
pub trait Scalar: Copy + sealed::Sealed {
    /// Its argument type.
    const TYPE: ArgType;
    /// Its bytes, at most 8.
    const SIZE: usize;
    /// The bytes, little-endian, at the beginning of the array.
    fn to_bytes(self) -> [u8; 8];
    /// The number from [`SIZE`](Self::SIZE) bytes; `None` for another length.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

macro_rules! scalars {
    ($($t:ty => $arg:ident,)*) => {
        $(impl sealed::Sealed for $t {}
        impl Scalar for $t {
            const TYPE: ArgType = $arg;
            const SIZE: usize = size_of::<$t>();
            fn to_bytes(self) -> [u8; 8] {
                let mut out = [0; 8];
                out[..Self::SIZE].copy_from_slice(&self.to_le_bytes());
                out
            }
            fn from_bytes(bytes: &[u8]) -> Option<Self> {
                Some(Self::from_le_bytes(bytes.try_into().ok()?))
            }
        })*
    };
}

scalars! {
    i8 => ARG_INT8,
    i16 => ARG_INT16,
    i32 => ARG_INT32,
    i64 => ARG_INT64,
    u8 => ARG_UINT8,
    u16 => ARG_UINT16,
    u32 => ARG_UINT32,
    u64 => ARG_UINT64,
    f32 => ARG_FLOAT32,
    f64 => ARG_FLOAT64,
}

impl sealed::Sealed for bool {}
impl Scalar for bool {
    const TYPE: ArgType = ARG_BOOL;
    const SIZE: usize = 1;
    fn to_bytes(self) -> [u8; 8] {
        u8::from(self).to_bytes()
    }
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        u8::from_bytes(bytes).map(|b| b != 0)
    }
}
