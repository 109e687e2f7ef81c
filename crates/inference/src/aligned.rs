//! Input bytes where a runtime may read them.

use std::ptr;

/// Bytes at an address that suits any element; copied only where the given one does not.
#[derive(Debug)]
pub struct Aligned<'a> {
    bytes: &'a [u8],
    copy: Option<Vec<u64>>,
}

impl<'a> Aligned<'a> {
    /// Addresses are multiples of this many bytes.
    pub const ALIGNMENT: usize = 8;

    /// Looks at the address, and copies if need be.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        if bytes.as_ptr().addr().is_multiple_of(Self::ALIGNMENT) {
            return Self { bytes, copy: None };
        }
        let mut words = vec![0_u64; bytes.len().div_ceil(8)];
        // SAFETY: there are at least as many bytes in the words as are copied.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), words.as_mut_ptr().cast(), bytes.len()) };
        Self {
            bytes,
            copy: Some(words),
        }
    }

    /// Where the bytes are, as long as this lives.
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        match &self.copy {
            Some(words) => words.as_ptr().cast(),
            None => self.bytes.as_ptr(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_at_an_odd_address_are_copied_and_others_are_not() {
        let words = [0x0807_0605_0403_0201_u64, 0x100f_0e0d_0c0b_0a09];
        let bytes = vaccel_plugin::bytes_of(&words);
        assert_eq!(Aligned::new(bytes).as_ptr(), bytes.as_ptr());
        for at in 1..8 {
            let odd = &bytes[at..];
            let aligned = Aligned::new(odd);
            assert!(aligned.as_ptr().addr().is_multiple_of(Aligned::ALIGNMENT));
            // SAFETY: as many bytes as were given.
            let seen = unsafe { std::slice::from_raw_parts(aligned.as_ptr(), odd.len()) };
            assert_eq!(seen, odd);
        }
    }
}
