//! Tensors and model facts as the C interface passes them.

use std::ffi::{CStr, CString, c_char};
use std::ptr;

use vaccel_plugin::abi::model::{
    TENSOR_OWNED, vaccel_model_info, vaccel_tensor, vaccel_tensor_info,
};
use vaccel_plugin::{Dtype, Element, bytes_of};

use super::libc_free;

/// A tensor of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    pub name: Option<CString>,
    pub dtype: Dtype,
    pub shape: Vec<i64>,
    pub bytes: Vec<u8>,
}

impl Tensor {
    pub fn new(name: &str, dtype: Dtype, shape: &[i64], bytes: &[u8]) -> Self {
        Self {
            name: (!name.is_empty()).then(|| CString::new(name).unwrap()),
            dtype,
            shape: shape.to_vec(),
            bytes: bytes.to_vec(),
        }
    }

    pub fn of<T: Element>(name: &str, shape: &[i64], values: &[T]) -> Self {
        Self::new(name, T::DTYPE, shape, bytes_of(values))
    }

    pub fn values<T: Element>(&self) -> Vec<T> {
        assert_eq!(self.dtype, T::DTYPE);
        let mut values = vec![T::default(); self.bytes.len() / size_of::<T>()];
        // SAFETY: as many bytes as the values have; every pattern is a number.
        unsafe {
            ptr::copy_nonoverlapping(
                self.bytes.as_ptr(),
                values.as_mut_ptr().cast(),
                self.bytes.len(),
            );
        }
        values
    }

    pub fn text(&self) -> &str {
        assert_eq!(self.dtype, Dtype::U8);
        std::str::from_utf8(&self.bytes).unwrap()
    }

    pub fn raw(&self) -> vaccel_tensor {
        let mut raw = vaccel_tensor::empty();
        raw.name = self.name.as_ref().map_or(ptr::null(), |name| name.as_ptr());
        raw.dtype = self.dtype.code().unwrap();
        raw.rank = u32::try_from(self.shape.len()).unwrap();
        raw.dims[..self.shape.len()].copy_from_slice(&self.shape);
        raw.data = self.bytes.as_ptr().cast_mut().cast();
        raw.size = self.bytes.len();
        raw
    }
}

/// An output, into memory of the plugin's or of the caller's.
pub struct Out {
    name: Option<CString>,
    buffer: Vec<u8>,
    pub raw: vaccel_tensor,
}

impl Out {
    pub fn allocated(name: &str) -> Self {
        Self::new(name, None)
    }

    pub fn with_room(name: &str, bytes: usize) -> Self {
        Self::new(name, Some(bytes))
    }

    fn new(name: &str, room: Option<usize>) -> Self {
        let name = (!name.is_empty()).then(|| CString::new(name).unwrap());
        let mut buffer = vec![0xee; room.unwrap_or(0)];
        let mut raw = vaccel_tensor::empty();
        raw.name = name.as_ref().map_or(ptr::null(), |name| name.as_ptr());
        if room.is_some() {
            raw.data = buffer.as_mut_ptr().cast();
            raw.size = buffer.len();
        }
        Self { name, buffer, raw }
    }

    pub fn tensor(&self) -> Tensor {
        // SAFETY: the plugin says that so many bytes are there.
        let bytes =
            unsafe { std::slice::from_raw_parts(self.raw.data.cast::<u8>(), self.raw.size) };
        Tensor {
            name: self.name.clone(),
            dtype: Dtype::from_code(self.raw.dtype).unwrap(),
            shape: self.raw.shape().to_vec(),
            bytes: bytes.to_vec(),
        }
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        if self.raw.flags & TENSOR_OWNED != 0 {
            // SAFETY: allocated by the plugin with malloc, freed once.
            unsafe { libc_free(self.raw.data) };
        }
    }
}

/// What a model says of itself.
#[derive(Debug)]
pub struct Info {
    pub format: String,
    pub backend: String,
    pub metadata: serde_json::Value,
    /// As `name: f32 [-1, 2]`.
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
}

impl Info {
    /// # Safety
    /// Filled by the plugin and not freed.
    pub unsafe fn take(raw: &vaccel_model_info) -> Self {
        let text = |at: *mut c_char| {
            // SAFETY: a C string from malloc, freed once.
            unsafe {
                let text = CStr::from_ptr(at).to_str().unwrap().to_owned();
                libc_free(at.cast());
                text
            }
        };
        let ports = |at: *mut vaccel_tensor_info, count: usize| {
            // SAFETY: so many entries from malloc, freed once.
            unsafe {
                let ports = (0..count)
                    .map(|i| {
                        let port = &*at.add(i);
                        let dtype = Dtype::from_code(port.dtype).map_or("?", Dtype::name);
                        let dims = &port.dims[..port.rank as usize];
                        format!("{}: {dtype} {dims:?}", text(port.name))
                    })
                    .collect();
                libc_free(at.cast());
                ports
            }
        };
        Self {
            format: text(raw.format),
            backend: text(raw.backend),
            metadata: serde_json::from_str(&text(raw.metadata)).unwrap(),
            inputs: ports(raw.inputs, raw.nr_inputs),
            outputs: ports(raw.outputs, raw.nr_outputs),
        }
    }
}
