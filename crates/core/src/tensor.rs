//! Tensors of TensorFlow, TFLite and Torch: one set of functions for the three
//! C structures, which differ in the width of rank and dimensions only.

use crate::ptr::Ptr;
use crate::{Result, alloc, err, fail, get, get_bool};
use std::ffi::c_void;
use std::fmt::Display;
use vaccel_abi::model::{
    DTYPE_BF16, DTYPE_BOOL, DTYPE_F16, DTYPE_F32, DTYPE_F64, DTYPE_I4, DTYPE_I8, DTYPE_I16,
    DTYPE_I32, DTYPE_I64, DTYPE_U8, DTYPE_U16, DTYPE_U32, DTYPE_U64, Dtype, TENSOR_MAX_RANK,
};
use vaccel_abi::tensor::*;

/// What the three structures have in common.
#[derive(Debug)]
pub struct Fields<D> {
    /// Elements.
    pub data: *mut c_void,
    /// Bytes at `data`.
    pub size: usize,
    /// `data` is freed with the tensor.
    pub owned: bool,
    /// Number of dimensions.
    pub rank: usize,
    /// Their lengths.
    pub dims: *mut D,
    /// The framework's type number.
    pub dtype: u32,
}

/// A framework's tensor structure.
pub trait Tensor: Sized {
    /// Type of a dimension.
    type Dim: Copy + Into<i64> + TryFrom<i64> + Display;
    /// Name of the framework, for messages.
    const FRAMEWORK: &'static str;
    /// Framework's type numbers and the neutral ones; where several mean the
    /// same, the first is used on the way back.
    const DTYPES: &'static [(u32, Dtype)];

    /// Reads the fields.
    ///
    /// # Errors
    /// `EINVAL` for a negative rank.
    fn fields(this: Ptr<Self>) -> Result<Fields<Self::Dim>>;

    /// The structure with these fields.
    ///
    /// # Errors
    /// `EINVAL` for a rank that does not fit.
    fn from_fields(fields: Fields<Self::Dim>) -> Result<Self>;

    /// The neutral number of a type.
    ///
    /// # Errors
    /// `ENOTSUP` when there is none.
    fn neutral(dtype: u32) -> Result<Dtype> {
        let found = Self::DTYPES.iter().find(|(own, _)| *own == dtype);
        found.map(|(_, neutral)| *neutral).ok_or_else(|| {
            err!(
                ENOTSUP,
                "{} type {dtype} has no neutral form",
                Self::FRAMEWORK
            )
        })
    }

    /// The framework's number of a neutral type.
    ///
    /// # Errors
    /// `ENOTSUP` when there is none.
    fn own(dtype: Dtype) -> Result<u32> {
        let found = Self::DTYPES.iter().find(|(_, neutral)| *neutral == dtype);
        found.map(|(own, _)| *own).ok_or_else(|| {
            err!(
                ENOTSUP,
                "{} has no type for {}",
                Self::FRAMEWORK,
                vaccel_abi::model::dtype_name(dtype)
            )
        })
    }
}

macro_rules! tensor {
    ($structure:ident, $dim:ty, $framework:literal, $dtypes:expr) => {
        impl Tensor for $structure {
            type Dim = $dim;
            const FRAMEWORK: &'static str = $framework;
            const DTYPES: &'static [(u32, Dtype)] = $dtypes;

            fn fields(this: Ptr<Self>) -> Result<Fields<$dim>> {
                let rank = get!(this.nr_dims);
                let Ok(rank) = usize::try_from(rank) else {
                    fail!(EINVAL, "a {} tensor with {rank} dimensions", $framework);
                };
                Ok(Fields {
                    data: get!(this.data),
                    size: get!(this.size),
                    owned: get_bool!(this.owned),
                    rank,
                    dims: get!(this.dims),
                    dtype: get!(this.data_type),
                })
            }

            fn from_fields(f: Fields<$dim>) -> Result<Self> {
                let Ok(nr_dims) = f.rank.try_into() else {
                    fail!(EINVAL, "a {} tensor with {} dimensions", $framework, f.rank);
                };
                Ok(Self {
                    data: f.data,
                    size: f.size,
                    owned: f.owned,
                    nr_dims,
                    dims: f.dims,
                    data_type: f.dtype,
                })
            }
        }
    };
}

tensor!(
    vaccel_tf_tensor,
    i64,
    "TensorFlow",
    &[
        (TF_FLOAT, DTYPE_F32),
        (TF_DOUBLE, DTYPE_F64),
        (TF_INT32, DTYPE_I32),
        (TF_UINT8, DTYPE_U8),
        (TF_INT16, DTYPE_I16),
        (TF_INT8, DTYPE_I8),
        (TF_INT64, DTYPE_I64),
        (TF_BOOL, DTYPE_BOOL),
        (TF_QINT8, DTYPE_I8),
        (TF_QUINT8, DTYPE_U8),
        (TF_QINT32, DTYPE_I32),
        (TF_BFLOAT16, DTYPE_BF16),
        (TF_QINT16, DTYPE_I16),
        (TF_QUINT16, DTYPE_U16),
        (TF_UINT16, DTYPE_U16),
        (TF_HALF, DTYPE_F16),
        (TF_UINT32, DTYPE_U32),
        (TF_UINT64, DTYPE_U64),
    ]
);

