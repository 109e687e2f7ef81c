//! Arrays of arguments: reading and writing them one after the other.
//!
//! `get` reads the argument at the array's position and moves on. `set` copies a
//! value into the memory of the argument at the position and moves on; an
//! argument without memory is given its own. A position moves only when the call
//! succeeds.

use crate::arg::{check, is_terminated};
use crate::arg_array::Array;
use crate::ptr::Ptr;
use crate::{Error, Result, alloc, err, fail, get, set};
use std::ffi::{c_char, c_void};
use vaccel_abi::arg::{
    ARG_CUSTOM, ARG_STRING, ArgDeserializerFn, ArgSerializerFn, ArgType, ArgTypeValidatorFn,
    element_size, is_scalar, name, vaccel_arg,
};

impl Array {
    /// `vaccel_arg_array_get_*`: one element.
    ///
    /// # Errors
    /// `EINVAL` for another type or size, `ERANGE` at the end.
    pub fn get_bytes(self, type_: ArgType, out: Ptr<u8>, size: usize) -> Result {
        debug_assert_eq!(size, element_size(type_));
        let arg = self.next(type_)?;
        let buf = get!(arg.buf);
        if buf.is_null() || get!(arg.size) != size {
            return Err(self.wrong_size(arg));
        }
        // SAFETY: the argument has as many bytes, and so has the caller's element.
        unsafe { std::ptr::copy_nonoverlapping(buf.cast::<u8>(), out.as_ptr(), size) };
        self.advance();
        Ok(())
    }

    fn wrong_size(self, arg: Ptr<vaccel_arg>) -> Error {
        err!(
            EINVAL,
            "argument {} ({}) has {} bytes",
            self.position(),
            name(get!(arg.type_)),
            get!(arg.size)
        )
        .quiet()
    }

    /// `vaccel_arg_array_get_*_array`, `_buffer`, `_raw`: where the bytes are,
    /// and how many elements.
    ///
    /// # Errors
    /// `EINVAL` for another type or a size that is no multiple of an element,
    /// `ERANGE` at the end.
    pub fn get_elements<T>(
        self,
        type_: ArgType,
        out: Ptr<*mut T>,
        count: Option<Ptr<usize>>,
    ) -> Result {
        let arg = self.next(type_)?;
        let size = get!(arg.size);
        if !size.is_multiple_of(element_size(type_)) {
            return Err(self.wrong_size(arg));
        }
        out.write(get!(arg.buf).cast());
        if let Some(count) = count {
            count.write(size / element_size(type_));
        }
        self.advance();
        Ok(())
    }

    /// `vaccel_arg_array_get_string`.
    ///
    /// # Errors
    /// `EINVAL` for another type or without a terminating zero, `ERANGE` at the end.
    pub fn get_string(self, out: Ptr<*mut c_char>) -> Result {
        let arg = self.next(ARG_STRING)?;
        // SAFETY: an argument has `size` bytes at `buf`.
        if !unsafe { is_terminated(get!(arg.buf), get!(arg.size)) } {
            return Err(err!(EINVAL, "string argument {} has no end", self.position()).quiet());
        }
        out.write(get!(arg.buf).cast());
        self.advance();
        Ok(())
    }

    /// `vaccel_arg_array_get_custom`.
    ///
    /// # Errors
    /// `EINVAL` for another type or number or when the validator objects,
    /// `ERANGE` at the end.
    ///
    /// # Safety
    /// The caller vouches for the validator.
    pub unsafe fn get_custom(
        self,
        custom: u32,
        out: Ptr<*mut c_void>,
        size: Option<Ptr<usize>>,
        validator: ArgTypeValidatorFn,
    ) -> Result {
        let arg = self.next_custom(ARG_CUSTOM, custom)?;
        // SAFETY: the contract of this function.
        unsafe { validate(validator, custom, get!(arg.buf), get!(arg.size))? };
        self.get_elements(ARG_CUSTOM, out, size)
    }

    fn next_custom(self, type_: ArgType, custom: u32) -> Result<Ptr<vaccel_arg>> {
        let arg = self.next(type_)?;
        if get!(arg.custom_type_id) != custom {
            return Err(err!(
                EINVAL,
                "argument {} has custom type {}, not {custom}",
                self.position(),
                get!(arg.custom_type_id)
            )
            .quiet());
        }
        Ok(arg)
    }

    /// `vaccel_arg_array_get_serialized`.
    ///
    /// # Errors
    /// As [`Self::get_custom`]; the code of the deserialiser.
    ///
    /// # Safety
    /// The caller vouches for the deserialiser and `size` bytes at `out`.
    pub unsafe fn get_serialized(
        self,
        type_: ArgType,
        custom: u32,
        out: *mut c_void,
        size: usize,
        deserializer: ArgDeserializerFn,
    ) -> Result {
        let Some(deserialize) = deserializer else {
            fail!(EINVAL, "`deserializer` is null");
        };
        if out.is_null() {
            fail!(EINVAL, "`data` is null");
        }
        let arg = self.next_custom(type_, custom)?;
        // SAFETY: the contract of this function.
        match unsafe { deserialize(get!(arg.buf), get!(arg.size), out, size) } {
            0 => self.advance(),
            code => return Err(callback_failed("deserializer", code)),
        }
        Ok(())
    }

    /// `vaccel_arg_array_get_remaining`: all from the position on; null when none.
    pub fn get_remaining(self, out: Ptr<*mut vaccel_arg>, count: Ptr<usize>) {
        let (position, remaining) = (self.position(), self.remaining());
        let first = match self.at(position) {
            Ok(arg) if remaining > 0 => arg.as_ptr(),
            _ => std::ptr::null_mut(),
        };
        out.write(first);
        count.write(remaining);
        self.set_position(self.count());
    }

