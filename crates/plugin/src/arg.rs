//! Arguments of exec and opencv: pointers with a size and a type.

use crate::error::Result;
use crate::memory::{self, Element, overlap, span};
use smallvec::SmallVec;
use std::ffi::CStr;
use std::ops::Range;
use vaccel_abi::arg::{ARG_STRING, ArgType, name as type_name, vaccel_arg};

/// The arguments that an operation reads.
#[derive(Debug, Clone, Copy)]
pub struct Args<'a> {
    /// Copies of the caller's structures; the buffers are the caller's.
    list: &'a [vaccel_arg],
    /// What may be written meanwhile.
    written: &'a [vaccel_arg],
    original: *mut vaccel_arg,
}

/// The arguments that an operation writes: buffers of the caller.
#[derive(Debug)]
pub struct ArgsMut<'a> {
    /// Copies of the caller's structures; the buffers are the caller's.
    list: &'a [vaccel_arg],
    /// What may be read meanwhile.
    read: &'a [vaccel_arg],
    original: *mut vaccel_arg,
}

/// Copies of the caller's structures; few enough of them, as nearly always, cost no
/// allocation.
type Copies = SmallVec<[vaccel_arg; 16]>;

/// Addresses of an argument's buffer.
fn place(arg: &vaccel_arg) -> Range<usize> {
    span(arg.buf.cast::<u8>(), arg.size)
}

#[inline]
fn check(arg: &vaccel_arg, what: &str, i: usize) -> Result<()> {
    if (arg.buf.is_null() && arg.size > 0) || arg.size > isize::MAX as usize {
        return Err(unfit(arg, what, i));
    }
    Ok(())
}

#[cold]
#[inline(never)]
fn unfit(arg: &vaccel_arg, what: &str, i: usize) -> crate::Error {
    let size = arg.size;
    if arg.buf.is_null() {
        crate::err!(
            EINVAL,
            "{what} argument {i} is null, though its size is {size}"
        )
    } else {
        crate::err!(EINVAL, "{what} argument {i}: no buffer has {size} bytes")
    }
}

fn missing(what: &str, i: usize, count: usize) -> crate::Error {
    crate::err!(EINVAL, "{what} argument {i} is missing: there are {count}")
}

fn crossing(what: &str, i: usize) -> crate::Error {
    crate::err!(
        EINVAL,
        "{what} argument {i} shares memory with another argument that is written"
    )
}

/// Checks both lists and gives their views to `f`.
///
/// # Safety
/// Each pointer is null or points at as many arguments as its count says; their
/// buffers are as long as they say and touched by nobody else during the call.
pub(crate) unsafe fn with_args<R>(
    read: (*mut vaccel_arg, usize),
    write: (*mut vaccel_arg, usize),
    f: impl FnOnce(&Args<'_>, &mut ArgsMut<'_>) -> Result<R>,
) -> Result<R> {
    // SAFETY: promised by the caller; checked for null, alignment and size.
    let (reads, writes) = unsafe {
        (
            memory::slice(read.0.cast_const(), read.1, "the list of read arguments")?,
            memory::slice(write.0.cast_const(), write.1, "the list of write arguments")?,
        )
    };
    for (what, list) in [("read", reads), ("write", writes)] {
        for (i, arg) in list.iter().enumerate() {
            check(arg, what, i)?;
        }
    }
    // The two lists may be one and the same in C, and an operation may hand
    // them to C code that changes them: views are made of copies.
    let (reads, writes) = (Copies::from_slice(reads), Copies::from_slice(writes));
    let args = Args {
        list: &reads,
        written: &writes,
        original: read.0,
    };
    let mut args_mut = ArgsMut {
        list: &writes,
        read: &reads,
        original: write.0,
    };
    f(&args, &mut args_mut)
}

