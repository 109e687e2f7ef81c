//! Tensors: what goes into a model and comes out of it.

use std::fmt;
use std::ptr::{self, NonNull};

use vaccel_abi::model::{
    self, DTYPE_BF16, DTYPE_BOOL, DTYPE_F16, DTYPE_F32, DTYPE_F64, DTYPE_I4, DTYPE_I8, DTYPE_I16,
    DTYPE_I32, DTYPE_I64, DTYPE_U4, DTYPE_U8, DTYPE_U16, DTYPE_U32, DTYPE_U64, TENSOR_MAX_RANK,
    TENSOR_OWNED, vaccel_tensor,
};

use crate::arg::Element;
use crate::error::{Error, Result};
use crate::storage::Storage;

/// Type of the elements of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names say it
pub enum Dtype {
    F32,
    F64,
    F16,
    Bf16,
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    /// One byte, 0 or 1.
    Bool,
    /// Two to a byte, the earlier one in the low half.
    I4,
    /// Two to a byte, the earlier one in the low half.
    U4,
}

/// All types, with their numbers in C.
const DTYPES: [(Dtype, u32); 15] = [
    (Dtype::F32, DTYPE_F32),
    (Dtype::F64, DTYPE_F64),
    (Dtype::F16, DTYPE_F16),
    (Dtype::Bf16, DTYPE_BF16),
    (Dtype::I8, DTYPE_I8),
    (Dtype::U8, DTYPE_U8),
    (Dtype::I16, DTYPE_I16),
    (Dtype::U16, DTYPE_U16),
    (Dtype::I32, DTYPE_I32),
    (Dtype::U32, DTYPE_U32),
    (Dtype::I64, DTYPE_I64),
    (Dtype::U64, DTYPE_U64),
    (Dtype::Bool, DTYPE_BOOL),
    (Dtype::I4, DTYPE_I4),
    (Dtype::U4, DTYPE_U4),
];

impl Dtype {
    /// The number of C.
    #[must_use]
    pub fn as_raw(self) -> u32 {
        // The table is in the order of the enum.
        DTYPES[self as usize].1
    }

    /// The type of a number of C; `None` when there is none.
    #[must_use]
    pub fn from_raw(raw: u32) -> Option<Self> {
        DTYPES
            .iter()
            .find(|(_, r)| *r == raw)
            .map(|(dtype, _)| *dtype)
    }

