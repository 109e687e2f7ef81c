//! The deprecated list of arguments; new programs use [`crate::arg`].

use crate::ptr::Ptr;
use crate::{Result, alloc, err, fail, get, set};
use std::ffi::{c_int, c_void};
use vaccel_abi::arg::{ARG_RAW, vaccel_arg, vaccel_arg_list};

/// Turns a structure into malloc'ed bytes and tells their number.
pub type Serializer = Option<unsafe extern "C" fn(*mut c_void, *mut u32) -> *mut c_void>;
/// Turns bytes into a structure.
pub type Deserializer = Option<unsafe extern "C" fn(*mut c_void, u32) -> *mut c_void>;

/// `vaccel_args_init`: a malloc'ed list with room for `size` arguments.
///
/// # Errors
/// `EINVAL` for no or too many arguments, `ENOMEM`.
pub fn new(size: u32) -> Result<*mut vaccel_arg_list> {
    if size == 0 || c_int::try_from(size).is_err() {
        fail!(EINVAL, "a list of {size} arguments");
    }
    let count = size as usize;
    let args = alloc::zeroed::<vaccel_arg>(count)?;
    // SAFETY: made by this module and not handed on before the end.
    let args = unsafe { alloc::Block::from_raw(args) };
    // SAFETY: as above.
    let flags = unsafe { alloc::Block::from_raw(alloc::zeroed::<c_int>(count)?) };
    let list = alloc::boxed(vaccel_arg_list {
        size,
        list: args.as_ptr(),
        curr_idx: 0,
        idcs_allocated_space: flags.as_ptr(),
    })?;
    let (_, _) = (args.into_raw(), flags.into_raw());
    Ok(list)
}

/// Appends bytes; `allocated`: they are freed with the list.
fn add(
    list: Ptr<vaccel_arg_list>,
    buf: *mut c_void,
    size: u32,
    type_: u32,
    allocated: bool,
) -> Result {
    let index = get!(list.curr_idx);
    let (args, flags) = (get!(list.list), get!(list.idcs_allocated_space));
    let Some(at) = usize::try_from(index)
        .ok()
        .filter(|&i| i < get!(list.size) as usize)
    else {
        fail!(
            ERANGE,
            "the list has room for {} arguments",
            get!(list.size)
        );
    };
    if args.is_null() || flags.is_null() {
        fail!(EINVAL, "the list was not made by vaccel_args_init()");
    }
    // SAFETY: below the list's size.
    unsafe {
        args.add(at).write(vaccel_arg {
            buf,
            size: size as usize,
            type_,
            custom_type_id: 0,
            owned: false,
        });
        flags.add(at).write(c_int::from(allocated));
    }
    set!(list.curr_idx = index + 1);
    Ok(())
}

/// `vaccel_add_serial_arg` and `vaccel_expect_serial_arg`: bytes of the caller.
///
/// # Errors
/// `EINVAL` for no bytes, `ERANGE` when the list is full.
pub fn add_serial(list: Ptr<vaccel_arg_list>, buf: *mut c_void, size: u32) -> Result {
    if buf.is_null() || size == 0 {
        fail!(EINVAL, "an argument needs data");
    }
    add(list, buf, size, ARG_RAW, false)
}

/// `vaccel_add_nonserial_arg`: what the serialiser makes of a structure.
///
/// # Errors
/// `EINVAL` when the serialiser is null or fails, `ERANGE` when the list is full.
///
/// # Safety
/// The caller vouches for the serialiser, whose result is malloc'ed.
pub unsafe fn add_nonserial(
    list: Ptr<vaccel_arg_list>,
    data: *mut c_void,
    type_: u32,
    serializer: Serializer,
) -> Result {
    // SAFETY: the contract of this function.
    let (block, size) = unsafe { serialize(data, serializer)? };
    add(list, block.as_ptr(), size, type_, true)?;
    let _ = block.into_raw();
    Ok(())
}

/// `vaccel_expect_nonserial_arg`: room for the bytes of a structure.
///
/// # Errors
/// `EINVAL` for no bytes, `ENOMEM`, `ERANGE` when the list is full.
pub fn expect_nonserial(list: Ptr<vaccel_arg_list>, size: u32) -> Result {
    if size == 0 {
        fail!(EINVAL, "an argument needs a size");
    }
    // SAFETY: freed unless handed on.
    let block = unsafe { alloc::Block::from_raw(alloc::zeroed::<u8>(size as usize)?) };
    add(list, block.as_ptr().cast(), size, ARG_RAW, true)?;
    let _ = block.into_raw();
    Ok(())
}

/// # Safety
/// `args` has more than `index` elements; nobody can check that.
unsafe fn at(args: Ptr<vaccel_arg>, index: c_int) -> Result<Ptr<vaccel_arg>> {
    let Ok(index) = usize::try_from(index) else {
        fail!(EINVAL, "argument {index}");
    };
    // SAFETY: the contract of this function.
    unsafe { Ptr::new(args.as_ptr().add(index), "args") }
}

