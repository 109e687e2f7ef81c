//! Bytes of a tensor: a vector of the program or memory of the library, moved and never copied.

use std::alloc::{Layout, dealloc};
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

/// Bytes with an owner.
pub(crate) struct Storage {
    pointer: NonNull<u8>,
    length: usize,
    owner: Owner,
}

enum Owner {
    /// The Rust allocator, with this layout (of size 0: nothing was allocated).
    Rust(Layout),
    /// libc malloc.
    Malloc,
}

// SAFETY: exclusively owned plain bytes.
unsafe impl Send for Storage {}
// SAFETY: shared access only reads.
unsafe impl Sync for Storage {}

impl Storage {
    /// Takes over a vector of plain numbers.
    pub(crate) fn from_vec<T: crate::arg::Element>(values: Vec<T>) -> Self {
        let mut values = ManuallyDrop::new(values);
        let length = size_of_val(values.as_slice());
        let size = values.capacity() * size_of::<T>();
        // SAFETY: the size of an existing allocation is within what a layout allows.
        let layout = unsafe { Layout::from_size_align_unchecked(size, align_of::<T>()) };
        // SAFETY: the pointer of a vector is never null.
        let pointer = unsafe { NonNull::new_unchecked(values.as_mut_ptr()) };
        Self {
            pointer: pointer.cast(),
            length,
            owner: Owner::Rust(layout),
        }
    }

    /// Takes over memory of libc malloc.
    ///
    /// # Safety
    /// `pointer` must come from malloc, hold `length` initialised bytes, and
    /// belong to the caller.
    pub(crate) unsafe fn from_malloc(pointer: NonNull<u8>, length: usize) -> Self {
        Self {
            pointer,
            length,
            owner: Owner::Malloc,
        }
    }

    /// Forgets the bytes from `length` on; they are freed with the others.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        // SAFETY: `length` initialised bytes that live as long as `self`.
        unsafe { std::slice::from_raw_parts(self.pointer.as_ptr(), self.length) }
    }

    pub(crate) fn as_bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.as_ptr(), self.length) }
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        match self.owner {
            // SAFETY: allocated by a vector with this layout, freed once.
            Owner::Rust(layout) if layout.size() > 0 => unsafe {
                dealloc(self.pointer.as_ptr(), layout);
            },
            Owner::Rust(_) => {}
            // SAFETY: allocated by malloc, freed once.
            Owner::Malloc => unsafe { libc::free(self.pointer.as_ptr().cast()) },
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_taken_over_without_a_copy() {
        let values = vec![1u32, 2, 3];
        let before = values.as_ptr().cast::<u8>();
        let storage = Storage::from_vec(values);
        assert_eq!(storage.as_bytes().as_ptr(), before);
        assert_eq!(storage.as_bytes().len(), 12);
    }

    #[test]
    fn an_empty_vector_has_nothing_to_free() {
        assert!(Storage::from_vec(Vec::<f64>::new()).as_bytes().is_empty());
    }

    #[test]
    fn memory_of_malloc_is_read_and_freed() {
        // SAFETY: a new allocation of 16 bytes, written below before it is read.
        let pointer = NonNull::new(unsafe { libc::malloc(16) }.cast::<u8>()).unwrap();
        // SAFETY: 16 bytes of the allocation above.
        unsafe { pointer.as_ptr().write_bytes(7, 16) };
        // SAFETY: initialised memory of malloc that nobody else holds.
        let storage = unsafe { Storage::from_malloc(pointer, 16) };
        assert_eq!(storage.as_bytes(), [7; 16]);
    }
}
