//! Arrays of arguments: making and filling them.
//!
//! `add` appends an argument that refers to the caller's memory. Reading and
//! writing the arguments is in [`crate::arg_access`].

use crate::arg::{check, release};
use crate::arg_access::{bytes_of, serialize, validate};
use crate::ptr::Ptr;
use crate::{Result, alloc, err, fail, get, get_bool, set};
use std::ffi::{c_char, c_void};
use vaccel_abi::arg::{
    ARG_CUSTOM, ARG_STRING, ArgSerializerFn, ArgType, ArgTypeValidatorFn, name, vaccel_arg,
    vaccel_arg_array,
};

/// Appends an argument that refers to the caller's memory, where there is nothing to
/// object to and room for it. False when there is not: then nothing has happened, and
/// [`Array::add`] says why or makes room.
///
/// It calls nothing, so that a caller which is as plain saves no registers.
///
/// # Safety
/// `array` is null or an array; `size` is right for `type_`, and not 0.
#[inline(always)]
pub unsafe fn add_in_place(
    array: *mut vaccel_arg_array,
    buf: *mut c_void,
    size: usize,
    type_: ArgType,
) -> bool {
    if array.is_null() || !array.is_aligned() || buf.is_null() {
        return false;
    }
    // SAFETY: not null, aligned, and an array as promised; `owned` is read as a byte, for C
    // may hold any. Below its capacity an owned array has memory.
    unsafe {
        let count = (*array).count;
        let args = (*array).args;
        let owned = (&raw const (*array).owned).cast::<u8>().read();
        if owned == 0 || count >= (*array).capacity || args.is_null() || !args.is_aligned() {
            return false;
        }
        let place = args.add(count);
        (&raw mut (*place).buf).write(buf);
        (&raw mut (*place).size).write(size);
        (&raw mut (*place).type_).write(type_);
        (&raw mut (*place).custom_type_id).write(0);
        (&raw mut (*place).owned).write(false);
        (*array).count = count + 1;
    }
    true
}

/// An array of arguments that C owns.
#[derive(Debug, Clone, Copy)]
pub struct Array(Ptr<vaccel_arg_array>);

impl From<Ptr<vaccel_arg_array>> for Array {
    fn from(p: Ptr<vaccel_arg_array>) -> Self {
        Self(p)
    }
}

