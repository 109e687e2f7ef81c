//! The three C tensor types of TensorFlow, TFLite and Torch, seen as one.

use crate::backend::ModelApi;
use crate::dtype::{Dtype, Shape};
use crate::error::Result;
use crate::memory::{self, CBuffer, c_box};
use crate::tensor::{TensorOut, TensorView};
use std::borrow::Cow;
use vaccel_abi::model::TENSOR_MAX_RANK;
use vaccel_abi::tensor::{self as c, vaccel_tf_tensor, vaccel_tflite_tensor, vaccel_torch_tensor};

/// What a C tensor holds.
pub(crate) struct Parts<D> {
    data: *const u8,
    size: usize,
    rank: i64,
    dims: *const D,
    data_type: u32,
}

/// One of the C tensor types.
pub(crate) trait CTensor: Sized {
    /// The calls it belongs to.
    const API: ModelApi;
    /// Type of a dimension.
    type Dim: Copy + Into<i64> + TryFrom<i64>;

    /// Its fields, without the flag `owned`, which a sloppy caller may have left
    /// at any number.
    ///
    /// # Safety
    /// A tensor that may be read.
    unsafe fn parts(at: *const Self) -> Parts<Self::Dim>;

    /// A tensor that owns its data.
    fn new(
        data: *mut libc::c_void,
        size: usize,
        rank: u8,
        dims: *mut Self::Dim,
        data_type: u32,
    ) -> Self;

    /// The framework's numbers of the types that have a neutral name.
    const DTYPES: &'static [(u32, Dtype)];
}

macro_rules! ctensor {
    ($type:ty, $api:ident, $dim:ty, [$($code:ident = $dtype:ident),* $(,)?]) => {
        impl CTensor for $type {
            const API: ModelApi = ModelApi::$api;
            type Dim = $dim;

            unsafe fn parts(at: *const Self) -> Parts<$dim> {
                // SAFETY: promised by the caller.
                unsafe {
                    Parts {
                        data: (&raw const (*at).data).read().cast_const().cast(),
                        size: (&raw const (*at).size).read(),
                        #[allow(clippy::useless_conversion)]
                        rank: (&raw const (*at).nr_dims).read().into(),
                        dims: (&raw const (*at).dims).read().cast_const(),
                        data_type: (&raw const (*at).data_type).read(),
                    }
                }
            }

            fn new(data: *mut libc::c_void, size: usize, rank: u8, dims: *mut $dim, data_type: u32) -> Self {
                Self { data, size, owned: true, nr_dims: rank.into(), dims, data_type }
            }

            const DTYPES: &'static [(u32, Dtype)] = &[$((c::$code, Dtype::$dtype)),*];
        }
    };
}

ctensor!(
    vaccel_tf_tensor,
    Tf,
    i64,
    [
        TF_FLOAT = F32,
        TF_DOUBLE = F64,
        TF_HALF = F16,
        TF_BFLOAT16 = Bf16,
        TF_INT8 = I8,
        TF_UINT8 = U8,
        TF_INT16 = I16,
        TF_UINT16 = U16,
        TF_INT32 = I32,
        TF_UINT32 = U32,
        TF_INT64 = I64,
        TF_UINT64 = U64,
        TF_BOOL = Bool,
    ]
);
ctensor!(
    vaccel_tflite_tensor,
    Tflite,
    i32,
    [
        TFLITE_FLOAT32 = F32,
        TFLITE_FLOAT64 = F64,
        TFLITE_FLOAT16 = F16,
        TFLITE_INT8 = I8,
        TFLITE_UINT8 = U8,
        TFLITE_INT16 = I16,
        TFLITE_UINT16 = U16,
        TFLITE_INT32 = I32,
        TFLITE_UINT32 = U32,
        TFLITE_INT64 = I64,
        TFLITE_UINT64 = U64,
        TFLITE_BOOL = Bool,
        TFLITE_INT4 = I4,
    ]
);
ctensor!(
    vaccel_torch_tensor,
    Torch,
    i64,
    [
        TORCH_FLOAT = F32,
        TORCH_HALF = F16,
        TORCH_CHAR = I8,
        TORCH_BYTE = U8,
        TORCH_SHORT = I16,
        TORCH_INT = I32,
        TORCH_LONG = I64,
    ]
);

