//! Circular doubly linked list, embedded in the structures it links.

/// Link or head of a list; an empty head points at itself.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct vaccel_list_entry {
    /// Next link, or the head.
    pub next: *mut vaccel_list_entry,
    /// Previous link, or the head.
    pub prev: *mut vaccel_list_entry,
}

/// The name used for heads; the type is the same.
#[allow(non_camel_case_types)]
pub type vaccel_list_t = vaccel_list_entry;
