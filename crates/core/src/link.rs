//! The list heads inside the structures that C programs own.
//!
//! Programs and bindings test these lists for emptiness. What is registered
//! where is kept on the library's side; a list that is not empty shows one link
//! that belongs to the library, so that nothing of ours ever follows a pointer
//! into a structure that a program may have forgotten, and a program that walks
//! the list finds its end.

use std::cell::UnsafeCell;
use std::ptr;
use vaccel_abi::list::vaccel_list_entry;

/// A link of the library's own that stands for the contents of a list.
#[derive(Debug)]
pub struct Marker(UnsafeCell<vaccel_list_entry>);

// SAFETY: written only under the lock of the slot that it is part of.
unsafe impl Sync for Marker {}
// SAFETY: its pointers are plain addresses to the library.
unsafe impl Send for Marker {}

impl Default for Marker {
    fn default() -> Self {
        Self(UnsafeCell::new(vaccel_list_entry {
            next: ptr::null_mut(),
            prev: ptr::null_mut(),
        }))
    }
}

impl Marker {
    /// Makes a list look filled.
    ///
    /// # Safety
    /// `head` is valid for writes; the lock of the slot is held.
    pub unsafe fn fill(&self, head: *mut vaccel_list_entry) {
        let own = self.0.get();
        // SAFETY: the contract of this function.
        unsafe {
            own.write(vaccel_list_entry {
                next: head,
                prev: head,
            });
            head.write(vaccel_list_entry {
                next: own,
                prev: own,
            });
        }
    }
}

/// Makes a list empty: its head points at itself.
///
/// # Safety
/// `head` is valid for writes.
pub unsafe fn clear(head: *mut vaccel_list_entry) {
    // SAFETY: the contract of this function.
    unsafe {
        head.write(vaccel_list_entry {
            next: head,
            prev: head,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filled_list_has_one_link_and_an_end() {
        let marker = Marker::default();
        let mut head = vaccel_list_entry {
            next: ptr::null_mut(),
            prev: ptr::null_mut(),
        };
        let head = &raw mut head;
        // SAFETY: `head` is alive, and nobody else knows the marker.
        unsafe {
            marker.fill(head);
            assert!(!ptr::eq((*head).next, head));
            assert!(ptr::eq((*(*head).next).next, head) && ptr::eq((*(*head).prev).prev, head));
            clear(head);
            assert!(ptr::eq((*head).next, head) && ptr::eq((*head).prev, head));
        }
    }
}
