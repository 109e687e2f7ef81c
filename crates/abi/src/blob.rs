//! A blob: one file or buffer of a resource.

use libc::{c_char, size_t};

/// `vaccel_blob_type_t`; one of the `BLOB_*` constants.
pub type BlobType = u32;
/// A path in the file system; read on demand.
pub const BLOB_FILE: BlobType = 0;
/// Bytes in memory.
pub const BLOB_BUFFER: BlobType = 1;
/// A file mapped into memory.
pub const BLOB_MAPPED: BlobType = 2;
/// One past the last type.
pub const BLOB_MAX: BlobType = 3;

/// One file or buffer.
#[repr(C)]
#[derive(Debug)]
#[allow(non_camel_case_types)]
pub struct vaccel_blob {
    /// One of the `BLOB_*` constants.
    pub type_: BlobType,
    /// File name without folder; malloc'ed.
    pub name: *mut c_char,
    /// Full path, or null for memory alone; malloc'ed.
    pub path: *mut c_char,
    /// True when the file goes away with the blob.
    pub path_owned: bool,
    /// The bytes, or null when not read yet.
    pub data: *mut u8,
    /// True when `data` is freed (BUFFER) or unmapped (MAPPED) with the blob.
    pub data_owned: bool,
    /// Number of bytes.
    pub size: size_t,
}
