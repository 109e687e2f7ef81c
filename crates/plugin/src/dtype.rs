//! Element types and shapes of tensors.

use crate::error::Result;
use vaccel_abi::model::{self, TENSOR_MAX_RANK};

macro_rules! dtypes {
    ($($name:ident = $code:ident;)*) => {
        /// Type of a tensor's elements.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Dtype {
            $(#[doc = concat!("`", stringify!($code), "`.")] $name,)*
            /// A type of TensorFlow, TFLite or Torch that the neutral API has no
            /// name for, by the framework's own number (a TensorFlow string, say).
            /// It occurs in the calls of that framework only, and the size of
            /// its elements is not known here.
            Native(u32),
        }

        impl Dtype {
            /// Number in the neutral API; `None` for [`Native`](Self::Native).
            #[must_use]
            pub const fn code(self) -> Option<model::Dtype> {
                match self {
                    $(Self::$name => Some(model::$code),)*
                    Self::Native(_) => None,
                }
            }

            /// The type of a number of the neutral API.
            #[must_use]
            pub const fn from_code(code: model::Dtype) -> Option<Self> {
                match code {
                    $(model::$code => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

dtypes! {
    F32 = DTYPE_F32;
    F64 = DTYPE_F64;
    F16 = DTYPE_F16;
    Bf16 = DTYPE_BF16;
    I8 = DTYPE_I8;
    U8 = DTYPE_U8;
    I16 = DTYPE_I16;
    U16 = DTYPE_U16;
    I32 = DTYPE_I32;
    U32 = DTYPE_U32;
    I64 = DTYPE_I64;
    U64 = DTYPE_U64;
    Bool = DTYPE_BOOL;
    I4 = DTYPE_I4;
    U4 = DTYPE_U4;
}

impl Dtype {
    /// Short name, for example `f32`; `native` for the framework's own.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.code() {
            Some(code) => model::dtype_name(code),
            None => "native",
        }
    }

    /// The type of a short name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::from_code(model::dtype_from_name(name)?)
    }

    /// Bytes of a dense tensor of this type and shape, 4-bit elements packed
    /// two to a byte. `None` when a dimension is negative, the number overflows
    /// or the type is [`Native`](Self::Native).
    #[must_use]
    pub fn bytes_for(self, shape: &[i64]) -> Option<usize> {
        model::tensor_bytes(self.code()?, shape)
    }
}

impl std::fmt::Display for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Native(code) => write!(f, "native type {code}"),
            _ => f.write_str(self.name()),
        }
    }
}

/// Lengths of a tensor's dimensions, at most
/// [`TENSOR_MAX_RANK`] of them, none negative.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Shape {
    rank: usize,
    dims: [i64; TENSOR_MAX_RANK],
}

impl Shape {
    /// `EINVAL` when there are too many dimensions or one is negative.
    pub fn new(dims: &[i64]) -> Result<Self> {
        Self::from_dims(dims.len(), dims.iter().copied())
    }

    pub(crate) fn from_dims(rank: usize, dims: impl Iterator<Item = i64>) -> Result<Self> {
        if rank > TENSOR_MAX_RANK {
            crate::bail!(
                EINVAL,
                "a tensor of {rank} dimensions: at most {TENSOR_MAX_RANK} are supported"
            );
        }
        let mut shape = Self {
            rank,
            ..Self::default()
        };
        for (slot, dim) in shape.dims.iter_mut().zip(dims) {
            if dim < 0 {
                crate::bail!(EINVAL, "a tensor dimension of {dim}: it cannot be negative");
            }
            *slot = dim;
        }
        Ok(shape)
    }

    /// The lengths.
    #[must_use]
    pub fn dims(&self) -> &[i64] {
        &self.dims[..self.rank]
    }

    pub(crate) fn padded(&self) -> [i64; TENSOR_MAX_RANK] {
        self.dims
    }
}

impl std::fmt::Debug for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.dims().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_neutral_code_has_its_type_and_name() {
        for code in 1..model::DTYPE_MAX {
            let dtype = Dtype::from_code(code).unwrap();
            assert_eq!(dtype.code(), Some(code));
            assert_eq!(Dtype::from_name(dtype.name()), Some(dtype));
        }
        assert_eq!(Dtype::from_code(0), None);
        assert_eq!(Dtype::from_code(model::DTYPE_MAX), None);
        assert_eq!(Dtype::from_name("native"), None);
    }

    #[test]
    fn shapes_of_nine_or_negative_dimensions_are_refused() {
        assert!(Shape::new(&[1; 9]).is_err());
        assert!(Shape::new(&[2, -1]).is_err());
        assert_eq!(Shape::new(&[2, 0, 3]).unwrap().dims(), &[2, 0, 3]);
    }
}
