//! Resources.

use std::ffi::{CStr, c_char, c_long, c_void};
use vaccel_abi::blob::vaccel_blob;
use vaccel_abi::resource::{ResourceType, vaccel_resource};
use vaccel_abi::session::vaccel_session;
use vaccel_abi::vaccel_id_t;
use vaccel_core::text::Target;
use vaccel_core::{alloc, ptr, resource};

macro_rules! texts {
    ($list:ident, $count:ident) => {{
        let list = ptr!($list);
        let mut texts: Vec<&CStr> = Vec::new();
        for i in 0..$count {
            // SAFETY: the contract of the exported function: as many are there.
            let one = unsafe { ptr::text(list.as_ptr().add(i).read(), stringify!($list)) };
            texts.push(one?);
        }
        texts
    }};
}

export! {
    /// Fills a resource of one path.
    fn vaccel_resource_init(
        res: *mut vaccel_resource,
        path: *const c_char,
        r#type: ResourceType,
    ) {
        resource::init(ptr!(res), &[text!(path)], r#type)
    }

    /// Fills a resource of several paths.
    fn vaccel_resource_init_multi(
        res: *mut vaccel_resource,
        paths: *mut *const c_char,
        nr_paths: usize,
        r#type: ResourceType,
    ) {
        resource::init(ptr!(res), &texts!(paths, nr_paths), r#type)
    }

    /// Fills a resource of memory.
    fn vaccel_resource_init_from_buf(
        res: *mut vaccel_resource,
        buf: *const c_void,
        nr_bytes: usize,
        r#type: ResourceType,
        filename: *const c_char,
        mem_only: bool,
    ) {
        let name = optional_text!(filename);
        resource::init_from_buf(ptr!(res), buf.cast(), nr_bytes, r#type, name, mem_only)
    }

    /// Fills a resource of copies of blobs.
    fn vaccel_resource_init_from_blobs(
        res: *mut vaccel_resource,
        blobs: *mut *const vaccel_blob,
        nr_blobs: usize,
        r#type: ResourceType,
    ) {
        resource::init_from_blobs(ptr!(res), &pointers!(blobs, nr_blobs), r#type)
    }

    /// Frees what a resource holds.
    fn vaccel_resource_release(res: *mut vaccel_resource) { resource::release(ptr!(res)) }

    /// Makes a resource of one path.
    fn vaccel_resource_new(
        res: *mut *mut vaccel_resource,
        path: *const c_char,
        r#type: ResourceType,
    ) {
        let (out, path) = (ptr!(res), text!(path));
        out.write(alloc::filled(|res| resource::init(res, &[path], r#type))?);
        Ok(())
    }

    /// Makes a resource of several paths.
    fn vaccel_resource_multi_new(
        res: *mut *mut vaccel_resource,
        paths: *mut *const c_char,
        nr_paths: usize,
        r#type: ResourceType,
    ) {
        let (out, paths) = (ptr!(res), texts!(paths, nr_paths));
        out.write(alloc::filled(|res| resource::init(res, &paths, r#type))?);
        Ok(())
    }

    /// Makes a resource of memory.
    fn vaccel_resource_from_buf(
        res: *mut *mut vaccel_resource,
        buf: *const c_void,
        nr_bytes: usize,
        r#type: ResourceType,
        filename: *const c_char,
        mem_only: bool,
    ) {
        let (out, name) = (ptr!(res), optional_text!(filename));
        out.write(alloc::filled(|res| {
            resource::init_from_buf(res, buf.cast(), nr_bytes, r#type, name, mem_only)
        })?);
        Ok(())
    }

    /// Makes a resource of copies of blobs.
    fn vaccel_resource_from_blobs(
        res: *mut *mut vaccel_resource,
        blobs: *mut *const vaccel_blob,
        nr_blobs: usize,
        r#type: ResourceType,
    ) {
        let (out, blobs) = (ptr!(res), pointers!(blobs, nr_blobs));
        out.write(alloc::filled(|res| resource::init_from_blobs(res, &blobs, r#type))?);
        Ok(())
    }

    /// Frees a resource that was made.
    fn vaccel_resource_delete(res: *mut vaccel_resource) { resource::delete(ptr!(res)) }

    /// Makes a resource known to a session.
    fn vaccel_resource_register(res: *mut vaccel_resource, sess: *mut vaccel_session) {
        resource::register(ptr!(res), ptr!(sess))
    }

    /// Takes a resource from a session.
    fn vaccel_resource_unregister(res: *mut vaccel_resource, sess: *mut vaccel_session) {
        resource::unregister(ptr!(res), ptr!(sess))
    }

    /// Brings the caller's copy up to date.
    fn vaccel_resource_sync(res: *mut vaccel_resource, sess: *mut vaccel_session) {
        resource::sync(ptr!(res), ptr!(sess))
    }

    /// With how many sessions a resource is registered; negative for null.
    fn vaccel_resource_refcount(res: *const vaccel_resource) -> c_long, -1; {
        // A `long` has at least 32 bits, and there are fewer sessions than 2^31.
        Ok(resource::refcount(ptr!(res)) as c_long)
    }

    /// The resource with a number.
    fn vaccel_resource_get_by_id(res: *mut *mut vaccel_resource, id: vaccel_id_t) {
        let out = ptr!(res);
        out.write(resource::get_by_id(id)?);
        Ok(())
    }

    /// The oldest resource of a type.
    fn vaccel_resource_get_by_type(res: *mut *mut vaccel_resource, r#type: ResourceType) {
        let out = ptr!(res);
        out.write(resource::get_by_type(r#type)?);
        Ok(())
    }

    /// All resources of a type, in a malloc'ed array.
    fn vaccel_resource_get_all_by_type(
        resources: *mut *mut *mut vaccel_resource,
        nr_resources: *mut usize,
        r#type: ResourceType,
    ) {
        let (out, count) = (ptr!(resources), ptr!(nr_resources));
        let list = resource::get_all_by_type(r#type)?;
        out.write(alloc::copy(&list)?);
        count.write(list.len());
        Ok(())
    }

    /// The folder of a resource, in a buffer, in a new string, or both.
    fn vaccel_resource_directory(
        res: *mut vaccel_resource,
        out_path: *mut c_char,
        max_len: usize,
        alloc_path: *mut *mut c_char,
    ) {
        let target =
            Target { buffer: out_path, size: max_len, allocated: optional!(alloc_path) };
        resource::directory(ptr!(res), target)
    }
}
