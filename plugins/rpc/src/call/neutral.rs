//! Tensors of the neutral interface as arguments, sent or kept by the agent.

use super::Call;
use super::arguments::bytes;
use crate::outputs::{self, What};
use std::ffi::CStr;
use vaccel_plugin::abi::arg::{ARG_CUSTOM, CUSTOM_TENSOR, vaccel_arg};
use vaccel_plugin::abi::model::{TENSOR_KEEP, vaccel_tensor};
use vaccel_plugin::{Result, bail};
use vaccel_wire::{FEATURE_KEPT_TENSORS, TENSOR, TensorMeta};

impl Call<'_, '_> {
    /// A tensor of the neutral interface.
    ///
    /// # Safety
    /// Its name is null or a C string; `data` points at `size` bytes that stay
    /// until the call is over.
    pub(crate) unsafe fn neutral_tensor(&mut self, tensor: &vaccel_tensor) -> Result<()> {
        // SAFETY: as promised by the caller.
        let name = unsafe { outputs::name_of(tensor) };
        let meta = neutral_meta(tensor, name)?;
        if tensor.handle != 0 {
            let number = self.kept(tensor.handle)?;
            self.builder.read_tensor_kept(&meta, number);
            return Ok(());
        }
        // SAFETY: as promised by the caller.
        let bytes = unsafe { bytes(tensor.data.cast::<u8>().cast_const(), tensor.size, "data") }?;
        self.tensor(&meta, bytes);
        Ok(())
    }

    /// True when the agent keeps tensors.
    pub(crate) fn keeps_tensors(&self) -> bool {
        self.link.connection.granted().features & FEATURE_KEPT_TENSORS != 0
    }

    /// The agent's number of a tensor that it keeps.
    pub(crate) fn kept(&self, handle: u64) -> Result<i64> {
        self.link.tensor(handle)
    }

    /// An output tensor of the neutral interface.
    ///
    /// # Safety
    /// `tensor` is valid until the call is over, its name null or a C string.
    pub(crate) unsafe fn out_neutral_tensor(&mut self, tensor: *mut vaccel_tensor) -> Result<()> {
        // SAFETY: as promised by the caller; it need not be aligned.
        let value = unsafe { tensor.read_unaligned() };
        // SAFETY: as promised by the caller.
        let name = unsafe { outputs::name_of(&value) };
        let meta = neutral_meta(&value, name)?;
        // An agent that keeps none gives the elements, and the library keeps them.
        if value.flags & TENSOR_KEEP != 0 && self.keeps_tensors() {
            self.builder.write_tensor_keep(&meta);
            self.outputs.push(TENSOR, What::Kept(tensor));
            return Ok(());
        }
        let room = (!value.data.is_null()).then_some(value.size);
        let lent = room.and_then(|room| self.lend_room(value.data.cast(), room));
        match (&lent, room) {
            (Some(lent), Some(room)) => self
                .builder
                .write_tensor_capacity_shared(&meta, room, lent.place),
            _ => self.builder.write_tensor(&meta, room),
        };
        self.outputs.push_lent(TENSOR, What::Tensor(tensor), lent);
        Ok(())
    }
}

/// The tensor structure that an argument holds.
pub(super) fn tensor_of(arg: &vaccel_arg) -> Option<*mut vaccel_tensor> {
    let holds = arg.type_ == ARG_CUSTOM
        && arg.custom_type_id == CUSTOM_TENSOR
        && arg.size == size_of::<vaccel_tensor>()
        && !arg.buf.is_null();
    holds.then_some(arg.buf.cast())
}

/// Numbers of kept tensors in such arguments are the library's, which only models know.
pub(super) fn only_elements(tensor: &vaccel_tensor) -> Result<()> {
    if tensor.handle != 0 || tensor.flags & TENSOR_KEEP != 0 {
        bail!(ENOTSUP, "only models take and give kept tensors");
    }
    Ok(())
}

/// Type, shape and name of a neutral tensor.
pub(super) fn neutral_meta<'t>(
    tensor: &'t vaccel_tensor,
    name: Option<&'t CStr>,
) -> Result<TensorMeta<'t>> {
    let dims = tensor.shape();
    let Ok(dtype) = u16::try_from(tensor.dtype) else {
        bail!(EINVAL, "{} is not a type of a tensor", tensor.dtype);
    };
    if tensor.rank as usize != dims.len() {
        bail!(EINVAL, "rank {} is more than {}", tensor.rank, dims.len());
    }
    Ok(TensorMeta {
        dtype,
        dims,
        name: name.map(CStr::to_bytes),
    })
}
