//! Memory that crosses the C ABI: libc's `malloc` and `free`, never Rust's allocator.

use crate::ptr::Ptr;
use crate::{Result, fail};
use std::ffi::{CStr, c_char, c_void};

/// Room for `count` values of `T`, at least one byte; not initialised.
///
/// # Errors
/// `ENOMEM`, also when the size overflows.
pub fn array<T>(count: usize) -> Result<*mut T> {
    const { assert!(align_of::<T>() <= align_of::<u64>()) };
    let Some(bytes) = count.checked_mul(size_of::<T>()) else {
        fail!(
            ENOMEM,
            "{count} elements of {} bytes are too many",
            size_of::<T>()
        );
    };
    if isize::try_from(bytes).is_err() {
        fail!(ENOMEM, "{bytes} bytes are too many");
    }
    // SAFETY: malloc takes any size.
    let p = unsafe { libc::malloc(bytes.max(1)) };
    if p.is_null() {
        fail!(ENOMEM, "out of memory ({bytes} bytes)");
    }
    Ok(p.cast())
}

/// So many zeros are written faster than asked for.
const FEW: usize = 1024;

/// Room for `count` values, all bytes zero.
///
/// # Errors
/// `ENOMEM`, also when the size overflows.
pub fn zeroed<T>(count: usize) -> Result<*mut T> {
    const { assert!(align_of::<T>() <= align_of::<u64>()) };
    if count
        .checked_mul(size_of::<T>())
        .is_none_or(|n| isize::try_from(n).is_err())
    {
        fail!(
            ENOMEM,
            "{count} elements of {} bytes are too many",
            size_of::<T>()
        );
    }
    let bytes = (count * size_of::<T>()).max(1);
    // glibc's calloc passes by the cache of its thread: where zeros are few, malloc and
    // writing them take a third of the time.
    let few = bytes <= FEW;
    // SAFETY: both take any size but 0.
    let p = unsafe {
        match few {
            true => libc::malloc(bytes),
            false => libc::calloc(1, bytes),
        }
    };
    if p.is_null() {
        fail!(
            ENOMEM,
            "out of memory ({count} elements of {} bytes)",
            size_of::<T>()
        );
    }
    if few {
        // SAFETY: `bytes` were given.
        unsafe { p.cast::<u8>().write_bytes(0, bytes) };
    }
    Ok(p.cast())
}

/// One value in memory of its own.
///
/// # Errors
/// `ENOMEM`.
pub fn boxed<T>(value: T) -> Result<*mut T> {
    let p = array::<T>(1)?;
    // SAFETY: freshly allocated with room for one `T`.
    unsafe { p.write(value) };
    Ok(p)
}

/// One value in memory of its own, filled by `fill`, which is given zeros.
///
/// # Errors
/// `ENOMEM`, and those of `fill`.
pub fn filled<T>(fill: impl FnOnce(Ptr<T>) -> Result) -> Result<*mut T> {
    // SAFETY: freed unless handed on.
    let block = unsafe { Block::from_raw(zeroed::<T>(1)?) };
    // SAFETY: just allocated with the size and alignment of the type.
    fill(unsafe { Ptr::new(block.as_ptr(), "allocated")? })?;
    Ok(block.into_raw())
}

/// A copy of values.
///
/// # Errors
/// `ENOMEM`.
pub fn copy<T: Copy>(values: &[T]) -> Result<*mut T> {
    let p = array::<T>(values.len())?;
    // SAFETY: room for as many values, and a new block does not overlap.
    unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), p, values.len()) };
    Ok(p)
}

/// A zero-terminated copy of a string.
///
/// # Errors
/// `ENOMEM`.
pub fn string(text: &CStr) -> Result<*mut c_char> {
    copy(text.to_bytes_with_nul()).map(<*mut u8>::cast)
}

/// A zero-terminated copy of bytes; a zero among them ends the string early.
///
/// # Errors
/// `ENOMEM`.
pub fn string_from(text: &[u8]) -> Result<*mut c_char> {
    let p = array::<u8>(text.len().saturating_add(1))?;
    // SAFETY: room for the text and its zero.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr(), p, text.len());
        p.add(text.len()).write(0);
    }
    Ok(p.cast())
}

/// Frees what came from libc; null is fine.
///
/// # Safety
/// The pointer is null or came from `malloc` and was not freed.
#[inline]
pub unsafe fn free<T>(pointer: *mut T) {
    // Asked here, most of a structure's fields cost no call: they are null.
    if !pointer.is_null() {
        // SAFETY: the contract of this function.
        unsafe { libc::free(pointer.cast::<c_void>()) }
    }
}

/// Bytes from libc that are freed unless they are handed on with
/// [`into_raw`](Self::into_raw).
#[derive(Debug)]
pub struct Block<T>(*mut T);

impl<T> Block<T> {
    /// Takes over memory from libc.
    ///
    /// # Safety
    /// As [`free`]; nobody else frees it.
    #[must_use]
    pub unsafe fn from_raw(pointer: *mut T) -> Self {
        Self(pointer)
    }

    /// The memory; still owned.
    #[must_use]
    pub fn as_ptr(&self) -> *mut T {
        self.0
    }

    /// Hands the memory on.
    #[must_use]
    pub fn into_raw(self) -> *mut T {
        let p = self.0;
        std::mem::forget(self);
        p
    }
}

impl<T> Drop for Block<T> {
    fn drop(&mut self) {
        // SAFETY: owned by `from_raw`'s contract.
        unsafe { free(self.0) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_overflow_are_refused() {
        let e = array::<u64>(usize::MAX / 4).unwrap_err();
        assert_eq!(e.code(), vaccel_abi::error::ENOMEM);
        assert!(zeroed::<u64>(usize::MAX / 4).is_err());
        assert!(array::<u8>(usize::MAX).is_err());
    }

    #[test]
    fn strings_are_copied_with_their_zero() {
        let p = string(c"abc").unwrap();
        // SAFETY: just made.
        unsafe {
            assert_eq!(CStr::from_ptr(p), c"abc");
            free(p);
        }
        let p = string_from(b"").unwrap();
        // SAFETY: just made.
        unsafe {
            assert_eq!(CStr::from_ptr(p), c"");
            free(p);
        }
    }
}
