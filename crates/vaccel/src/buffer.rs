//! Memory that calls of a session need not copy.

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use crate::error::Result;
use crate::session::Session;

/// Bytes that calls of a session need not copy, at an address that is a multiple of 64.
///
/// Where the session shares memory with its agent they lie there; elsewhere they are
/// ordinary memory. All are zero at first. After a call that ended at its deadline, an
/// output in it may still be written.
pub struct Buffer {
    at: NonNull<u8>,
    len: usize,
    session: Session,
}

// SAFETY: plain memory with one owner; freeing it takes calls from any thread.
unsafe impl Send for Buffer {}
// SAFETY: shared access only reads.
unsafe impl Sync for Buffer {}

impl Session {
    /// A buffer of `len` bytes, at least 1.
    ///
    /// # Errors
    /// `ENOTSUP` when the library is too old, `EINVAL`, `ENOMEM`.
    pub fn buffer(&self, len: usize) -> Result<Buffer> {
        let library = self.library();
        let functions = library.functions();
        let alloc = library.extension(functions.buffer_alloc, "vaccel_buffer_alloc")?;
        let mut at = std::ptr::null_mut();
        // SAFETY: the session lives; `at` receives the address.
        let code = unsafe { alloc(self.as_ptr(), len, &raw mut at) };
        library.check("cannot allocate a buffer", code)?;
        let Some(at) = NonNull::new(at.cast::<u8>()) else {
            return Err(crate::Error::new(
                vaccel_abi::error::ENOMEM,
                "the buffer is null",
            ));
        };
        // SAFETY: `len` bytes that are ours alone.
        unsafe { at.as_ptr().write_bytes(0, len) };
        Ok(Buffer {
            at,
            len,
            session: self.clone(),
        })
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` initialised bytes for as long as this lives.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr(), self.len) }
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buffer")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(free) = self.session.library().functions().buffer_free {
            // SAFETY: from `buffer_alloc` of the same session, which lives.
            unsafe { free(self.session.as_ptr(), self.at.as_ptr().cast()) };
        }
    }
}