impl Array {
    /// `vaccel_arg_array_init`: empty, with room for `capacity`.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn init(self, capacity: usize) -> Result {
        let args = match capacity {
            0 => std::ptr::null_mut(),
            n => alloc::zeroed::<vaccel_arg>(n)?,
        };
        self.0.write(vaccel_arg_array {
            args,
            count: 0,
            capacity,
            position: 0,
            owned: true,
        });
        Ok(())
    }

    /// `vaccel_arg_array_wrap`: the caller's own arguments.
    ///
    /// # Errors
    /// `EINVAL` for a null pointer with a count.
    pub fn wrap(self, args: *mut vaccel_arg, count: usize) -> Result {
        if args.is_null() && count > 0 {
            fail!(EINVAL, "`args` is null and `count` is {count}");
        }
        self.0.write(vaccel_arg_array {
            args,
            count,
            capacity: count,
            position: 0,
            owned: false,
        });
        Ok(())
    }

    /// A malloc'ed array.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn create(capacity: usize) -> Result<*mut vaccel_arg_array> {
        alloc::filled(|array| Self(array).init(capacity))
    }

    /// `vaccel_arg_array_release`: frees what the array owns.
    pub fn release(self) {
        self.free_data();
        let array = self.0;
        if get_bool!(array.owned) {
            // SAFETY: an owned array's memory comes from libc.
            unsafe { alloc::free(get!(array.args)) };
        }
        array.write(vaccel_arg_array {
            args: std::ptr::null_mut(),
            count: 0,
            capacity: 0,
            position: 0,
            owned: false,
        });
    }

    /// `vaccel_arg_array_delete`: releases and frees a malloc'ed array.
    pub fn delete(self) {
        self.release();
        // SAFETY: malloc'ed, by contract of `vaccel_arg_array_delete`.
        unsafe { alloc::free(self.0.as_ptr()) };
    }

    /// `vaccel_arg_array_clear`: no arguments; the room stays.
    pub fn clear(self) {
        self.free_data();
        let array = self.0;
        set!(array.count = 0);
        set!(array.position = 0);
    }

    /// Frees the data that belong to the arguments, before those are forgotten.
    fn free_data(self) {
        let array = self.0;
        let args = get!(array.args);
        if !get_bool!(array.owned) || args.is_null() {
            return;
        }
        for i in 0..get!(array.count) {
            // SAFETY: below `count`.
            if let Ok(arg) = unsafe { Ptr::new(args.add(i), "arg") }
                && get_bool!(arg.owned)
            {
                release(arg);
            }
        }
    }

    /// The arguments, to be handed to an operation.
    #[must_use]
    pub fn raw(self) -> *mut vaccel_arg {
        let array = self.0;
        get!(array.args)
    }

    /// How many there are.
    #[must_use]
    pub fn count(self) -> usize {
        let array = self.0;
        get!(array.count)
    }

    /// Index of the next one to get or set.
    #[must_use]
    pub fn position(self) -> usize {
        let array = self.0;
        get!(array.position)
    }

    /// Sets the position, at most to the end.
    pub fn set_position(self, position: usize) {
        let array = self.0;
        set!(array.position = position.min(get!(array.count)));
    }

    /// How many are left from the position on.
    #[must_use]
    pub fn remaining(self) -> usize {
        self.count().saturating_sub(self.position())
    }

    pub(crate) fn at(self, index: usize) -> Result<Ptr<vaccel_arg>> {
        let (args, count) = (self.raw(), self.count());
        if index >= count || args.is_null() {
            return Err(err!(ERANGE, "there is no argument {index}, only {count}").quiet());
        }
        // SAFETY: below `count`.
        unsafe { Ptr::new(args.add(index), "arg") }
    }

    /// The argument at the position, which must have this type.
    pub(crate) fn next(self, type_: ArgType) -> Result<Ptr<vaccel_arg>> {
        let index = self.position();
        let arg = self.at(index)?;
        if get!(arg.type_) != type_ {
            return Err(err!(
                EINVAL,
                "argument {index} is {}, not {}",
                name(get!(arg.type_)),
                name(type_)
            )
            .quiet());
        }
        Ok(arg)
    }

    pub(crate) fn advance(self) {
        let array = self.0;
        set!(array.position = self.position() + 1);
    }

    /// Appends an argument. Its fields are written one by one where they stay: built
    /// elsewhere first, they would be read back in larger pieces than they were written,
    /// which a processor cannot forward and waits for.
    #[inline(always)]
    fn push(self, arg: vaccel_arg) -> Result {
        let array = self.0;
        let count = get!(array.count);
        if !get_bool!(array.owned) || count >= get!(array.capacity) {
            self.grow()?;
        }
        // SAFETY: `count` is below the capacity.
        let place = unsafe { Ptr::new(get!(array.args).add(count), "args")? };
        set!(place.buf = arg.buf);
        set!(place.size = arg.size);
        set!(place.type_ = arg.type_);
        set!(place.custom_type_id = arg.custom_type_id);
        set!(place.owned = arg.owned);
        set!(array.count = count + 1);
        Ok(())
    }

    /// Makes room for one more argument, and for as many again.
    #[cold]
    #[inline(never)]
    fn grow(self) -> Result {
        let array = self.0;
        if !get_bool!(array.owned) {
            fail!(
                EPERM,
                "an array that wraps the caller's arguments cannot grow"
            );
        }
        let count = get!(array.count);
        let more = count.checked_mul(2).map_or(usize::MAX, |n| n.max(4));
        let new = alloc::array::<vaccel_arg>(more)?;
        let old = get!(array.args);
        if !old.is_null() {
            // SAFETY: `count` arguments are there, and more fit into the new memory.
            unsafe {
                std::ptr::copy_nonoverlapping(old, new, count);
                alloc::free(old);
            }
        }
        set!(array.args = new);
        set!(array.capacity = more);
        Ok(())
    }

    /// `vaccel_arg_array_add_*`: bytes of the caller.
    ///
    /// # Errors
    /// `EINVAL` for no data or a size that does not fit the type; `EPERM` for a
    /// wrapped array; `ENOMEM`.
    #[inline(always)]
    pub fn add(self, buf: *mut c_void, size: usize, type_: ArgType, custom: u32) -> Result {
        check(buf, size, type_)?;
        self.push(vaccel_arg {
            buf,
            size,
            type_,
            custom_type_id: custom,
            owned: false,
        })
    }

    /// `vaccel_arg_array_add_*_array`: `count` elements of the caller.
    ///
    /// # Errors
    /// As [`Self::add`]; `EINVAL` also when the size overflows.
    pub fn add_elements(self, buf: *mut c_void, count: usize, type_: ArgType) -> Result {
        self.add(buf, bytes_of(count, type_)?, type_, 0)
    }

    /// `vaccel_arg_array_add_string`.
    ///
    /// # Errors
    /// As [`Self::add`].
    ///
    /// # Safety
    /// The string is null or zero-terminated.
    pub unsafe fn add_string(self, text: *mut c_char) -> Result {
        if text.is_null() {
            fail!(EINVAL, "the string is null");
        }
        // SAFETY: the contract of this function.
        let size = unsafe { libc::strlen(text) } + 1;
        self.add(text.cast(), size, ARG_STRING, 0)
    }

    /// `vaccel_arg_array_add_custom`, after the validator, if any, agreed.
    ///
    /// # Errors
    /// As [`Self::add`]; `EINVAL` when the validator objects.
    ///
    /// # Safety
    /// The caller vouches for the validator.
    pub unsafe fn add_custom(
        self,
        custom: u32,
        buf: *mut c_void,
        size: usize,
        validator: ArgTypeValidatorFn,
    ) -> Result {
        check(buf, size, ARG_CUSTOM)?;
        // SAFETY: the contract of this function.
        unsafe { validate(validator, custom, buf, size)? };
        self.add(buf, size, ARG_CUSTOM, custom)
    }

    /// `vaccel_arg_array_add_serialized`: what the serialiser makes of the data.
    ///
    /// # Errors
    /// As [`Self::add`]; the code of the serialiser.
    ///
    /// # Safety
    /// The caller vouches for the serialiser, whose result is malloc'ed.
    pub unsafe fn add_serialized(
        self,
        type_: ArgType,
        custom: u32,
        data: *const c_void,
        size: usize,
        serializer: ArgSerializerFn,
    ) -> Result {
        // SAFETY: the contract of this function.
        let (block, size) = unsafe { serialize(data, size, serializer)? };
        check(block.as_ptr(), size, type_)?;
        self.push(vaccel_arg {
            buf: block.as_ptr(),
            size,
            type_,
            custom_type_id: custom,
            owned: true,
        })?;
        let _ = block.into_raw();
        Ok(())
    }

    /// `vaccel_arg_array_add_range`: `count` arguments of another array, as
    /// references or, with `copy`, with their data.
    ///
    /// # Errors
    /// `ERANGE` when there are not so many, `EINVAL` when the range overflows,
    /// and those of [`Self::add`]; nothing is added then.
    pub fn add_range(self, from: Self, start: usize, count: usize, copy: bool) -> Result {
        let Some(end) = start.checked_add(count) else {
            fail!(EINVAL, "{count} arguments from {start} on overflow");
        };
        if end > from.count() {
            return Err(err!(
                ERANGE,
                "arguments {start} to {end} of an array of {}",
                from.count()
            )
            .quiet());
        }
        let before = self.count();
        for i in start..end {
            let result = from.at(i).and_then(|arg| self.add_one(arg, copy));
            if let Err(e) = result {
                self.truncate(before);
                return Err(e);
            }
        }
        Ok(())
    }

    fn add_one(self, arg: Ptr<vaccel_arg>, copy: bool) -> Result {
        let mut arg = arg.read();
        arg.owned = false;
        if copy && !arg.buf.is_null() {
            // SAFETY: an argument has `size` bytes at `buf`.
            let bytes = unsafe { std::slice::from_raw_parts(arg.buf.cast::<u8>(), arg.size) };
            arg.buf = alloc::copy(bytes)?.cast();
            arg.owned = true;
        }
        self.push(arg).inspect_err(|_| {
            if arg.owned {
                // SAFETY: made above.
                unsafe { alloc::free(arg.buf) };
            }
        })
    }

    fn truncate(self, count: usize) {
        let array = self.0;
        for i in count..self.count() {
            if let Ok(arg) = self.at(i) {
                release(arg);
            }
        }
        set!(array.count = count);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use vaccel_abi::arg::ARG_INT64;
    use vaccel_abi::error as code;

    fn array() -> Array {
        let p = Array::create(0).unwrap();
        // SAFETY: just made.
        Array::from(unsafe { Ptr::new(p, "array") }.unwrap())
    }

    #[test]
    fn an_array_grows_and_gives_back_what_was_added_in_order() {
        let mut values: Vec<i64> = (0..100).collect();
        let array = array();
        for value in &mut values {
            array
                .add(std::ptr::from_mut(value).cast(), 8, ARG_INT64, 0)
                .unwrap();
        }
        assert_eq!((array.count(), array.remaining()), (100, 100));
        for wanted in 0..100i64 {
            let mut value = 0i64;
            // SAFETY: `value` outlives the call.
            let out = unsafe { Ptr::new(&raw mut value, "value") }.unwrap();
            array.get_bytes(ARG_INT64, out.cast(), 8).unwrap();
            assert_eq!(value, wanted);
        }
        let mut value = 0i64;
        // SAFETY: `value` outlives the call.
        let out = unsafe { Ptr::new(&raw mut value, "value") }.unwrap();
        let e = array.get_bytes(ARG_INT64, out.cast(), 8).unwrap_err();
        assert_eq!(e.code(), code::ERANGE);
        array.set_position(usize::MAX);
        assert_eq!(array.position(), 100);
        array.delete();
    }

    #[test]
    fn a_wrapped_array_cannot_grow() {
        let mut value = 1i64;
        let mut args = [vaccel_arg {
            buf: (&raw mut value).cast(),
            size: 8,
            type_: ARG_INT64,
            custom_type_id: 0,
            owned: false,
        }];
        let array = array();
        array.wrap(args.as_mut_ptr(), 1).unwrap();
        let e = array
            .add((&raw mut value).cast(), 8, ARG_INT64, 0)
            .unwrap_err();
        assert_eq!(e.code(), code::EPERM);
        array.delete();
    }

    #[test]
    fn adding_a_range_that_fails_adds_nothing() {
        let mut value = 1i64;
        let (from, to) = (array(), array());
        from.add((&raw mut value).cast(), 8, ARG_INT64, 0).unwrap();
        assert!(to.add_range(from, 0, 2, true).is_err());
        assert!(to.add_range(from, usize::MAX, 2, true).is_err());
        assert_eq!(to.count(), 0);
        to.add_range(from, 0, 1, true).unwrap();
        to.add_range(to, 0, 1, false).unwrap();
        assert_eq!(to.count(), 2);
        from.delete();
        to.delete();
    }
}