impl<'a> Args<'a> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The caller's own list, for code that is not Rust; its buffers may overlap
    /// those of the arguments that are written.
    #[must_use]
    pub fn as_ptr(&self) -> *mut vaccel_arg {
        self.original
    }

    fn get(&self, i: usize) -> Result<&'a vaccel_arg> {
        let found = self.list.get(i);
        found.ok_or_else(|| missing("read", i, self.len()))
    }

    /// Type of an argument, one of `abi::arg::ARG_*`.
    pub fn arg_type(&self, i: usize) -> Result<ArgType> {
        Ok(self.get(i)?.type_)
    }

    /// Bytes of an argument, whatever its type. `EINVAL` when it shares memory
    /// with one that is written.
    pub fn bytes(&self, i: usize) -> Result<&'a [u8]> {
        let arg = self.get(i)?;
        let here = place(arg);
        if self.written.iter().any(|w| overlap(&place(w), &here)) {
            return Err(crossing("read", i));
        }
        // SAFETY: checked by `with_args`; not written to while the view lives.
        unsafe { memory::slice(arg.buf.cast_const().cast(), arg.size, "an argument") }
    }

    /// An argument as numbers, whatever its declared type. `EINVAL` when it is
    /// not aligned or not a whole number of them.
    pub fn slice<T: Element>(&self, i: usize) -> Result<&'a [T]> {
        memory::cast(self.bytes(i)?, &format!("read argument {i}"))
    }

    /// An argument as one number of exactly this size.
    pub fn scalar<T: Element>(&self, i: usize) -> Result<T> {
        let bytes = self.bytes(i)?;
        if bytes.len() != size_of::<T>() {
            crate::bail!(
                EINVAL,
                "read argument {i} ({}) has {} bytes, not the {} of one {}",
                type_name(self.get(i)?.type_),
                bytes.len(),
                size_of::<T>(),
                T::DTYPE
            );
        }
        let mut value = [T::default()];
        // SAFETY: as many bytes on both sides, and every bit pattern is a value.
        unsafe {
            std::ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                value.as_mut_ptr().cast::<u8>(),
                bytes.len(),
            );
        }
        Ok(value[0])
    }

    /// A string argument. `EINVAL` when it is of another type or its
    /// terminating zero is not within its size.
    pub fn text(&self, i: usize) -> Result<&'a CStr> {
        let type_ = self.get(i)?.type_;
        if type_ != ARG_STRING {
            crate::bail!(
                EINVAL,
                "read argument {i} is a {}, not a {}",
                type_name(type_),
                type_name(ARG_STRING)
            );
        }
        CStr::from_bytes_until_nul(self.bytes(i)?)
            .map_err(|_| crate::err!(EINVAL, "read argument {i}: a string without its zero"))
    }
}

