//! Calling functions of shared libraries.

use crate::op::{self, call_function};
use crate::ptr::Ptr;
use crate::{Result, call_op, choice, fail, get_bool, register, resource};
use std::ffi::CStr;
use vaccel_abi::arg::vaccel_arg;
use vaccel_abi::op::{ExecFn, ExecWithResourceFn, OP_EXEC, OP_EXEC_WITH_RESOURCE};
use vaccel_abi::resource::{RESOURCE_LIB, vaccel_resource};
use vaccel_abi::session::vaccel_session;

/// Arguments as C passes them.
#[derive(Debug, Clone, Copy)]
pub struct Args {
    /// `count` arguments; null when there are none.
    pub first: *mut vaccel_arg,
    /// Their number.
    pub count: usize,
}

impl Args {
    /// Bytes of all arguments, which were checked.
    pub(crate) fn bytes(self) -> usize {
        if self.first.is_null() {
            return 0;
        }
        // SAFETY: the caller of the operation vouches for as many arguments.
        let args = unsafe { std::slice::from_raw_parts(self.first, self.count) };
        args.iter().fold(0, |sum, arg| sum.saturating_add(arg.size))
    }

    fn check(self, name: &str) -> Result {
        if self.count > 0 && self.first.is_null() {
            fail!(
                EINVAL,
                "`{name}` is null and there are {} arguments",
                self.count
            );
        }
        Ok(())
    }
}

fn check(symbol: &CStr, read: Args, write: Args) -> Result {
    if symbol.is_empty() {
        fail!(EINVAL, "the name of the function is empty");
    }
    read.check("read")?;
    write.check("write")
}

/// `vaccel_exec`: calls a function of a library by path.
///
/// # Errors
/// `EINVAL` for an empty path or name; those of the plugin.
pub fn exec(
    sess: Ptr<vaccel_session>,
    library: &CStr,
    symbol: &CStr,
    read: Args,
    write: Args,
) -> Result {
    if library.is_empty() {
        // To the loader that would be the whole process.
        fail!(EINVAL, "the path of the library is empty");
    }
    check(symbol, read, write)?;
    call_op!(
        sess,
        OP_EXEC,
        ExecFn,
        library.as_ptr(),
        symbol.as_ptr(),
        read.first,
        read.count,
        write.first,
        write.count;
        (read.bytes(), write.bytes())
    )
}

/// `vaccel_exec_with_resource`: calls a function of a library that is a resource.
/// One that lives in memory is given a path first.
///
/// # Errors
/// `EINVAL` for a resource that is no library and for an empty name; `EPERM` when
/// it is not registered; those of the plugin.
pub fn exec_with_resource(
    sess: Ptr<vaccel_session>,
    res: Ptr<vaccel_resource>,
    symbol: &CStr,
    read: Args,
    write: Args,
) -> Result {
    check(symbol, read, write)?;
    let chosen = choice::decides(sess, OP_EXEC_WITH_RESOURCE);
    if !chosen {
        op::function(sess, OP_EXEC_WITH_RESOURCE)?;
    }
    resource::require(sess, res, RESOURCE_LIB)?;
    if !get_bool!(sess.is_virtio) {
        register::make_loadable(res)?;
        register::library_path(res)?;
    }
    let function = match chosen {
        true => op::function_of(choice::of_library(sess, res)?, OP_EXEC_WITH_RESOURCE)?,
        false => op::function(sess, OP_EXEC_WITH_RESOURCE)?,
    };
    call_function!(
        function,
        sess,
        OP_EXEC_WITH_RESOURCE,
        ExecWithResourceFn,
        res.as_ptr(),
        symbol.as_ptr(),
        read.first,
        read.count,
        write.first,
        write.count;
        (read.bytes(), write.bytes())
    )
}