    /// `vaccel_arg_array_set_*`: copies a value into the argument at the position.
    /// Its size stays as it is, unless it had no memory.
    ///
    /// # Errors
    /// `EINVAL` for another type, a null value, or more bytes than the argument
    /// has; `ERANGE` at the end; `ENOMEM`.
    pub fn set(self, value: *const c_void, size: usize, type_: ArgType) -> Result {
        let arg = self.next(type_)?;
        check(value, size, type_)?;
        let buf = get!(arg.buf);
        if buf.is_null() {
            // SAFETY: the caller vouches for `size` bytes at `value`.
            let copy =
                alloc::copy(unsafe { std::slice::from_raw_parts(value.cast::<u8>(), size) })?;
            set!(arg.buf = copy.cast());
            set!(arg.size = size);
            set!(arg.owned = true);
        } else if size > get!(arg.size) || (is_scalar(type_) && size != get!(arg.size)) {
            return Err(err!(
                EINVAL,
                "argument {} has {} bytes and the value {size}",
                self.position(),
                get!(arg.size)
            )
            .quiet());
        } else {
            // SAFETY: the value fits; it may be the argument's own memory.
            unsafe { std::ptr::copy(value.cast::<u8>(), buf.cast::<u8>(), size) };
        }
        self.advance();
        Ok(())
    }

    /// `vaccel_arg_array_set_*_array`.
    ///
    /// # Errors
    /// As [`Self::set`]; `EINVAL` also when the size overflows.
    pub fn set_elements(self, value: *const c_void, count: usize, type_: ArgType) -> Result {
        self.set(value, bytes_of(count, type_)?, type_)
    }

    /// `vaccel_arg_array_set_string`.
    ///
    /// # Errors
    /// As [`Self::set`].
    ///
    /// # Safety
    /// The string is null or zero-terminated.
    pub unsafe fn set_string(self, text: *const c_char) -> Result {
        if text.is_null() {
            fail!(EINVAL, "the string is null");
        }
        // SAFETY: the contract of this function.
        let size = unsafe { libc::strlen(text) } + 1;
        self.set(text.cast(), size, ARG_STRING)
    }

    /// `vaccel_arg_array_set_custom`.
    ///
    /// # Errors
    /// As [`Self::set`]; `EINVAL` for another number or when the validator objects.
    ///
    /// # Safety
    /// The caller vouches for the validator and `size` bytes at `value`.
    pub unsafe fn set_custom(
        self,
        custom: u32,
        value: *const c_void,
        size: usize,
        validator: ArgTypeValidatorFn,
    ) -> Result {
        self.next_custom(ARG_CUSTOM, custom)?;
        check(value, size, ARG_CUSTOM)?;
        // SAFETY: the contract of this function.
        unsafe { validate(validator, custom, value, size)? };
        self.set(value, size, ARG_CUSTOM)
    }

    /// `vaccel_arg_array_set_serialized`.
    ///
    /// # Errors
    /// As [`Self::set`]; the code of the serialiser.
    ///
    /// # Safety
    /// The caller vouches for the serialiser, whose result is malloc'ed.
    pub unsafe fn set_serialized(
        self,
        type_: ArgType,
        custom: u32,
        data: *const c_void,
        size: usize,
        serializer: ArgSerializerFn,
    ) -> Result {
        self.next_custom(type_, custom)?;
        // SAFETY: the contract of this function.
        let (block, size) = unsafe { serialize(data, size, serializer)? };
        self.set(block.as_ptr(), size, type_)
    }
}

/// Bytes of `count` elements.
pub(crate) fn bytes_of(count: usize, type_: ArgType) -> Result<usize> {
    count
        .checked_mul(element_size(type_))
        .filter(|&n| isize::try_from(n).is_ok())
        .ok_or_else(|| err!(EINVAL, "{count} elements of {} are too many", name(type_)))
}

/// # Safety
/// The caller vouches for the validator.
pub(crate) unsafe fn validate(
    validator: ArgTypeValidatorFn,
    custom: u32,
    buf: *const c_void,
    size: usize,
) -> Result {
    let Some(validator) = validator else {
        return Ok(());
    };
    // SAFETY: the contract of this function.
    match unsafe { validator(custom, buf, size) } {
        0 => Ok(()),
        code => Err(err!(
            EINVAL,
            "the validator refused custom type {custom} ({code})"
        )
        .quiet()),
    }
}

/// # Safety
/// The caller vouches for the serialiser, whose result is malloc'ed.
pub(crate) unsafe fn serialize(
    data: *const c_void,
    size: usize,
    serializer: ArgSerializerFn,
) -> Result<(alloc::Block<c_void>, usize)> {
    let Some(serialize) = serializer else {
        fail!(EINVAL, "`serializer` is null");
    };
    if data.is_null() {
        fail!(EINVAL, "`data` is null");
    }
    let (mut out, mut out_size) = (std::ptr::null_mut(), 0);
    // SAFETY: the contract of this function.
    let (code, block) = unsafe {
        let code = serialize(data, size, &raw mut out, &raw mut out_size);
        (code, alloc::Block::from_raw(out))
    };
    match code {
        0 => Ok((block, out_size)),
        code => Err(callback_failed("serializer", code)),
    }
}

pub(crate) fn callback_failed(what: &str, code: i32) -> Error {
    let known = if vaccel_abi::error::is_known(code) && code != 0 {
        code
    } else {
        vaccel_abi::error::EINVAL
    };
    Error::new(known, format!("the {what} failed with {code}")).quiet()
}