fn neutral<T: CTensor>(code: u32) -> Dtype {
    let found = T::DTYPES.iter().find(|(c, _)| *c == code);
    found.map_or(Dtype::Native(code), |(_, dtype)| *dtype)
}

fn code_of<T: CTensor>(dtype: Dtype) -> Result<u32> {
    if let Dtype::Native(code) = dtype {
        return Ok(code);
    }
    let found = T::DTYPES.iter().find(|(_, d)| *d == dtype);
    found.map(|(code, _)| *code).ok_or_else(|| {
        crate::err!(
            ENOTSUP,
            "an output is {dtype}, which the {:?} calls have no type for",
            T::API
        )
    })
}

/// A C tensor as a view.
///
/// # Safety
/// Null, or a tensor whose pointers are as long as it says during `'a`.
pub(crate) unsafe fn read_tensor<'a, T: CTensor>(
    at: *const T,
    name: Option<Cow<'a, str>>,
) -> Result<TensorView<'a>> {
    let who = name.as_deref().unwrap_or("an input").to_owned();
    if at.is_null() {
        crate::bail!(EINVAL, "{who}: the tensor is null");
    }
    // SAFETY: not null; promised by the caller.
    let parts = unsafe { T::parts(at) };
    let rank = memory::count(parts.rank, "the number of dimensions")?;
    if rank > TENSOR_MAX_RANK {
        crate::bail!(
            EINVAL,
            "{who}: {rank} dimensions, at most {TENSOR_MAX_RANK} are supported"
        );
    }
    // SAFETY: promised by the caller.
    let dims = unsafe { memory::slice(parts.dims, rank, "the dimensions of a tensor") }?;
    let shape =
        Shape::from_dims(rank, dims.iter().map(|d| (*d).into())).map_err(|e| e.context(&who))?;
    // SAFETY: promised by the caller.
    let bytes = unsafe { memory::slice(parts.data, parts.size, "the data of a tensor") }?;
    TensorView::from_parts(
        name,
        neutral::<T>(parts.data_type),
        shape,
        Cow::Borrowed(bytes),
    )
}

/// A list of C tensors as views.
///
/// # Safety
/// `at` is null or points at `len` tensors, each as [`read_tensor`].
pub(crate) unsafe fn read_tensors<'a, T: CTensor>(
    at: *const *mut T,
    len: usize,
    names: Vec<Option<Cow<'a, str>>>,
) -> Result<Vec<TensorView<'a>>> {
    // SAFETY: promised by the caller.
    let list = unsafe { memory::slice(at, len, "the list of input tensors") }?;
    list.iter()
        .zip(names)
        // SAFETY: promised by the caller.
        .map(|(tensor, name)| unsafe { read_tensor(tensor.cast_const(), name) })
        .collect()
}

/// Where the pointers to new tensors go.
pub(crate) struct Outputs<T> {
    at: *mut *mut T,
    len: usize,
}

impl<T: CTensor> Outputs<T> {
    /// # Safety
    /// `at` is null or has room for `len` pointers, which need not be set yet.
    pub(crate) unsafe fn new(at: *mut *mut T, len: usize) -> Result<Self> {
        memory::check(at, len, "the list of output tensors")?;
        Ok(Self { at, len })
    }

