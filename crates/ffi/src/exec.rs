//! Calling functions of shared libraries.

use std::ffi::c_char;
use vaccel_abi::arg::vaccel_arg;
use vaccel_abi::resource::vaccel_resource;
use vaccel_abi::session::vaccel_session;
use vaccel_core::exec::{self, Args};

export! {
    /// Calls a function of a library by path.
    fn vaccel_exec(
        sess: *mut vaccel_session,
        library: *const c_char,
        fn_symbol: *const c_char,
        read: *mut vaccel_arg,
        nr_read: usize,
        write: *mut vaccel_arg,
        nr_write: usize,
    ) {
        let read = Args { first: read, count: nr_read };
        let write = Args { first: write, count: nr_write };
        exec::exec(ptr!(sess), text!(library), text!(fn_symbol), read, write)
    }

    /// Calls a function of a library that is a resource.
    fn vaccel_exec_with_resource(
        sess: *mut vaccel_session,
        resource: *mut vaccel_resource,
        fn_symbol: *const c_char,
        read: *mut vaccel_arg,
        nr_read: usize,
        write: *mut vaccel_arg,
        nr_write: usize,
    ) {
        let read = Args { first: read, count: nr_read };
        let write = Args { first: write, count: nr_write };
        exec::exec_with_resource(ptr!(sess), ptr!(resource), text!(fn_symbol), read, write)
    }
}