    /// Short name, for example `f32`.
    #[must_use]
    pub fn name(self) -> &'static str {
        model::dtype_name(self.as_raw())
    }

    /// The type of a short name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        model::dtype_from_name(name).and_then(Self::from_raw)
    }

    /// Bytes of `shape` elements; `None` when that overflows.
    #[must_use]
    pub fn bytes(self, shape: &[usize]) -> Option<usize> {
        let dims = dims(shape)?;
        model::tensor_bytes(self.as_raw(), &dims)
    }

    /// Bytes an element must be aligned to.
    pub(crate) fn alignment(self) -> usize {
        match model::dtype_bits(self.as_raw()) {
            Some(bits) => (bits / 8).max(1),
            None => 1,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl serde::Serialize for Dtype {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Numbers a tensor may hold.
pub trait Number: Element {
    /// The type of a tensor made from a slice of them.
    const DTYPE: Dtype;

    /// True when elements of `dtype` may be looked at as this type: the type itself,
    /// `u16` for the bits of `f16` and `bf16`, `u8` for `bool` and packed types.
    #[must_use]
    fn reads(dtype: Dtype) -> bool {
        dtype == Self::DTYPE
            || match Self::DTYPE {
                Dtype::U16 => matches!(dtype, Dtype::F16 | Dtype::Bf16),
                Dtype::U8 => matches!(dtype, Dtype::Bool | Dtype::I4 | Dtype::U4),
                _ => false,
            }
    }
}

macro_rules! numbers {
    ($($t:ty: $dtype:ident;)*) => {
        $(impl Number for $t { const DTYPE: Dtype = Dtype::$dtype; })*
    };
}
numbers! {
    f32: F32; f64: F64; i8: I8; u8: U8; i16: I16; u16: U16; i32: I32; u32: U32; i64: I64; u64: U64;
}

/// A dense tensor: type, shape and row-major elements in the byte order of the machine.
pub struct Tensor {
    dtype: Dtype,
    shape: Vec<usize>,
    data: Storage,
}

impl Tensor {
    /// A tensor of numbers; the vector is taken over, not copied.
    ///
    /// # Errors
    /// `EINVAL` when the vector does not have as many elements as the shape says, or
    /// the shape has more than 8 dimensions.
    pub fn new<T: Number>(shape: &[usize], values: Vec<T>) -> Result<Self> {
        check(T::DTYPE, shape, size_of_val(values.as_slice()))?;
        Ok(Self {
            dtype: T::DTYPE,
            shape: shape.to_vec(),
            data: Storage::from_vec(values),
        })
    }

    /// A tensor with a copy of a slice.
    ///
    /// # Errors
    /// As [`Tensor::new`].
    pub fn from_slice<T: Number>(shape: &[usize], values: &[T]) -> Result<Self> {
        Self::new(shape, values.to_vec())
    }

    /// A tensor of any type from its bytes; half-precision numbers, truth values
    /// and packed types are made this way.
    ///
    /// # Errors
    /// `EINVAL` when there are not as many bytes as type and shape ask for.
    pub fn from_bytes(dtype: Dtype, shape: &[usize], bytes: Vec<u8>) -> Result<Self> {
        check(dtype, shape, bytes.len())?;
        let data = if bytes.as_ptr().align_offset(dtype.alignment()) == 0 {
            Storage::from_vec(bytes)
        } else {
            aligned_copy(&bytes)
        };
        Ok(Self {
            dtype,
            shape: shape.to_vec(),
            data,
        })
    }

    /// A tensor of half-precision numbers given by their bits.
    ///
    /// # Errors
    /// As [`Tensor::new`].
    pub fn from_f16_bits(shape: &[usize], bits: Vec<u16>) -> Result<Self> {
        Ok(Self {
            dtype: Dtype::F16,
            ..Self::new(shape, bits)?
        })
    }

    /// A tensor of truth values.
    ///
    /// # Errors
    /// As [`Tensor::new`].
    pub fn from_bools(shape: &[usize], values: &[bool]) -> Result<Self> {
        let bytes = values.iter().map(|&value| u8::from(value)).collect();
        Self::from_bytes(Dtype::Bool, shape, bytes)
    }

    /// Type of the elements.
    #[must_use]
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Lengths of the dimensions, the slowest first; empty for a single number.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True when there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// The bytes of the elements.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.data.as_bytes()
    }

    /// The elements, in place; which types may be asked for says [`Number::reads`].
    ///
    /// # Errors
    /// `EINVAL` when the tensor holds another type.
    pub fn as_slice<T: Number>(&self) -> Result<&[T]> {
        self.check_type::<T>()?;
        // SAFETY: every value of `T` is valid, and what is not aligned falls out
        // into the first part, which the check below finds.
        let (before, values, after) = unsafe { self.data.as_bytes().align_to::<T>() };
        if before.is_empty() && after.is_empty() {
            Ok(values)
        } else {
            Err(Error::invalid(format!(
                "the tensor is not aligned to {}",
                T::DTYPE
            )))
        }
    }

    /// As [`Tensor::as_slice`], to write to.
    ///
    /// # Errors
    /// As [`Tensor::as_slice`].
    pub fn as_mut_slice<T: Number>(&mut self) -> Result<&mut [T]> {
        self.check_type::<T>()?;
        // SAFETY: as in `as_slice`.
        let (before, values, after) = unsafe { self.data.as_bytes_mut().align_to_mut::<T>() };
        if before.is_empty() && after.is_empty() {
            Ok(values)
        } else {
            Err(Error::invalid(format!(
                "the tensor is not aligned to {}",
                T::DTYPE
            )))
        }
    }

    fn check_type<T: Number>(&self) -> Result<()> {
        if T::reads(self.dtype) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the tensor holds {}, not {}",
            self.dtype,
            T::DTYPE
        )))
    }

    /// The C structure of this tensor as an input; it borrows the tensor's bytes.
    pub(crate) fn as_raw(&self, name: *const std::ffi::c_char) -> vaccel_tensor {
        let mut raw = vaccel_tensor::empty();
        raw.name = name;
        raw.dtype = self.dtype.as_raw();
        for (dim, &length) in raw.dims.iter_mut().zip(&self.shape) {
            // The constructors have checked that every length fits.
            *dim = i64::try_from(length).unwrap_or(i64::MAX);
        }
        // The constructors allow no more than 8 dimensions.
        raw.rank = u32::try_from(self.shape.len()).unwrap_or(0);
        raw.data = self.bytes().as_ptr().cast_mut().cast();
        raw.size = self.bytes().len();
        raw
    }

    /// Takes over a tensor that the library allocated; `raw` is left without data.
    ///
    /// # Safety
    /// `raw` must be an output of a successful call: with `TENSOR_OWNED`, `data`
    /// holds `size` initialised bytes from malloc.
    pub(crate) unsafe fn from_raw(raw: &mut vaccel_tensor) -> Result<Self> {
        let dtype = Dtype::from_raw(raw.dtype).ok_or_else(|| {
            Error::invalid(format!(
                "the library returned a tensor of unknown type {}",
                raw.dtype
            ))
        })?;
        let shape = raw
            .shape()
            .iter()
            .map(|&length| usize::try_from(length))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| {
                Error::invalid("the library returned a tensor with a negative dimension")
            })?;
        check(dtype, &shape, raw.size)?;
        let data = match NonNull::new(raw.data.cast::<u8>()) {
            None if raw.size == 0 => Storage::from_vec(Vec::<u8>::new()),
            None => return Err(Error::invalid("the library returned a tensor without data")),
            Some(data) if raw.flags & TENSOR_OWNED == 0 => {
                // SAFETY: the caller vouches for `size` bytes; they are not ours to keep.
                aligned_copy(unsafe { std::slice::from_raw_parts(data.as_ptr(), raw.size) })
            }
            Some(data) => {
                raw.data = ptr::null_mut();
                raw.flags &= !TENSOR_OWNED;
                // SAFETY: the caller vouches for it, and `raw` has let go of it.
                unsafe { Storage::from_malloc(data, raw.size) }
            }
        };
        Ok(Self { dtype, shape, data })
    }
}

