//! C pointers and lengths turned into slices, with every check that C leaves out.

use crate::error::{Error, Result};
use std::borrow::Cow;
use std::ffi::{CStr, c_char};
use std::ops::Range;

mod sealed {
    pub trait Sealed {}
}

/// A number type whose every bit pattern is a value, so that bytes may be seen
/// as numbers and back.
///
/// # Safety
/// No padding, no invalid values.
pub unsafe trait Element: sealed::Sealed + Copy + Default + Send + Sync + 'static {
    /// Its type as an element of a tensor.
    const DTYPE: crate::Dtype;
}

macro_rules! elements {
    ($($type:ty = $dtype:ident;)*) => {
        $(
            impl sealed::Sealed for $type {}
            // SAFETY: a plain number.
            unsafe impl Element for $type {
                const DTYPE: crate::Dtype = crate::Dtype::$dtype;
            }
        )*
    };
}

elements! {
    f32 = F32; f64 = F64; i8 = I8; u8 = U8; i16 = I16; u16 = U16; i32 = I32; u32 = U32; i64 = I64; u64 = U64;
}

/// Bytes of a slice of numbers.
#[must_use]
pub fn bytes_of<T: Element>(values: &[T]) -> &[u8] {
    // SAFETY: numbers without padding; same memory, same length, same lifetime.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// As [`bytes_of`], for writing.
pub(crate) fn bytes_of_mut<T: Element>(values: &mut [T]) -> &mut [u8] {
    let len = size_of_val(values);
    // SAFETY: as above, and every bit pattern is a value.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), len) }
}

/// Bytes as numbers. `EINVAL` when they are not aligned for the type or not a
/// whole number of elements; `what` names them in the message.
pub(crate) fn cast<'a, T: Element>(bytes: &'a [u8], what: &str) -> Result<&'a [T]> {
    check_cast::<T>(bytes.as_ptr(), bytes.len(), what)?;
    // SAFETY: aligned and whole; every bit pattern is a value.
    Ok(unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len() / size_of::<T>()) })
}

/// As [`cast`], for writing.
pub(crate) fn cast_mut<'a, T: Element>(bytes: &'a mut [u8], what: &str) -> Result<&'a mut [T]> {
    check_cast::<T>(bytes.as_ptr(), bytes.len(), what)?;
    let len = bytes.len() / size_of::<T>();
    // SAFETY: aligned and whole; every bit pattern is a value.
    Ok(unsafe { std::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), len) })
}

fn check_cast<T: Element>(at: *const u8, len: usize, what: &str) -> Result<()> {
    let name = T::DTYPE.name();
    if !len.is_multiple_of(size_of::<T>()) {
        crate::bail!(
            EINVAL,
            "{what}: {len} bytes are not a whole number of {name}"
        );
    }
    if !at.cast::<T>().is_aligned() {
        crate::bail!(EINVAL, "{what}: the address is not aligned for {name}");
    }
    Ok(())
}

/// Addresses of a buffer, for finding out whether two overlap.
pub(crate) fn span<T>(at: *const T, len: usize) -> Range<usize> {
    let start = at.addr();
    start..start.saturating_add(len.saturating_mul(size_of::<T>()))
}

pub(crate) fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

/// `EINVAL` for a pointer and length that cannot be: null, not aligned, longer
/// than memory. Looks at the numbers alone.
pub(crate) fn check<T>(at: *const T, len: usize, what: &str) -> Result<()> {
    if len == 0 {
        return Ok(());
    }
    if at.is_null() {
        crate::bail!(EINVAL, "{what} is null, though its length is {len}");
    }
    if !at.is_aligned() {
        crate::bail!(EINVAL, "{what} is not aligned for its type");
    }
    match len.checked_mul(size_of::<T>()) {
        Some(bytes) if bytes <= isize::MAX as usize => Ok(()),
        _ => Err(crate::err!(
            EINVAL,
            "{what} cannot be {len} elements long: no memory is that large"
        )),
    }
}

