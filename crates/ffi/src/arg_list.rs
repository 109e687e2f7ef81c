//! The deprecated list of arguments.

use std::ffi::{c_int, c_void};
use vaccel_abi::arg::{vaccel_arg, vaccel_arg_list};
use vaccel_core::arg_list::{self, Deserializer, Serializer};

export! {
    /// Makes a list with room for arguments.
    fn vaccel_args_init(size: u32) -> *mut vaccel_arg_list, std::ptr::null_mut(); {
        arg_list::new(size)
    }

    /// Appends bytes of the caller.
    fn vaccel_add_serial_arg(args: *mut vaccel_arg_list, buf: *mut c_void, size: u32) {
        arg_list::add_serial(ptr!(args), buf, size)
    }

    /// Appends what a serialiser makes of a structure.
    fn vaccel_add_nonserial_arg(
        args: *mut vaccel_arg_list,
        buf: *mut c_void,
        argtype: u32,
        serializer: Serializer,
    ) {
        // SAFETY: the contract of the exported function.
        unsafe { arg_list::add_nonserial(ptr!(args), buf, argtype, serializer) }
    }

    /// Appends memory of the caller for a result.
    fn vaccel_expect_serial_arg(args: *mut vaccel_arg_list, buf: *mut c_void, size: u32) {
        arg_list::add_serial(ptr!(args), buf, size)
    }

    /// Appends memory of the list's own for a result.
    fn vaccel_expect_nonserial_arg(args: *mut vaccel_arg_list, expected_size: u32) {
        arg_list::expect_nonserial(ptr!(args), expected_size)
    }

    /// The bytes of an argument.
    fn vaccel_extract_serial_arg(args: *mut vaccel_arg, idx: c_int) -> *mut c_void, std::ptr::null_mut(); {
        // SAFETY: the contract of the exported function.
        unsafe { arg_list::extract_serial(ptr!(args), idx) }
    }

    /// What a deserialiser makes of an argument.
    fn vaccel_extract_nonserial_arg(
        args: *mut vaccel_arg,
        idx: c_int,
        deserializer: Deserializer,
    ) -> *mut c_void, std::ptr::null_mut(); {
        // SAFETY: the contract of the exported function.
        unsafe { arg_list::extract_nonserial(ptr!(args), idx, deserializer) }
    }

    /// Copies bytes into an argument.
    fn vaccel_write_serial_arg(args: *mut vaccel_arg, idx: c_int, buf: *mut c_void) {
        // SAFETY: the contract of the exported function.
        unsafe { arg_list::write_serial(ptr!(args), idx, buf) }
    }

    /// Copies what a serialiser makes of a structure into an argument.
    fn vaccel_write_nonserial_arg(
        args: *mut vaccel_arg,
        idx: c_int,
        buf: *mut c_void,
        serializer: Serializer,
    ) {
        // SAFETY: the contract of the exported function.
        unsafe { arg_list::write_nonserial(ptr!(args), idx, buf, serializer) }
    }

    /// Frees a list.
    fn vaccel_delete_args(args: *mut vaccel_arg_list) {
        arg_list::delete(ptr!(args));
        Ok(())
    }
}