tensor!(
    vaccel_tflite_tensor,
    i32,
    "TFLite",
    &[
        (TFLITE_FLOAT32, DTYPE_F32),
        (TFLITE_INT32, DTYPE_I32),
        (TFLITE_UINT8, DTYPE_U8),
        (TFLITE_INT64, DTYPE_I64),
        (TFLITE_BOOL, DTYPE_BOOL),
        (TFLITE_INT16, DTYPE_I16),
        (TFLITE_INT8, DTYPE_I8),
        (TFLITE_FLOAT16, DTYPE_F16),
        (TFLITE_FLOAT64, DTYPE_F64),
        (TFLITE_UINT64, DTYPE_U64),
        (TFLITE_UINT32, DTYPE_U32),
        (TFLITE_UINT16, DTYPE_U16),
        (TFLITE_INT4, DTYPE_I4),
    ]
);

tensor!(
    vaccel_torch_tensor,
    i64,
    "Torch",
    &[
        (TORCH_BYTE, DTYPE_U8),
        (TORCH_CHAR, DTYPE_I8),
        (TORCH_SHORT, DTYPE_I16),
        (TORCH_INT, DTYPE_I32),
        (TORCH_LONG, DTYPE_I64),
        (TORCH_HALF, DTYPE_F16),
        (TORCH_FLOAT, DTYPE_F32),
    ]
);

/// The lengths of the dimensions.
///
/// # Errors
/// `EINVAL` for a null pointer with a rank.
pub(crate) fn dims_of<D: Copy>(fields: &Fields<D>) -> Result<&[D]> {
    match (fields.rank, fields.dims.is_null()) {
        (0, _) => Ok(&[]),
        (_, true) => fail!(
            EINVAL,
            "a tensor of rank {} without dimensions",
            fields.rank
        ),
        // SAFETY: an initialised tensor has `rank` dimensions.
        (rank, false) => Ok(unsafe { std::slice::from_raw_parts(fields.dims, rank) }),
    }
}

/// The dimensions in neutral form, and their number.
///
/// # Errors
/// `EINVAL` for more than `TENSOR_MAX_RANK` or negative ones.
pub(crate) fn neutral_dims<D: Copy + Into<i64>>(
    fields: &Fields<D>,
) -> Result<([i64; TENSOR_MAX_RANK], u32)> {
    if fields.rank > TENSOR_MAX_RANK {
        fail!(
            EINVAL,
            "a tensor of rank {}; at most {TENSOR_MAX_RANK} is possible",
            fields.rank
        );
    }
    let mut dims = [0; TENSOR_MAX_RANK];
    for (to, from) in dims.iter_mut().zip(dims_of(fields)?) {
        *to = (*from).into();
        if *to < 0 {
            fail!(EINVAL, "a tensor with a dimension of {to}");
        }
    }
    // At most 8.
    Ok((dims, fields.rank as u32))
}

/// `vaccel_*_tensor_init`: a tensor with a copy of the dimensions and no data.
///
/// # Errors
/// `EINVAL` for a negative rank or missing dimensions, `ENOMEM`.
///
/// # Safety
/// There are `rank` dimensions, unless `dims` is null.
pub unsafe fn init<T: Tensor>(
    tensor: Ptr<T>,
    rank: i64,
    dims: *const T::Dim,
    dtype: u32,
) -> Result {
    let Ok(rank) = usize::try_from(rank) else {
        fail!(EINVAL, "a {} tensor with {rank} dimensions", T::FRAMEWORK);
    };
    let mut fields = Fields {
        data: std::ptr::null_mut(),
        size: 0,
        owned: false,
        rank,
        dims: dims.cast_mut(),
        dtype,
    };
    fields.dims = alloc::copy(dims_of(&fields)?)?;
    let dims = fields.dims;
    let made = T::from_fields(fields).inspect_err(|_| {
        // SAFETY: made above.
        unsafe { alloc::free(dims) }
    })?;
    tensor.write(made);
    Ok(())
}

/// `vaccel_*_tensor_new` and, with a size, `vaccel_*_tensor_allocate`: a malloc'ed
/// tensor, with room of its own for that many bytes, all zero.
///
/// # Errors
/// Those of [`init`].
///
/// # Safety
/// As [`init`].
pub unsafe fn new<T: Tensor>(
    rank: i64,
    dims: *const T::Dim,
    dtype: u32,
    size: usize,
) -> Result<*mut T> {
    // SAFETY: freed unless handed on.
    let block = unsafe { alloc::Block::from_raw(alloc::array::<T>(1)?) };
    // SAFETY: just allocated with the size and alignment of the structure.
    let tensor = unsafe { Ptr::new(block.as_ptr(), "tensor")? };
    // SAFETY: the contract of this function.
    unsafe { init(tensor, rank, dims, dtype)? };
    if size > 0 {
        let data = alloc::zeroed::<u8>(size);
        match data {
            Ok(data) => put(tensor, data.cast(), size, true)?,
            Err(e) => {
                release(tensor)?;
                return Err(e);
            }
        }
    }
    Ok(block.into_raw())
}

