//! Arguments: a pointer, a size and a type.

use crate::ptr::Ptr;
use crate::{Error, Result, alloc, get, get_bool, set};
use std::ffi::c_void;
use vaccel_abi::arg::{ARG_MAX, ArgType, element_size, is_scalar, name, vaccel_arg};
use vaccel_abi::error::EINVAL;

/// Checks that a size fits a type. Callers know the type of most arguments when they
/// are compiled: of all this, a test for null is left then.
#[inline(always)]
pub(crate) fn check(buf: *const c_void, size: usize, type_: ArgType) -> Result {
    let fits = |element| {
        if is_scalar(type_) {
            size == element
        } else {
            size.is_multiple_of(element)
        }
    };
    if type_ < ARG_MAX && !buf.is_null() && size != 0 && fits(element_size(type_)) {
        return Ok(());
    }
    Err(misfit(buf, size, type_))
}

/// Why a size does not fit a type.
#[cold]
#[inline(never)]
fn misfit(buf: *const c_void, size: usize, type_: ArgType) -> Error {
    let text = if type_ >= ARG_MAX {
        format!("{type_} is not a type of argument")
    } else if buf.is_null() || size == 0 {
        format!("an argument of type {} needs data", name(type_))
    } else {
        format!(
            "{size} bytes do not fit {}, whose elements have {}",
            name(type_),
            element_size(type_)
        )
    };
    Error::new(EINVAL, text).quiet()
}

/// `vaccel_arg_init`: an argument with its own copy of the data.
///
/// # Errors
/// `EINVAL` for no data, an unknown type or a size that does not fit it; `ENOMEM`.
pub fn init(
    arg: Ptr<vaccel_arg>,
    data: *const c_void,
    size: usize,
    type_: ArgType,
    custom_type_id: u32,
) -> Result {
    check(data, size, type_)?;
    // SAFETY: the caller vouches for `size` bytes at `data`.
    let copy = alloc::copy(unsafe { std::slice::from_raw_parts(data.cast::<u8>(), size) })?;
    arg.write(vaccel_arg {
        buf: copy.cast(),
        size,
        type_,
        custom_type_id,
        owned: true,
    });
    Ok(())
}

/// `vaccel_arg_init_from_buf`: an argument that refers to the caller's memory.
///
/// # Errors
/// `EINVAL` for no data, an unknown type or a size that does not fit it.
pub fn init_from_buf(
    arg: Ptr<vaccel_arg>,
    buf: *mut c_void,
    size: usize,
    type_: ArgType,
    custom_type_id: u32,
) -> Result {
    check(buf, size, type_)?;
    arg.write(vaccel_arg {
        buf,
        size,
        type_,
        custom_type_id,
        owned: false,
    });
    Ok(())
}

/// `vaccel_arg_release`: frees the data if they are the argument's own.
pub fn release(arg: Ptr<vaccel_arg>) {
    if get_bool!(arg.owned) {
        // SAFETY: owned data come from libc.
        unsafe { alloc::free(get!(arg.buf)) };
    }
    set!(arg.buf = std::ptr::null_mut());
    set!(arg.size = 0);
    set!(arg.owned = false);
}

/// `vaccel_arg_delete`: releases and frees a malloc'ed argument.
pub fn delete(arg: Ptr<vaccel_arg>) {
    release(arg);
    // SAFETY: malloc'ed, by contract of `vaccel_arg_delete`.
    unsafe { alloc::free(arg.as_ptr()) };
}

/// True when there is a zero within `size` bytes.
///
/// # Safety
/// `buf` is null or has `size` bytes.
#[must_use]
pub unsafe fn is_terminated(buf: *const c_void, size: usize) -> bool {
    if buf.is_null() {
        return false;
    }
    // SAFETY: the contract of this function.
    unsafe { !libc::memchr(buf, 0, size).is_null() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use vaccel_abi::arg::{ARG_INT32, ARG_INT32_ARRAY, ARG_RAW};

    #[test]
    fn a_copy_is_independent_and_freed_with_the_argument() {
        let mut number = 7i32;
        let p =
            alloc::filled(|arg| init(arg, (&raw const number).cast(), 4, ARG_INT32, 0)).unwrap();
        number = 8;
        // SAFETY: just made.
        let arg = unsafe { Ptr::new(p, "arg") }.unwrap();
        // SAFETY: the argument has four bytes.
        assert_eq!(unsafe { get!(arg.buf).cast::<i32>().read_unaligned() }, 7);
        assert_eq!(number, 8);
        delete(arg);
    }

    #[test]
    fn sizes_must_fit_their_type() {
        let data = [0u8; 12];
        let fits = |size, type_| check(data.as_ptr().cast(), size, type_).is_ok();
        assert!(fits(4, ARG_INT32) && fits(12, ARG_INT32_ARRAY) && fits(5, ARG_RAW));
        assert!(!fits(8, ARG_INT32) && !fits(2, ARG_INT32) && !fits(6, ARG_INT32_ARRAY));
        assert!(!fits(0, ARG_RAW) && !fits(4, ARG_MAX));
        assert!(check(std::ptr::null(), 4, ARG_INT32).is_err());
    }
}
