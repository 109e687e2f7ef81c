//! Tensors that the agent keeps.

use crate::NAME;
use crate::call::{self, op};
use crate::held::Held;
use vaccel_plugin::abi::CResult;
use vaccel_plugin::abi::model::{TENSOR_KEEP, vaccel_tensor};
use vaccel_plugin::abi::session::vaccel_session;
use vaccel_plugin::bail;
use vaccel_plugin::raw::guard;
use vaccel_wire::control;

pub(crate) unsafe extern "C" fn keep(
    session: *mut vaccel_session,
    tensor: *const vaccel_tensor,
    handle: *mut u64,
) -> CResult {
    let mut kept = vaccel_tensor {
        flags: TENSOR_KEEP,
        ..vaccel_tensor::empty()
    };
    let code = op(
        "tensor_keep",
        session,
        control::TENSOR_KEEP.into(),
        |call| {
            if tensor.is_null() || handle.is_null() {
                bail!(EINVAL, "the tensor or the place for its number is null");
            }
            if !call.keeps_tensors() {
                bail!(ENOTSUP, "the agent keeps no tensors");
            }
            // SAFETY: a tensor with its bytes, by the ABI; the output outlives the call.
            unsafe {
                call.neutral_tensor(&tensor.read())?;
                call.out_neutral_tensor(&raw mut kept)
            }
        },
    );
    if code == 0 {
        // SAFETY: not null, as was checked.
        unsafe { handle.write(kept.handle) };
    }
    code
}

pub(crate) unsafe extern "C" fn fetch(
    session: *mut vaccel_session,
    handle: u64,
    out: *mut vaccel_tensor,
) -> CResult {
    op(
        "tensor_fetch",
        session,
        control::TENSOR_FETCH.into(),
        |call| {
            if out.is_null() {
                bail!(EINVAL, "the place for the tensor is null");
            }
            let number = call.kept(handle)?;
            call.scalar(number);
            // SAFETY: an output of the library, by the ABI.
            unsafe { call.out_neutral_tensor(out) }
        },
    )
}

pub(crate) unsafe extern "C" fn free(session: *mut vaccel_session, handle: u64) -> CResult {
    guard(NAME, "tensor_free", || {
        // SAFETY: the library passes live sessions.
        let held = unsafe { Held::of(session) }?;
        // Else it went with the connection.
        let Some(own) = held.now() else {
            return Ok(());
        };
        let Some(number) = own.link.forget_tensor(handle) else {
            return Ok(());
        };
        let result = call::run(&own.link, own.number, control::TENSOR_FREE, |call| {
            call.scalar(number);
            Ok(())
        });
        if own.link.connection.is_usable() {
            result
        } else {
            Ok(())
        }
    })
}