impl ArgsMut<'_> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The caller's own list, for code that is not Rust; buffers may overlap.
    #[must_use]
    pub fn as_mut_ptr(&mut self) -> *mut vaccel_arg {
        self.original
    }

    fn get(&self, i: usize) -> Result<&vaccel_arg> {
        let found = self.list.get(i);
        found.ok_or_else(|| missing("write", i, self.len()))
    }

    /// Type of an argument, one of `abi::arg::ARG_*`.
    pub fn arg_type(&self, i: usize) -> Result<ArgType> {
        Ok(self.get(i)?.type_)
    }

    /// Bytes of room in an argument.
    pub fn capacity(&self, i: usize) -> Result<usize> {
        Ok(self.get(i)?.size)
    }

    /// Copies bytes to the beginning of an argument. `ERANGE` when they do not
    /// fit.
    pub fn write(&mut self, i: usize, bytes: &[u8]) -> Result<()> {
        let arg = self.get(i)?;
        if arg.size < bytes.len() {
            crate::bail!(
                ERANGE,
                "write argument {i} has room for {} bytes, but {} are needed",
                arg.size,
                bytes.len()
            );
        }
        self.bytes_mut(i)?[..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    /// Copies numbers to the beginning of an argument.
    pub fn write_slice<T: Element>(&mut self, i: usize, values: &[T]) -> Result<()> {
        self.write(i, memory::bytes_of(values))
    }

    /// The memory of an argument. `EINVAL` when it is shared with another one.
    pub fn bytes_mut(&mut self, i: usize) -> Result<&mut [u8]> {
        let arg = *self.get(i)?;
        let here = place(&arg);
        let others = self.list.iter().enumerate().filter(|(j, _)| *j != i);
        let mut others = others.map(|(_, other)| other).chain(self.read);
        if others.any(|other| overlap(&place(other), &here)) {
            return Err(crossing("write", i));
        }
        // SAFETY: checked by `with_args`; no other argument shares it, and the
        // exclusive borrow keeps it the only view.
        unsafe { memory::slice_mut(arg.buf.cast(), arg.size, "an argument") }
    }

    /// The memory of an argument as numbers.
    pub fn slice_mut<T: Element>(&mut self, i: usize) -> Result<&mut [T]> {
        memory::cast_mut(self.bytes_mut(i)?, &format!("write argument {i}"))
    }

    /// Makes an argument shorter: how much of it was written. `EINVAL` when it
    /// would grow.
    pub fn shrink(&mut self, i: usize, size: usize) -> Result<()> {
        let capacity = self.capacity(i)?;
        if size > capacity {
            crate::bail!(
                EINVAL,
                "write argument {i} cannot grow from {capacity} to {size} bytes"
            );
        }
        // SAFETY: `i` is in range of the caller's list. The buffer keeps its
        // length here, in the copy.
        unsafe { (&raw mut (*self.original.add(i)).size).write(size) };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::code;
    use vaccel_abi::arg::{ARG_INT32, ARG_RAW};

    fn arg<T>(values: &mut [T], type_: ArgType) -> vaccel_arg {
        vaccel_arg {
            buf: values.as_mut_ptr().cast(),
            size: size_of_val(values),
            type_,
            custom_type_id: 0,
            owned: false,
        }
    }

    fn run<R>(
        read: &mut [vaccel_arg],
        write: &mut [vaccel_arg],
        f: impl FnOnce(&Args<'_>, &mut ArgsMut<'_>) -> Result<R>,
    ) -> Result<R> {
        let read = (read.as_mut_ptr(), read.len());
        let write = (write.as_mut_ptr(), write.len());
        // SAFETY: live arrays with the lengths they say.
        unsafe { with_args(read, write, f) }
    }

    #[test]
    fn numbers_and_strings_are_read_and_written() {
        let (mut number, mut text) = ([42_i32], *b"mbench\0rest");
        let mut out = [0_u64; 2];
        let mut read = [arg(&mut number, ARG_INT32), arg(&mut text, ARG_STRING)];
        let mut write = [arg(&mut out, ARG_RAW)];
        run(&mut read, &mut write, |read, write| {
            assert_eq!(read.scalar::<i32>(0)?, 42);
            assert!(read.scalar::<i64>(0).is_err());
            assert_eq!(read.text(1)?, c"mbench");
            assert!(read.text(0).is_err());
            assert_eq!(read.bytes(2).unwrap_err().code(), code::EINVAL);
            write.write_slice(0, &[7_u64])?;
            assert_eq!(write.write(0, &[0; 17]).unwrap_err().code(), code::ERANGE);
            assert!(write.shrink(0, 17).is_err());
            write.shrink(0, 8)
        })
        .unwrap();
        assert_eq!(out, [7, 0]);
        assert_eq!(write[0].size, 8);
    }

    #[test]
    fn a_string_without_its_zero_is_refused() {
        let mut text = *b"abc";
        let mut read = [arg(&mut text, ARG_STRING)];
        let e = run(&mut read, &mut [], |read, _| read.text(0).map(|_| ()));
        assert_eq!(e.unwrap_err().code(), code::EINVAL);
    }

    #[test]
    fn null_buffers_and_null_lists_are_refused() {
        let mut bad = arg(&mut [0_u8; 4], ARG_RAW);
        bad.buf = std::ptr::null_mut();
        assert!(run(&mut [bad], &mut [], |_, _| Ok(())).is_err());
        bad.size = usize::MAX;
        bad.buf = std::ptr::dangling_mut::<u8>().cast();
        assert!(run(&mut [], &mut [bad], |_, _| Ok(())).is_err());
        // SAFETY: null is checked.
        let e = unsafe {
            with_args(
                (std::ptr::null_mut(), 3),
                (std::ptr::null_mut(), 0),
                |_, _| Ok(()),
            )
        };
        assert_eq!(e.unwrap_err().code(), code::EINVAL);
    }

    #[test]
    fn arguments_that_share_memory_are_never_seen_twice() {
        let mut memory = [0_u32; 4];
        let mut both = [arg(&mut memory, ARG_RAW)];
        let mut write = both;
        run(&mut both, &mut write, |read, write| {
            assert!(read.bytes(0).is_err());
            assert!(write.bytes_mut(0).is_err());
            Ok(())
        })
        .unwrap();
    }
}