/// A slice that C passed as pointer and length.
///
/// # Safety
/// `at` is null, or points at `len` elements that nobody changes during `'a`.
pub(crate) unsafe fn slice<'a, T: Copy>(at: *const T, len: usize, what: &str) -> Result<&'a [T]> {
    if len == 0 {
        return Ok(&[]);
    }
    check(at, len, what)?;
    // SAFETY: checked above and promised by the caller.
    Ok(unsafe { std::slice::from_raw_parts(at, len) })
}

/// A slice to write to.
///
/// # Safety
/// `at` is null, or points at `len` elements that nobody else touches during `'a`.
pub(crate) unsafe fn slice_mut<'a, T: Copy>(
    at: *mut T,
    len: usize,
    what: &str,
) -> Result<&'a mut [T]> {
    if len == 0 {
        return Ok(&mut []);
    }
    check(at, len, what)?;
    // SAFETY: checked above and promised by the caller.
    Ok(unsafe { std::slice::from_raw_parts_mut(at, len) })
}

/// An input that the caller may have placed over an output: copied when so, for
/// in C that is allowed and in Rust it is not.
///
/// # Safety
/// As [`slice`]; `outputs` are all the buffers that will be written to.
pub(crate) unsafe fn input<'a, T: Copy>(
    at: *const T,
    len: usize,
    what: &str,
    outputs: &[Range<usize>],
) -> Result<Cow<'a, [T]>> {
    // SAFETY: promised by the caller; overlapping slices are copied before
    // anything is written.
    let values = unsafe { slice(at, len, what) }?;
    let here = span(at, len);
    if outputs.iter().any(|out| overlap(&here, out)) {
        let mut copy = Vec::new();
        copy.try_reserve_exact(len)?;
        copy.extend_from_slice(values);
        return Ok(Cow::Owned(copy));
    }
    Ok(Cow::Borrowed(values))
}

/// A non-negative C count as a length.
pub(crate) fn count<N: TryInto<usize> + Copy + std::fmt::Display>(
    n: N,
    what: &str,
) -> Result<usize> {
    n.try_into()
        .map_err(|_| crate::err!(EINVAL, "{what} is {n}: it cannot be negative"))
}

/// A C string; `EINVAL` when null.
///
/// # Safety
/// `at` is null or a zero-terminated string that nobody changes during `'a`.
pub(crate) unsafe fn text<'a>(at: *const c_char, what: &str) -> Result<&'a CStr> {
    if at.is_null() {
        crate::bail!(EINVAL, "{what} is null");
    }
    // SAFETY: promised by the caller.
    Ok(unsafe { CStr::from_ptr(at) })
}

/// Memory of libc `malloc`: what is handed to C, which frees it with `free`.
#[derive(Debug)]
pub(crate) struct CBuffer {
    at: *mut u8,
    len: usize,
}

// SAFETY: plain owned memory.
unsafe impl Send for CBuffer {}
// SAFETY: shared references only read.
unsafe impl Sync for CBuffer {}

impl CBuffer {
    /// `len` zero bytes; `ENOMEM`.
    pub(crate) fn zeroed(len: usize) -> Result<Self> {
        // SAFETY: calloc takes any numbers.
        Self::allocate(len, |len| unsafe { libc::calloc(len, 1) })
    }

    /// A copy of `bytes`; `ENOMEM`.
    pub(crate) fn copy_of(bytes: &[u8]) -> Result<Self> {
        // SAFETY: malloc takes any number.
        let buffer = Self::allocate(bytes.len(), |len| unsafe { libc::malloc(len) })?;
        // SAFETY: freshly allocated with that length, so disjoint.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.at, bytes.len()) };
        Ok(buffer)
    }