/// `vaccel_extract_serial_arg`: the bytes of an argument.
///
/// # Errors
/// `EINVAL` for a negative index.
///
/// # Safety
/// There are more than `index` arguments.
pub unsafe fn extract_serial(args: Ptr<vaccel_arg>, index: c_int) -> Result<*mut c_void> {
    // SAFETY: the contract of this function.
    let arg = unsafe { at(args, index)? };
    Ok(get!(arg.buf))
}

/// `vaccel_extract_nonserial_arg`: what the deserialiser makes of an argument.
///
/// # Errors
/// `EINVAL` for a negative index, no deserialiser, or an argument too large for it.
///
/// # Safety
/// There are more than `index` arguments; the caller vouches for the deserialiser.
pub unsafe fn extract_nonserial(
    args: Ptr<vaccel_arg>,
    index: c_int,
    deserializer: Deserializer,
) -> Result<*mut c_void> {
    let Some(deserialize) = deserializer else {
        fail!(EINVAL, "`deserializer` is null");
    };
    // SAFETY: the contract of this function.
    let arg = unsafe { at(args, index)? };
    let size = u32::try_from(get!(arg.size))
        .map_err(|_| err!(EINVAL, "argument {index} is larger than 4 GiB"))?;
    // SAFETY: the contract of this function.
    Ok(unsafe { deserialize(get!(arg.buf), size) })
}

/// `vaccel_write_serial_arg`: copies as many bytes as the argument has.
///
/// # Errors
/// `EINVAL` for null pointers and a negative index.
///
/// # Safety
/// There are more than `index` arguments, and as many bytes at `buf`.
pub unsafe fn write_serial(args: Ptr<vaccel_arg>, index: c_int, buf: *const c_void) -> Result {
    // SAFETY: the contract of this function.
    let arg = unsafe { at(args, index)? };
    if buf.is_null() || get!(arg.buf).is_null() {
        fail!(EINVAL, "argument {index} has no memory, or `buf` is null");
    }
    // SAFETY: the contract of this function; both may be the same memory.
    unsafe { std::ptr::copy(buf.cast::<u8>(), get!(arg.buf).cast(), get!(arg.size)) };
    Ok(())
}

/// `vaccel_write_nonserial_arg`: copies what the serialiser makes of a structure.
///
/// # Errors
/// `EINVAL` as above, and when it does not fit.
///
/// # Safety
/// There are more than `index` arguments; the caller vouches for the serialiser.
pub unsafe fn write_nonserial(
    args: Ptr<vaccel_arg>,
    index: c_int,
    data: *mut c_void,
    serializer: Serializer,
) -> Result {
    // SAFETY: the contract of this function.
    let (arg, (block, size)) = unsafe { (at(args, index)?, serialize(data, serializer)?) };
    let size = size as usize;
    if get!(arg.buf).is_null() || size > get!(arg.size) {
        fail!(
            EINVAL,
            "argument {index} has {} bytes, {size} are needed",
            get!(arg.size)
        );
    }
    // SAFETY: it fits, and a new block does not overlap.
    unsafe {
        std::ptr::copy_nonoverlapping(block.as_ptr().cast::<u8>(), get!(arg.buf).cast(), size);
    }
    Ok(())
}

/// # Safety
/// The caller vouches for the serialiser, whose result is malloc'ed.
unsafe fn serialize(
    data: *mut c_void,
    serializer: Serializer,
) -> Result<(alloc::Block<c_void>, u32)> {
    let Some(serialize) = serializer else {
        fail!(EINVAL, "`serializer` is null");
    };
    if data.is_null() {
        fail!(EINVAL, "`buf` is null");
    }
    let mut size = 0;
    // SAFETY: the contract of this function.
    let block = unsafe { alloc::Block::from_raw(serialize(data, &raw mut size)) };
    if block.as_ptr().is_null() {
        fail!(EINVAL, "the serializer returned nothing");
    }
    Ok((block, size))
}

/// `vaccel_delete_args`: frees a list and what it allocated.
pub fn delete(list: Ptr<vaccel_arg_list>) {
    let (args, flags) = (get!(list.list), get!(list.idcs_allocated_space));
    // SAFETY: a list of `vaccel_args_init`, freed once.
    unsafe {
        if !args.is_null() && !flags.is_null() {
            for i in 0..get!(list.size) as usize {
                if flags.add(i).read() != 0 {
                    alloc::free((*args.add(i)).buf);
                }
            }
        }
        alloc::free(args);
        alloc::free(flags);
        alloc::free(list.as_ptr());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_list_takes_as_many_arguments_as_it_has_room_for() {
        // SAFETY: just made.
        let list = unsafe { Ptr::new(new(2).unwrap(), "list") }.unwrap();
        let mut number = 3u32;
        add_serial(list, (&raw mut number).cast(), 4).unwrap();
        expect_nonserial(list, 100).unwrap();
        let e = add_serial(list, (&raw mut number).cast(), 4).unwrap_err();
        assert_eq!(e.code(), vaccel_abi::error::ERANGE);
        delete(list);
        assert!(new(0).is_err() && new(u32::MAX).is_err());
    }
}