impl Clone for Tensor {
    fn clone(&self) -> Self {
        Self {
            dtype: self.dtype,
            shape: self.shape.clone(),
            data: aligned_copy(self.bytes()),
        }
    }
}

impl PartialEq for Tensor {
    /// True when type, shape and bytes are the same.
    fn eq(&self, other: &Self) -> bool {
        self.dtype == other.dtype && self.shape == other.shape && self.bytes() == other.bytes()
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor {{ {} {:?} }}", self.dtype, self.shape)
    }
}

/// The bytes in a vector of their own, aligned for every type.
fn aligned_copy(bytes: &[u8]) -> Storage {
    // A vector of u64 is aligned for all types; what it has too much is cut off here.
    let mut words = vec![0u64; bytes.len().div_ceil(8)];
    // SAFETY: u64 may be looked at as bytes, and no byte value is invalid.
    let (_, room, _) = unsafe { words.align_to_mut::<u8>() };
    room[..bytes.len()].copy_from_slice(bytes);
    let mut storage = Storage::from_vec(words);
    storage.truncate(bytes.len());
    storage
}

fn dims(shape: &[usize]) -> Option<Vec<i64>> {
    shape
        .iter()
        .map(|&length| i64::try_from(length).ok())
        .collect()
}

/// Checks that `bytes` bytes are what a type and a shape ask for.
fn check(dtype: Dtype, shape: &[usize], bytes: usize) -> Result<()> {
    if shape.len() > TENSOR_MAX_RANK {
        return Err(Error::invalid(format!(
            "a tensor has at most {TENSOR_MAX_RANK} dimensions, not {}",
            shape.len()
        )));
    }
    match dtype.bytes(shape) {
        Some(needed) if needed == bytes => Ok(()),
        Some(needed) => Err(Error::invalid(format!(
            "a tensor of {dtype} {shape:?} has {needed} bytes, not {bytes}"
        ))),
        None => Err(Error::invalid(format!(
            "a tensor of {dtype} {shape:?} is too large"
        ))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_types_is_in_the_order_of_the_enum() {
        for (i, (dtype, raw)) in DTYPES.iter().enumerate() {
            assert_eq!(*dtype as usize, i);
            assert_eq!(Dtype::from_raw(dtype.as_raw()), Some(*dtype));
            assert_eq!(Dtype::from_name(dtype.name()), Some(*dtype));
            assert_eq!(dtype.as_raw(), *raw);
        }
    }

    #[test]
    fn a_tensor_gives_back_the_numbers_it_was_made_from() {
        let tensor = Tensor::new(&[2, 2], vec![1.0f32, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!(tensor.as_slice::<f32>().unwrap(), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(tensor.clone(), tensor);
        assert!(tensor.as_slice::<i32>().is_err());
    }

    #[test]
    fn too_few_numbers_for_the_shape_are_refused_with_both_figures() {
        let error = Tensor::new(&[2, 3], vec![0i16; 5]).unwrap_err();
        assert_eq!(error.name, "VACCEL_EINVAL");
        assert!(error.message.contains("12 bytes, not 10"), "{error}");
    }

    #[test]
    fn shapes_that_overflow_and_ranks_above_eight_are_refused() {
        assert!(Tensor::from_bytes(Dtype::F64, &[usize::MAX, 2], vec![]).is_err());
        assert!(Tensor::from_bytes(Dtype::U8, &[1; 9], vec![0]).is_err());
    }

    #[test]
    fn bytes_at_an_odd_address_are_moved_to_an_even_one() {
        let tensor = Tensor::from_bytes(Dtype::F64, &[2], vec![0; 16]).unwrap();
        assert_eq!(tensor.as_slice::<f64>().unwrap(), [0.0, 0.0]);
        let copy = aligned_copy(&[1, 2, 3]);
        assert_eq!(copy.as_bytes(), [1, 2, 3]);
        assert_eq!(copy.as_bytes().as_ptr().align_offset(8), 0);
    }

    #[test]
    fn half_precision_is_read_as_bits_and_truth_as_bytes() {
        let half = Tensor::from_f16_bits(&[1], vec![0x3c00]).unwrap();
        assert_eq!(half.dtype(), Dtype::F16);
        assert_eq!(half.as_slice::<u16>().unwrap(), [0x3c00]);
        let truth = Tensor::from_bools(&[2], &[true, false]).unwrap();
        assert_eq!(truth.as_slice::<u8>().unwrap(), [1, 0]);
    }

    #[test]
    fn a_single_number_has_no_dimensions() {
        let tensor = Tensor::new(&[], vec![5i64]).unwrap();
        assert_eq!((tensor.len(), tensor.shape().len()), (1, 0));
        assert!(!tensor.is_empty());
    }
}