    /// At least one byte is allocated, so that the address is never null.
    fn allocate(len: usize, f: impl FnOnce(usize) -> *mut libc::c_void) -> Result<Self> {
        let at = if len <= isize::MAX as usize {
            f(len.max(1)).cast::<u8>()
        } else {
            std::ptr::null_mut()
        };
        if at.is_null() {
            return Err(crate::err!(ENOMEM, "no memory for {len} bytes"));
        }
        Ok(Self { at, len })
    }

    /// The bytes and a terminating zero: a C string.
    pub(crate) fn c_string(text: &str) -> Result<Self> {
        let text = text.split('\0').next().unwrap_or_default();
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(text.len() + 1)?;
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
        Self::copy_of(&bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: allocated with that length and initialised.
        unsafe { std::slice::from_raw_parts(self.at, self.len) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and exclusively borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.at, self.len) }
    }

    /// Gives the memory to C.
    pub(crate) fn into_raw<T>(self) -> *mut T {
        let at = self.at;
        std::mem::forget(self);
        at.cast()
    }
}

impl Drop for CBuffer {
    fn drop(&mut self) {
        // SAFETY: from malloc, and not given away (`into_raw` forgets).
        unsafe { libc::free(self.at.cast()) };
    }
}

/// A value in memory of libc `malloc`.
pub(crate) fn c_box<T>(value: T) -> Result<*mut T> {
    const { assert!(align_of::<T>() <= 8, "malloc may align no better") };
    // SAFETY: malloc takes any number; structures here are not empty.
    let at = unsafe { libc::malloc(size_of::<T>()) }.cast::<T>();
    if at.is_null() {
        return Err(Error::new(crate::code::ENOMEM, "no memory for a structure"));
    }
    // SAFETY: large enough, and malloc aligns for every C type.
    unsafe { at.write(value) };
    Ok(at)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn null_misaligned_and_oversized_slices_are_refused() {
        let values = [1_i32, 2, 3];
        // SAFETY: every pointer is checked by the function or valid.
        unsafe {
            assert_eq!(
                slice::<i32>(std::ptr::null(), 0, "a").unwrap(),
                &[] as &[i32]
            );
            assert!(slice::<i32>(std::ptr::null(), 1, "a").is_err());
            let odd = values.as_ptr().cast::<u8>().add(1).cast::<i32>();
            assert!(
                slice(odd, 1, "a")
                    .unwrap_err()
                    .message()
                    .contains("aligned")
            );
            assert!(slice(values.as_ptr(), usize::MAX, "a").is_err());
            assert!(slice(values.as_ptr(), isize::MAX as usize / 2, "a").is_err());
            assert_eq!(slice(values.as_ptr(), 3, "a").unwrap(), &values);
        }
    }

    #[test]
    fn an_input_that_lies_over_an_output_is_copied() {
        let values = [1_u8, 2, 3, 4];
        let output = span(&values[2], 2);
        // SAFETY: live array.
        let (apart, over) = unsafe {
            (
                input(values.as_ptr(), 2, "a", std::slice::from_ref(&output)).unwrap(),
                input(values.as_ptr(), 3, "a", std::slice::from_ref(&output)).unwrap(),
            )
        };
        assert!(matches!(apart, Cow::Borrowed(_)));
        assert!(matches!(over, Cow::Owned(_)));
    }

    #[test]
    fn bytes_become_numbers_only_when_whole_and_aligned() {
        let bytes = bytes_of(&[1.5_f32, -2.0]);
        assert_eq!(cast::<f32>(bytes, "t").unwrap(), &[1.5, -2.0]);
        assert!(cast::<f32>(&bytes[..7], "t").is_err());
        assert!(cast::<f32>(&bytes[1..5], "t").is_err());
    }

    #[test]
    fn a_c_string_ends_at_the_first_zero_of_the_text() {
        assert_eq!(CBuffer::c_string("ab\0c").unwrap().bytes(), b"ab\0");
    }
}
