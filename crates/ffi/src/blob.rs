//! Blobs, and reading files.

use std::ffi::{c_char, c_void};
use vaccel_abi::blob::vaccel_blob;
use vaccel_core::blob::{self, Naming};
use vaccel_core::text::{self, Target};
use vaccel_core::{alloc, get};

macro_rules! naming {
    ($name:ident, $folder:ident, $randomize:ident) => {
        Naming {
            name: optional_text!($name),
            folder: optional_text!($folder),
            randomize: $randomize,
            room: None,
        }
    };
}

export! {
    /// Fills a blob for a file.
    fn vaccel_blob_init(blob: *mut vaccel_blob, path: *const c_char) {
        blob::init(ptr!(blob), text!(path))
    }

    /// Makes a blob for a file.
    fn vaccel_blob_new(blob: *mut *mut vaccel_blob, path: *const c_char) {
        let (out, path) = (ptr!(blob), text!(path));
        out.write(alloc::filled(|blob| blob::init(blob, path))?);
        Ok(())
    }

    /// Fills a blob of memory, or of a file with that content.
    fn vaccel_blob_init_from_buf(
        blob: *mut vaccel_blob,
        buf: *const u8,
        size: usize,
        own: bool,
        filename: *const c_char,
        dir: *const c_char,
        randomize: bool,
    ) {
        blob::init_from_buf(ptr!(blob), buf, size, own, naming!(filename, dir, randomize))
    }

    /// Makes a blob of memory, or of a file with that content.
    fn vaccel_blob_from_buf(
        blob: *mut *mut vaccel_blob,
        buf: *const u8,
        size: usize,
        own: bool,
        filename: *const c_char,
        dir: *const c_char,
        randomize: bool,
    ) {
        let (out, naming) = (ptr!(blob), naming!(filename, dir, randomize));
        out.write(alloc::filled(|blob| blob::init_from_buf(blob, buf, size, own, naming))?);
        Ok(())
    }

    /// Writes a blob in memory to a file.
    fn vaccel_blob_persist(
        blob: *mut vaccel_blob,
        dir: *const c_char,
        filename: *const c_char,
        randomize: bool,
    ) {
        blob::persist(ptr!(blob), naming!(filename, dir, randomize))
    }

    /// Maps the file of a blob.
    fn vaccel_blob_read(blob: *mut vaccel_blob) { blob::read(ptr!(blob)) }

    /// The bytes of a blob.
    fn vaccel_blob_data(blob: *mut vaccel_blob, size: *mut usize) -> *mut u8, std::ptr::null_mut(); {
        let out = optional!(size);
        if let Some(out) = out {
            out.write(0);
        }
        let (data, length) = blob::data(ptr!(blob))?;
        if let Some(out) = out {
            out.write(length);
        }
        Ok(data)
    }

    /// The path of a blob, or null.
    fn vaccel_blob_path(blob: *mut vaccel_blob) -> *const c_char, std::ptr::null(); {
        let blob = ptr!(blob);
        Ok(get!(blob.path).cast_const())
    }

    /// Whether the fields of a blob fit together.
    fn vaccel_blob_valid(blob: *const vaccel_blob) -> bool, false; {
        Ok(!blob.is_null() && blob::valid(ptr!(blob)))
    }

    /// Frees what a blob holds.
    fn vaccel_blob_release(blob: *mut vaccel_blob) {
        blob::release(ptr!(blob));
        Ok(())
    }

    /// Frees a blob that was made.
    fn vaccel_blob_delete(blob: *mut vaccel_blob) {
        blob::delete(ptr!(blob));
        Ok(())
    }

    /// Reads a file into malloc'ed memory.
    fn fs_file_read(path: *const c_char, data: *mut *mut c_void, size: *mut usize) {
        let (out, out_size) = (ptr!(data), optional!(size));
        let (bytes, length) = blob::read_file(text!(path))?;
        out.write(bytes.cast());
        if let Some(out_size) = out_size {
            out_size.write(length);
        }
        Ok(())
    }

    /// A string with A-Z made a-z, in a buffer, in a new string, or both.
    fn vaccel_str_to_lower(
        input: *const c_char,
        out: *mut c_char,
        max_len: usize,
        alloc_out: *mut *mut c_char,
    ) {
        let target = Target { buffer: out, size: max_len, allocated: optional!(alloc_out) };
        text::to_lower(text!(input).to_bytes(), target)
    }
}
