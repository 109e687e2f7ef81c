//! Any operation in generic form.

use std::ffi::c_int;
use vaccel_abi::arg::vaccel_arg;
use vaccel_abi::session::vaccel_session;
use vaccel_core::genop;

export! {
    /// Calls the operation that the first read argument names.
    fn vaccel_genop(
        sess: *mut vaccel_session,
        read: *mut vaccel_arg,
        nr_read: c_int,
        write: *mut vaccel_arg,
        nr_write: c_int,
    ) {
        genop::genop(ptr!(sess), read, nr_read, write, nr_write)
    }
}
