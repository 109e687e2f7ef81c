//! Tensors of the frameworks: read from C, and made for C.

use crate::call::Call;
use crate::outputs::too_many_dimensions;
use vaccel_plugin::abi::tensor as t;
use vaccel_plugin::{Result, bail, err};
use vaccel_wire::{MAX_RANK, TensorMeta};

/// Which structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framework {
    Tf,
    Tflite,
    Torch,
}

/// Type and dimensions of a tensor.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shape {
    pub(crate) dtype: u32,
    pub(crate) dims: [i64; MAX_RANK],
    pub(crate) rank: usize,
}

/// A tensor structure of a framework.
pub(crate) trait CTensor: Sized {
    type Dim: Copy + TryFrom<i64> + Into<i64>;

    /// Bytes of an element; `None` for strings and what is not known.
    fn element_size(dtype: u32) -> Option<usize>;
    fn data(&self) -> (*const u8, usize);
    fn rank(&self) -> i64;
    fn dims(&self) -> *const Self::Dim;
    fn dtype(&self) -> u32;
    /// A structure without data; `dims` is its own.
    fn new(dtype: u32, rank: usize, dims: *mut Self::Dim) -> Self;
    fn set_data(&mut self, data: *mut u8, size: usize);
}

macro_rules! ctensor {
    ($struct:ident, $dim:ty, $rank:ty, { $($size:literal: $($dtype:ident)|*,)* }) => {
        impl CTensor for t::$struct {
            type Dim = $dim;

            fn element_size(dtype: u32) -> Option<usize> {
                match dtype {
                    $($(t::$dtype)|* => Some($size),)*
                    _ => None,
                }
            }
            fn data(&self) -> (*const u8, usize) {
                (self.data.cast_const().cast(), self.size)
            }
            fn rank(&self) -> i64 {
                self.nr_dims.into()
            }
            fn dims(&self) -> *const $dim {
                self.dims
            }
            fn dtype(&self) -> u32 {
                self.data_type
            }
            fn new(dtype: u32, rank: usize, dims: *mut $dim) -> Self {
                Self {
                    data: std::ptr::null_mut(),
                    size: 0,
                    owned: true,
                    // At most 8.
                    nr_dims: rank as $rank,
                    dims,
                    data_type: dtype,
                }
            }
            fn set_data(&mut self, data: *mut u8, size: usize) {
                self.data = data.cast();
                self.size = size;
            }
        }
    };
}

ctensor!(vaccel_tf_tensor, i64, libc::c_int, {
    1: TF_UINT8 | TF_INT8 | TF_BOOL | TF_QINT8 | TF_QUINT8,
    2: TF_INT16 | TF_UINT16 | TF_QINT16 | TF_QUINT16 | TF_BFLOAT16 | TF_HALF,
    4: TF_FLOAT | TF_INT32 | TF_UINT32 | TF_QINT32,
    8: TF_DOUBLE | TF_INT64 | TF_UINT64 | TF_COMPLEX64,
    16: TF_COMPLEX128,
});
ctensor!(vaccel_tflite_tensor, i32, libc::c_int, {
    1: TFLITE_UINT8 | TFLITE_INT8 | TFLITE_BOOL,
    2: TFLITE_INT16 | TFLITE_UINT16 | TFLITE_FLOAT16,
    4: TFLITE_FLOAT32 | TFLITE_INT32 | TFLITE_UINT32,
    8: TFLITE_FLOAT64 | TFLITE_INT64 | TFLITE_UINT64 | TFLITE_COMPLEX64,
    16: TFLITE_COMPLEX128,
});
ctensor!(vaccel_torch_tensor, i64, i64, {
    1: TORCH_BYTE | TORCH_CHAR,
    2: TORCH_SHORT | TORCH_HALF,
    4: TORCH_INT | TORCH_FLOAT,
    8: TORCH_LONG,
});

/// Adds an input tensor to a request.
///
/// # Safety
/// `tensor` is null or a live structure, whose data stay until the call is over.
pub(crate) unsafe fn input<T: CTensor>(
    call: &mut Call<'_, '_>,
    tensor: *const T,
    name: Option<&[u8]>,
) -> Result<()> {
    // SAFETY: as promised by the caller.
    let Some(tensor) = (unsafe { tensor.as_ref() }) else {
        bail!(EINVAL, "an input tensor is null");
    };
    let rank = usize::try_from(tensor.rank())
        .ok()
        .filter(|&rank| rank <= MAX_RANK)
        .ok_or_else(|| too_many_dimensions(tensor.rank()))?;
    let mut dims = [0; MAX_RANK];
    if rank > 0 && tensor.dims().is_null() {
        bail!(EINVAL, "the dimensions of an input tensor are null");
    }
    for (i, dim) in dims[..rank].iter_mut().enumerate() {
        // SAFETY: a tensor has as many dimensions as its rank says.
        *dim = unsafe { tensor.dims().add(i).read() }.into();
    }
    let Ok(dtype) = u16::try_from(tensor.dtype()) else {
        bail!(EINVAL, "{} is not a type of a tensor", tensor.dtype());
    };
    let (data, size) = tensor.data();
    let bytes = match (data.is_null(), size) {
        (_, 0) => &[],
        (true, _) => bail!(EINVAL, "an input tensor of {size} bytes has no data"),
        (_, size) if size > isize::MAX as usize => {
            bail!(EINVAL, "an input tensor cannot have {size} bytes")
        }
        // SAFETY: as promised by the caller.
        _ => unsafe { std::slice::from_raw_parts(data, size) },
    };
    let meta = TensorMeta {
        dtype,
        dims: &dims[..rank],
        name,
    };
    call.tensor(&meta, bytes);
    Ok(())
}