    /// Makes a C tensor of each output and stores its address; all or none. The
    /// caller frees struct, dimensions and data, all from malloc.
    pub(crate) fn write(self, outputs: Vec<TensorOut<'_>>) -> Result<()> {
        let mut made = Made(Vec::with_capacity(self.len));
        for out in outputs {
            made.0.push(c_tensor::<T>(out)?);
        }
        for (i, tensor) in std::mem::take(&mut made.0).into_iter().enumerate() {
            debug_assert!(i < self.len);
            // SAFETY: in range of the caller's list, as `new` was promised.
            unsafe { self.at.add(i).write(tensor) };
        }
        Ok(())
    }
}

/// Finished tensors that are freed if a later one fails.
struct Made<T: CTensor>(Vec<*mut T>);

impl<T: CTensor> Drop for Made<T> {
    fn drop(&mut self) {
        for tensor in &self.0 {
            // SAFETY: made by `c_tensor`: all three from malloc, not given away.
            unsafe {
                let parts = T::parts(*tensor);
                libc::free(parts.data.cast_mut().cast());
                libc::free(parts.dims.cast_mut().cast());
                libc::free((*tensor).cast());
            }
        }
    }
}

fn c_tensor<T: CTensor>(out: TensorOut<'_>) -> Result<*mut T> {
    let written = out.finished()?;
    let data_type = code_of::<T>(written.dtype)?;
    let shape = written.shape.dims();
    let mut dims = CBuffer::zeroed(size_of::<T::Dim>() * shape.len())?;
    for (room, dim) in dims
        .bytes_mut()
        .chunks_exact_mut(size_of::<T::Dim>())
        .zip(shape)
    {
        let Ok(dim) = T::Dim::try_from(*dim) else {
            crate::bail!(
                ERANGE,
                "an output dimension of {dim} is too large for {:?}",
                T::API
            );
        };
        // SAFETY: the chunk has the size of a dimension; alignment is not asked.
        unsafe { room.as_mut_ptr().cast::<T::Dim>().write_unaligned(dim) };
    }
    let data = match out.into_allocated() {
        Some(data) => data,
        None => crate::bail!(EIO, "an output was not allocated"),
    };
    let rank = u8::try_from(written.shape.dims().len())
        .map_err(|_| crate::err!(EINVAL, "too many dimensions"))?;
    // The structure first: when that fails, the buffers free themselves.
    let tensor = c_box(T::new(
        std::ptr::null_mut(),
        written.size,
        rank,
        std::ptr::null_mut(),
        data_type,
    ))?;
    let complete = T::new(
        data.into_raw(),
        written.size,
        rank,
        dims.into_raw(),
        data_type,
    );
    // SAFETY: made just now by `c_box`.
    unsafe { tensor.write(complete) };
    Ok(tensor)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn types_go_there_and_back_and_unknown_ones_stay_native() {
        assert_eq!(neutral::<vaccel_tf_tensor>(c::TF_HALF), Dtype::F16);
        assert_eq!(neutral::<vaccel_tf_tensor>(c::TF_STRING), Dtype::Native(7));
        for (code, dtype) in vaccel_torch_tensor::DTYPES {
            assert_eq!(code_of::<vaccel_torch_tensor>(*dtype).unwrap(), *code);
        }
        assert!(code_of::<vaccel_torch_tensor>(Dtype::F64).is_err());
        assert_eq!(code_of::<vaccel_torch_tensor>(Dtype::Native(9)).unwrap(), 9);
    }

    #[test]
    fn an_output_becomes_a_tensor_that_c_can_free() {
        let mut out = TensorOut::allocating(None);
        out.write_slice(&[2, 1], &[3_i32, 4]).unwrap();
        let made = Made(vec![c_tensor::<vaccel_tflite_tensor>(out).unwrap()]);
        // SAFETY: made just now.
        let view = unsafe { read_tensor(made.0[0].cast_const(), None) }.unwrap();
        assert_eq!(view.shape(), &[2, 1]);
        assert_eq!(view.as_slice::<i32>().unwrap(), &[3, 4]);
    }
}