fn put<T: Tensor>(tensor: Ptr<T>, data: *mut c_void, size: usize, owned: bool) -> Result {
    let fields = T::fields(tensor)?;
    tensor.write(T::from_fields(Fields {
        data,
        size,
        owned,
        ..fields
    })?);
    Ok(())
}

/// `vaccel_*_tensor_set_data`: data of the caller; what the tensor owned is freed.
///
/// # Errors
/// `EINVAL` for null data.
pub fn set_data<T: Tensor>(tensor: Ptr<T>, data: *mut c_void, size: usize) -> Result {
    if data.is_null() || size == 0 {
        fail!(EINVAL, "`data` is null or empty");
    }
    let old = T::fields(tensor)?;
    put(tensor, data, size, false)?;
    if old.owned && old.data != data {
        // SAFETY: owned data come from libc, and the tensor no longer refers to them.
        unsafe { alloc::free(old.data) };
    }
    Ok(())
}

/// `vaccel_*_tensor_take_data`: hands the data to the caller.
///
/// # Errors
/// `EINVAL` for a negative rank.
pub fn take_data<T: Tensor>(tensor: Ptr<T>) -> Result<(*mut c_void, usize)> {
    let fields = T::fields(tensor)?;
    put(tensor, std::ptr::null_mut(), 0, false)?;
    Ok((fields.data, fields.size))
}

/// `vaccel_*_tensor_release`: frees data, if owned, and dimensions.
///
/// # Errors
/// `EINVAL` for a negative rank.
pub fn release<T: Tensor>(tensor: Ptr<T>) -> Result {
    let fields = T::fields(tensor)?;
    // SAFETY: what an initialised tensor holds comes from libc.
    unsafe {
        if fields.owned {
            alloc::free(fields.data);
        }
        alloc::free(fields.dims);
    }
    tensor.write(T::from_fields(Fields {
        data: std::ptr::null_mut(),
        size: 0,
        owned: false,
        rank: 0,
        dims: std::ptr::null_mut(),
        dtype: 0,
    })?);
    Ok(())
}

/// `vaccel_*_tensor_delete`: releases and frees a malloc'ed tensor.
///
/// # Errors
/// `EINVAL` for a negative rank.
pub fn delete<T: Tensor>(tensor: Ptr<T>) -> Result {
    release(tensor)?;
    // SAFETY: malloc'ed, by contract of the function.
    unsafe { alloc::free(tensor.as_ptr()) };
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_type_maps_to_a_neutral_one_and_back_to_the_same_meaning() {
        fn check<T: Tensor>() {
            for (own, neutral) in T::DTYPES {
                assert_eq!(T::neutral(*own).unwrap(), *neutral);
                assert_eq!(T::neutral(T::own(*neutral).unwrap()).unwrap(), *neutral);
            }
            assert!(T::neutral(1000).is_err());
        }
        check::<vaccel_tf_tensor>();
        check::<vaccel_tflite_tensor>();
        check::<vaccel_torch_tensor>();
        assert_eq!(vaccel_tf_tensor::own(DTYPE_I8).unwrap(), TF_INT8);
        assert!(vaccel_torch_tensor::own(DTYPE_BF16).is_err());
    }

    #[test]
    fn data_can_be_set_and_taken() {
        let dims = [2i64, 3];
        // SAFETY: two dimensions, and what was made is deleted.
        unsafe {
            let t = new::<vaccel_tf_tensor>(2, dims.as_ptr(), TF_FLOAT, 24).unwrap();
            let t = Ptr::new(t, "t").unwrap();
            assert!(T::fields(t).unwrap().owned);
            let mut own = [1u8; 24];
            set_data(t, own.as_mut_ptr().cast(), 24).unwrap();
            assert!(!T::fields(t).unwrap().owned);
            let (data, size) = take_data(t).unwrap();
            assert_eq!((data, size), (own.as_mut_ptr().cast(), 24));
            assert!(T::fields(t).unwrap().data.is_null());
            delete(t).unwrap();
        }
        type T = vaccel_tf_tensor;
    }

    #[test]
    fn bad_ranks_are_refused() {
        let dims = [1i64; 2];
        // SAFETY: no dimension is read for a bad rank.
        unsafe {
            assert!(new::<vaccel_torch_tensor>(-1, dims.as_ptr(), 1, 0).is_err());
            assert!(new::<vaccel_torch_tensor>(1, std::ptr::null(), 1, 0).is_err());
        }
    }
}
