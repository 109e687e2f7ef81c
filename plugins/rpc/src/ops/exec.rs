//! noop, exec, exec_with_resource and opencv: arguments as the application made
//! them.

use super::count;
use crate::call::{Call, op};
use libc::{c_char, c_int, size_t};
use vaccel_plugin::abi::CResult;
use vaccel_plugin::abi::arg::vaccel_arg;
use vaccel_plugin::abi::op::{OP_EXEC, OP_EXEC_WITH_RESOURCE, OP_NOOP, OP_OPENCV};
use vaccel_plugin::abi::resource::vaccel_resource;
use vaccel_plugin::abi::session::vaccel_session;
use vaccel_plugin::{Result, bail};

/// # Safety
/// Null, or as many arguments as the number says, valid until the call is over.
unsafe fn arguments(
    call: &mut Call<'_, '_>,
    read: *mut vaccel_arg,
    nr_read: usize,
    write: *mut vaccel_arg,
    nr_write: usize,
) -> Result<()> {
    for (list, n, name) in [(read, nr_read, "read"), (write, nr_write, "write")] {
        if n > usize::from(u16::MAX) {
            bail!(EINVAL, "{n} {name} arguments are more than 65535");
        }
        if n > 0 && list.is_null() {
            bail!(
                EINVAL,
                "there are {n} {name} arguments, and the list is null"
            );
        }
    }
    for i in 0..nr_read {
        // SAFETY: as promised by the caller.
        unsafe { call.argument(&read.add(i).read()) }?;
    }
    for i in 0..nr_write {
        // SAFETY: as promised by the caller.
        unsafe { call.out_argument(write.add(i)) }?;
    }
    Ok(())
}

pub(crate) unsafe extern "C" fn noop(session: *mut vaccel_session) -> CResult {
    op("noop", session, OP_NOOP, |_| Ok(()))
}

pub(crate) unsafe extern "C" fn exec(
    session: *mut vaccel_session,
    library: *const c_char,
    symbol: *const c_char,
    read: *mut vaccel_arg,
    nr_read: size_t,
    write: *mut vaccel_arg,
    nr_write: size_t,
) -> CResult {
    // SAFETY: C strings and lists of that many arguments, by the ABI.
    op("exec", session, OP_EXEC, |call| unsafe {
        call.text(library, "library")?;
        call.text(symbol, "symbol")?;
        arguments(call, read, nr_read, write, nr_write)
    })
}

pub(crate) unsafe extern "C" fn exec_with_resource(
    session: *mut vaccel_session,
    library: *mut vaccel_resource,
    symbol: *const c_char,
    read: *mut vaccel_arg,
    nr_read: size_t,
    write: *mut vaccel_arg,
    nr_write: size_t,
) -> CResult {
    // SAFETY: a C string and lists of that many arguments, by the ABI.
    op(
        "exec_with_resource",
        session,
        OP_EXEC_WITH_RESOURCE,
        |call| unsafe {
            call.resource(library)?;
            call.text(symbol, "symbol")?;
            arguments(call, read, nr_read, write, nr_write)
        },
    )
}

pub(crate) unsafe extern "C" fn opencv(
    session: *mut vaccel_session,
    read: *mut vaccel_arg,
    nr_read: c_int,
    write: *mut vaccel_arg,
    nr_write: c_int,
) -> CResult {
    // SAFETY: lists of that many arguments, by the ABI.
    op("opencv", session, OP_OPENCV, |call| unsafe {
        let (nr_read, nr_write) = (count(nr_read, "nr_read")?, count(nr_write, "nr_write")?);
        arguments(call, read, nr_read, write, nr_write)
    })
}
