//! Where each argument lies in the payload.

use crate::WireError;
use std::ops::Range;

/// Arguments of at least this many bytes begin at a multiple of it.
pub const ALIGN: usize = 64;

/// Smaller arguments begin at a multiple of this.
pub const SMALL_ALIGN: usize = 8;

/// Places the arguments of a payload one after the other.
///
/// Both sides compute the same offsets from the sizes alone, so that no offset
/// travels and none can lie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Layout {
    end: usize,
}

impl Layout {
    /// An empty payload.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the next argument of `size` bytes lies.
    ///
    /// An empty argument takes no place; its range is `0..0`, so that its
    /// address is aligned too.
    ///
    /// # Errors
    /// [`WireError::Overflow`] when this machine cannot address its end.
    pub fn place(&mut self, size: u64) -> Result<Range<usize>, WireError> {
        let size = usize::try_from(size).map_err(|_| WireError::Overflow)?;
        if size == 0 {
            return Ok(0..0);
        }
        let align = if size < ALIGN { SMALL_ALIGN } else { ALIGN };
        let start = self
            .end
            .checked_next_multiple_of(align)
            .ok_or(WireError::Overflow)?;
        let end = start.checked_add(size).ok_or(WireError::Overflow)?;
        // No object may be larger than isize::MAX, and a buffer is one.
        if end > isize::MAX as usize {
            return Err(WireError::Overflow);
        }
        self.end = end;
        Ok(start..end)
    }

    /// Bytes of the payload so far.
    #[must_use]
    pub fn end(&self) -> usize {
        self.end
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn small_arguments_lie_at_multiples_of_8_and_large_ones_of_64() {
        let mut layout = Layout::new();
        assert_eq!(layout.place(1).unwrap(), 0..1);
        assert_eq!(layout.place(63).unwrap(), 8..71);
        assert_eq!(layout.place(64).unwrap(), 128..192);
        assert_eq!(layout.place(0).unwrap(), 0..0);
        assert_eq!(layout.place(4).unwrap(), 192..196);
        assert_eq!(layout.end(), 196);
    }

    #[test]
    fn sizes_that_cannot_be_addressed_are_refused() {
        let mut layout = Layout::new();
        layout.place(100).unwrap();
        for size in [u64::MAX, u64::MAX - 100, isize::MAX as u64] {
            assert_eq!(layout.place(size), Err(WireError::Overflow));
        }
        assert_eq!(layout.end(), 100);
    }
}
