//! Strings that are given back to C in the caller's buffer or in a new one.

use crate::ptr::Ptr;
use crate::{Result, alloc, fail};
use std::ffi::c_char;

/// Where a string goes: the caller's buffer, memory of its own, or both.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// `size` bytes, or null.
    pub buffer: *mut c_char,
    /// Room at `buffer`, the terminating zero included.
    pub size: usize,
    /// Receives a malloc'ed copy when given.
    pub allocated: Option<Ptr<*mut c_char>>,
}

impl Target {
    /// Writes a string to wherever it should go.
    ///
    /// # Errors
    /// `EINVAL` without any place to write to; `ENAMETOOLONG` when the buffer is
    /// too small (nothing is written then); `ENOMEM`.
    pub fn write(self, text: &[u8]) -> Result {
        if self.buffer.is_null() && self.allocated.is_none() {
            fail!(EINVAL, "no buffer to write the result to");
        }
        if !self.buffer.is_null() && text.len() >= self.size {
            fail!(
                ENAMETOOLONG,
                "the result needs {} bytes and the buffer has {}",
                text.len() + 1,
                self.size
            );
        }
        if let Some(out) = self.allocated {
            out.write(alloc::string_from(text)?);
        }
        if !self.buffer.is_null() {
            // SAFETY: the caller vouches for `size` bytes, and text and zero fit.
            unsafe {
                std::ptr::copy_nonoverlapping(text.as_ptr(), self.buffer.cast(), text.len());
                self.buffer.add(text.len()).write(0);
            }
        }
        Ok(())
    }
}

/// `vaccel_str_to_lower`: the string with A-Z made a-z.
///
/// # Errors
/// Those of [`Target::write`].
pub fn to_lower(text: &[u8], target: Target) -> Result {
    target.write(&text.to_ascii_lowercase())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    #[test]
    fn a_buffer_that_is_too_small_is_left_alone() {
        let mut buffer = [7 as c_char; 4];
        let target = Target {
            buffer: buffer.as_mut_ptr(),
            size: 4,
            allocated: None,
        };
        let e = to_lower(b"ABCD", target).unwrap_err();
        assert_eq!(e.code(), vaccel_abi::error::ENAMETOOLONG);
        assert_eq!(buffer, [7; 4]);
        to_lower(b"ABC", target).unwrap();
        assert_eq!(buffer, [97, 98, 99, 0]);
    }

    #[test]
    fn a_new_string_is_allocated_on_request() {
        let mut out: *mut c_char = std::ptr::null_mut();
        let target = Target {
            buffer: std::ptr::null_mut(),
            size: 0,
            // SAFETY: `out` outlives the call.
            allocated: Some(unsafe { Ptr::new(&raw mut out, "out") }.unwrap()),
        };
        to_lower(b"GPU", target).unwrap();
        // SAFETY: written above.
        unsafe {
            assert_eq!(CStr::from_ptr(out), c"gpu");
            alloc::free(out);
        }
    }

    #[test]
    fn no_place_at_all_is_an_error() {
        let target = Target {
            buffer: std::ptr::null_mut(),
            size: 0,
            allocated: None,
        };
        assert!(to_lower(b"x", target).is_err());
    }
}
