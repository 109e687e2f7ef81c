//! Tensors that stay where they were computed.

use std::ffi::c_char;
use std::fmt;
use std::ptr;

use vaccel_abi::error;
use vaccel_abi::model::{TENSOR_KEEP, vaccel_tensor};

use crate::error::{Error, Result};
use crate::session::Session;
use crate::tensor::{Dtype, Tensor};

/// A tensor that stayed where it was computed: on the agent, on the device, or in the
/// library.
///
/// It can be an input of every model of its session, and no bytes move for that. When
/// it goes, it is freed there. When the connection to the agent is lost it is lost,
/// too: using it is `ENOENT` then.
pub struct KeptTensor {
    raw: vaccel_tensor,
    session: Session,
}

// SAFETY: a number and what it stands for; the library takes calls from any thread.
unsafe impl Send for KeptTensor {}
// SAFETY: as above; nothing here changes it.
unsafe impl Sync for KeptTensor {}

/// What a model takes: a tensor of the program, or a kept one.
pub trait Feed: sealed::Sealed {
    /// The C structure, which borrows from `self` and `name`.
    #[doc(hidden)]
    fn raw(&self, name: *const c_char) -> vaccel_tensor;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Tensor {}
    impl Sealed for super::KeptTensor {}
    impl<T: Sealed + ?Sized> Sealed for &T {}
}

impl Feed for Tensor {
    fn raw(&self, name: *const c_char) -> vaccel_tensor {
        self.as_raw(name)
    }
}

impl Feed for KeptTensor {
    fn raw(&self, name: *const c_char) -> vaccel_tensor {
        vaccel_tensor { name, ..self.raw }
    }
}

impl<T: Feed + ?Sized> Feed for &T {
    fn raw(&self, name: *const c_char) -> vaccel_tensor {
        (**self).raw(name)
    }
}

impl Tensor {
    /// A copy of the tensor where models of the session run: sent once, used often.
    ///
    /// # Errors
    /// `ENOTSUP` when the session runs no models or the library is too old; `ENOSPC` beyond
    /// the agent's quota; `ENOMEM`.
    pub fn keep(&self, session: &Session) -> Result<KeptTensor> {
        // SAFETY: the tensor has as many bytes as it says.
        unsafe { KeptTensor::of_raw(session, &self.as_raw(ptr::null())) }
    }
}

impl KeptTensor {
    /// [`Tensor::keep`] of a C structure.
    ///
    /// # Errors
    /// As [`Tensor::keep`]; `EINVAL` for a malformed tensor.
    ///
    /// # Safety
    /// `data` must have `size` bytes.
    pub unsafe fn of_raw(session: &Session, tensor: &vaccel_tensor) -> Result<Self> {
        let library = session.library();
        let keep = library.extension(library.functions().tensor_keep, "vaccel_tensor_keep")?;
        let mut kept = vaccel_tensor::empty();
        // SAFETY: the session is open, the caller vouches for the tensor, and `kept` has room.
        let code = unsafe { keep(session.as_ptr(), tensor, &raw mut kept) };
        library.check("cannot keep the tensor", code)?;
        // SAFETY: the call succeeded, and nobody else has the number.
        unsafe { Self::from_raw(session, kept) }
    }

    /// Takes over what the library keeps under the number of a structure.
    ///
    /// # Errors
    /// `EIO` when it has no number.
    ///
    /// # Safety
    /// `raw` must come from a call of this session that kept it, and nobody else may release it.
    pub unsafe fn from_raw(session: &Session, raw: vaccel_tensor) -> Result<Self> {
        if raw.handle == 0 {
            return Err(Error::new(
                error::EIO,
                "the library gave a kept tensor no number",
            ));
        }
        Ok(Self {
            raw: vaccel_tensor {
                name: ptr::null(),
                flags: TENSOR_KEEP,
                ..raw
            },
            session: session.clone(),
        })
    }

    /// The library's number, for the C structure.
    #[must_use]
    pub fn handle(&self) -> u64 {
        self.raw.handle
    }

    /// Type of the elements; `None` for one that this crate does not know.
    #[must_use]
    pub fn dtype(&self) -> Option<Dtype> {
        Dtype::from_raw(self.raw.dtype)
    }

    /// Lengths of the dimensions, the slowest first.
    #[must_use]
    pub fn shape(&self) -> &[i64] {
        self.raw.shape()
    }

    /// Bytes of the elements.
    #[must_use]
    pub fn size(&self) -> usize {
        self.raw.size
    }

    /// Reads the elements; the tensor stays kept.
    ///
    /// # Errors
    /// `ENOENT` when the connection that it was kept on was lost; what the transport returns.
    pub fn fetch(&self) -> Result<Tensor> {
        let mut out = vaccel_tensor::empty();
        // SAFETY: an output without memory.
        unsafe { self.fetch_raw(&mut out)? };
        // SAFETY: the call succeeded and allocated what it says.
        unsafe { Tensor::from_raw(&mut out) }
    }

    /// [`fetch`](Self::fetch) to a C structure.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch); `ERANGE` when the memory is too small.
    ///
    /// # Safety
    /// `data` must be null or have room for `size` bytes. What the library allocates is
    /// the caller's to free.
    pub unsafe fn fetch_raw(&self, out: &mut vaccel_tensor) -> Result<()> {
        let library = self.session.library();
        let fetch = library.extension(library.functions().tensor_fetch, "vaccel_tensor_fetch")?;
        // SAFETY: the session is open; the caller vouches for the output.
        let code = unsafe { fetch(self.session.as_ptr(), &raw const self.raw, out) };
        library.check("cannot read the kept tensor", code)
    }
}

impl fmt::Debug for KeptTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptTensor")
            .field("handle", &self.raw.handle)
            .field("dtype", &self.dtype())
            .field("shape", &self.shape())
            .finish_non_exhaustive()
    }
}

impl Drop for KeptTensor {
    fn drop(&mut self) {
        if let Some(release) = self.session.library().functions().tensor_release {
            // SAFETY: kept by a call of this session, which is open, and released once.
            unsafe { release(&raw mut self.raw) };
        }
    }
}