/// The entries of a list that C passed as pointer and number.
///
/// # Safety
/// `list` is null or has `count` entries.
pub(crate) unsafe fn entries<'a, T>(
    list: *const T,
    count: libc::c_int,
    name: &str,
) -> Result<&'a [T]> {
    let Ok(count) = usize::try_from(count) else {
        bail!(EINVAL, "`{name}` cannot have {count} entries");
    };
    if count == 0 {
        return Ok(&[]);
    }
    if list.is_null() {
        bail!(EINVAL, "`{name}` is null");
    }
    // SAFETY: as promised by the caller.
    Ok(unsafe { std::slice::from_raw_parts(list, count) })
}

fn make<T: CTensor>(shape: &Shape) -> Result<*mut libc::c_void> {
    let dims: Vec<T::Dim> = shape.dims[..shape.rank]
        .iter()
        .map(|&d| {
            T::Dim::try_from(d)
                .map_err(|_| err!(EREMOTEIO, "the agent sent a tensor with a dimension of {d}"))
        })
        .collect::<Result<_>>()?;
    // SAFETY: malloc takes any size; both results are checked before use.
    unsafe {
        let own: *mut T::Dim = libc::malloc(size_of_val(&dims[..]).max(1)).cast();
        let tensor: *mut T = libc::malloc(size_of::<T>()).cast();
        if own.is_null() || tensor.is_null() {
            libc::free(own.cast());
            libc::free(tensor.cast());
            bail!(ENOMEM, "no memory for a tensor");
        }
        std::ptr::copy_nonoverlapping(dims.as_ptr(), own, dims.len());
        tensor.write(T::new(shape.dtype, shape.rank, own));
        Ok(tensor.cast())
    }
}

fn free<T: CTensor>(tensor: *mut libc::c_void) {
    let tensor: *mut T = tensor.cast();
    // SAFETY: made by `make`; nobody else knows it. Its data are freed apart.
    unsafe {
        libc::free((*tensor).dims().cast_mut().cast());
        libc::free(tensor.cast());
    }
}

macro_rules! for_framework {
    ($self:ident, $function:ident($($arg:expr),*)) => {
        match $self {
            Self::Tf => $function::<t::vaccel_tf_tensor>($($arg),*),
            Self::Tflite => $function::<t::vaccel_tflite_tensor>($($arg),*),
            Self::Torch => $function::<t::vaccel_torch_tensor>($($arg),*),
        }
    };
}

impl Framework {
    /// A new structure from malloc, without data.
    pub(crate) fn make_struct(self, shape: &Shape) -> Result<*mut libc::c_void> {
        for_framework!(self, make(shape))
    }

    /// Frees a structure that has no data.
    pub(crate) fn free_struct(self, tensor: *mut libc::c_void) {
        for_framework!(self, free(tensor));
    }

    /// Gives a structure its data.
    pub(crate) fn set_data(self, tensor: *mut libc::c_void, data: *mut u8, size: usize) {
        fn set<T: CTensor>(tensor: *mut libc::c_void, data: *mut u8, size: usize) {
            // SAFETY: made by `make`, and nobody else knows it yet.
            unsafe { (*tensor.cast::<T>()).set_data(data, size) };
        }
        for_framework!(self, set(tensor, data, size));
    }

    /// Bytes that a tensor of this shape has; `None` where the type does not
    /// tell. An error when they cannot be counted.
    pub(crate) fn bytes(self, shape: &Shape) -> std::result::Result<Option<usize>, ()> {
        fn size<T: CTensor>(dtype: u32) -> Option<usize> {
            T::element_size(dtype)
        }
        let mut bytes = for_framework!(self, size(shape.dtype));
        for &d in &shape.dims[..shape.rank] {
            let d = usize::try_from(d).map_err(|_| ())?;
            if let Some(b) = bytes {
                bytes = Some(b.checked_mul(d).ok_or(())?);
            }
        }
        Ok(bytes)
    }
}
