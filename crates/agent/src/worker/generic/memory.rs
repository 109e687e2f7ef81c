//! What arguments point at: checked before a call, and read after it.

use std::ffi::c_void;
use std::ops::Range;
use std::ptr;

use vaccel_abi::arg::{ARG_CUSTOM, ARG_STRING, CUSTOM_TENSOR, vaccel_arg};
use vaccel_abi::error::{ENOMEM, ENOTSUP, ERANGE};
use vaccel_abi::model::{TENSOR_MAX_RANK, vaccel_tensor};
use vaccel_abi::op::OP_MODEL_RUN;
use vaccel_abi::table::OpSpec;
use vaccel_wire::{Arg, TensorMeta};

use super::super::failure::{Failure, Result};
use super::Slot;

/// One output after the call.
pub(super) struct Written {
    pub(super) data: *const u8,
    pub(super) size: usize,
}

/// Refuses kept tensors where the operation does not take them.
pub(super) fn only_model_run(spec: &OpSpec) -> Result<()> {
    if spec.code == OP_MODEL_RUN {
        return Ok(());
    }
    Err(Failure::new(
        ENOTSUP,
        format!("{} takes and gives no kept tensors", spec.name),
    ))
}

/// Frees a tensor that was kept for nobody.
pub(super) fn release(tensor: &vaccel_tensor) {
    let mut tensor = *tensor;
    if let Ok(library) = vaccel::Library::get()
        && let Some(release) = library.functions().tensor_release
    {
        // SAFETY: the library kept it for this structure alone.
        unsafe { release(&raw mut tensor) };
    }
}

/// Refuses what must not reach an operation, whatever the operation is.
pub(super) fn check(arg: &Arg<'_>, bytes: &[u8]) -> Result<()> {
    if arg.type_ == ARG_CUSTOM && arg.custom_type == CUSTOM_TENSOR {
        // Its bytes would be taken for a structure with pointers in it.
        return Err(Failure::invalid(format!(
            "argument {} is a tensor and must be sent as one",
            arg.index
        )));
    }
    if arg.type_ == ARG_STRING && arg.has_bytes() && bytes.last() != Some(&0) {
        return Err(Failure::invalid(format!(
            "argument {} is a string without its terminating zero",
            arg.index
        )));
    }
    Ok(())
}

/// Where a range of the payload lies; null for an empty one.
pub(super) fn place(payload: &mut [u8], range: &Range<usize>) -> (*mut c_void, usize) {
    match payload.get_mut(range.clone()) {
        Some(bytes) if !bytes.is_empty() => (bytes.as_mut_ptr().cast(), bytes.len()),
        _ => (ptr::null_mut(), 0),
    }
}

pub(super) fn tensor_arg(tensor: &mut vaccel_tensor) -> vaccel_arg {
    vaccel_arg {
        buf: (&raw mut *tensor).cast(),
        size: size_of::<vaccel_tensor>(),
        type_: ARG_CUSTOM,
        custom_type_id: CUSTOM_TENSOR,
        owned: false,
    }
}

/// What an operation wrote: to the memory it was given, or to memory of its own.
pub(super) fn written(slot: &Slot, data: *mut c_void, size: usize, owned: bool) -> Result<Written> {
    let allocated = owned && data != slot.data;
    if !allocated && size > slot.capacity {
        return Err(Failure::new(
            ERANGE,
            format!(
                "an output needs {size} bytes; there is room for {}",
                slot.capacity
            ),
        ));
    }
    let data = if allocated { data } else { slot.data };
    Ok(Written {
        data: data.cast_const().cast(),
        size: if data.is_null() { 0 } else { size },
    })
}

/// # Safety
/// `at` is null or points at `size` bytes that stay as they are while the result is
/// used; memory that is shared must not be looked at so.
pub(super) unsafe fn bytes<'a>(at: *mut c_void, size: usize) -> &'a [u8] {
    if at.is_null() {
        return &[];
    }
    // SAFETY: as the caller vouches.
    unsafe { std::slice::from_raw_parts(at.cast_const().cast(), size) }
}

/// # Safety
/// The bytes must be there for as long as the result is used.
pub(super) unsafe fn slice<'a>(written: &Written) -> &'a [u8] {
    if written.size == 0 {
        return &[];
    }
    // SAFETY: as the caller vouches.
    unsafe { std::slice::from_raw_parts(written.data, written.size) }
}

pub(super) fn meta(tensor: &vaccel_tensor) -> TensorMeta<'_> {
    let rank = (tensor.rank as usize).min(TENSOR_MAX_RANK);
    TensorMeta {
        // Numbers of types are small; one that is not becomes one that nobody knows.
        dtype: u16::try_from(tensor.dtype).unwrap_or(u16::MAX),
        dims: &tensor.dims[..rank],
        name: None,
    }
}

pub(super) fn no_memory() -> Failure {
    Failure::new(ENOMEM, "the agent has no memory for this request")
}
