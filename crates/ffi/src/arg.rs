//! Arguments.

use std::ffi::c_void;
use vaccel_abi::arg::{ArgType, vaccel_arg};
use vaccel_core::{alloc, arg};

export! {
    /// Fills an argument with a copy of data.
    fn vaccel_arg_init(
        arg: *mut vaccel_arg,
        buf: *const c_void,
        size: usize,
        r#type: ArgType,
        custom_type_id: u32,
    ) {
        arg::init(ptr!(arg), buf, size, r#type, custom_type_id)
    }

    /// Fills an argument that refers to the caller's memory.
    fn vaccel_arg_init_from_buf(
        arg: *mut vaccel_arg,
        buf: *mut c_void,
        size: usize,
        r#type: ArgType,
        custom_type_id: u32,
    ) {
        arg::init_from_buf(ptr!(arg), buf, size, r#type, custom_type_id)
    }

    /// Makes an argument with a copy of data.
    fn vaccel_arg_new(
        arg: *mut *mut vaccel_arg,
        buf: *const c_void,
        size: usize,
        r#type: ArgType,
        custom_type_id: u32,
    ) {
        let out = ptr!(arg);
        out.write(alloc::filled(|arg| arg::init(arg, buf, size, r#type, custom_type_id))?);
        Ok(())
    }

    /// Makes an argument that refers to the caller's memory.
    fn vaccel_arg_from_buf(
        arg: *mut *mut vaccel_arg,
        buf: *mut c_void,
        size: usize,
        r#type: ArgType,
        custom_type_id: u32,
    ) {
        let out = ptr!(arg);
        out.write(alloc::filled(|arg| arg::init_from_buf(arg, buf, size, r#type, custom_type_id))?);
        Ok(())
    }

    /// Frees what an argument holds.
    fn vaccel_arg_release(arg: *mut vaccel_arg) {
        arg::release(ptr!(arg));
        Ok(())
    }

    /// Frees an argument that was made.
    fn vaccel_arg_delete(arg: *mut vaccel_arg) {
        arg::delete(ptr!(arg));
        Ok(())
    }
}
