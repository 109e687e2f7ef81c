//! Buffers of TensorFlow and Torch.

use crate::{Result, fail};
use std::ffi::c_void;

/// `vaccel_tf_buffer` and `vaccel_torch_buffer`: bytes that the buffer frees
/// unless they are taken.
///
/// # Errors
/// `EINVAL` for no bytes.
pub fn check(data: *mut c_void, size: usize) -> Result {
    if data.is_null() || size == 0 {
        fail!(EINVAL, "a buffer needs data");
    }
    Ok(())
}
