//! Models through the neutral interface, and the library's description of itself.

use std::ffi::c_char;
use vaccel_abi::model::{vaccel_model_info, vaccel_tensor};
use vaccel_abi::resource::vaccel_resource;
use vaccel_abi::session::vaccel_session;
use vaccel_core::{describe, kept, model};

/// `count` tensors; none for a count of 0.
macro_rules! tensors {
    ($make:ident, $list:ident, $count:ident, $empty:expr) => {
        if $count == 0 {
            $empty
        } else {
            let first = ptr!($list);
            // SAFETY: the contract of the exported function: as many are there.
            unsafe { std::slice::$make(first.as_ptr(), $count) }
        }
    };
}

export! {
    /// Loads a model; options are "key=value,..." or null.
    fn vaccel_model_load(
        sess: *mut vaccel_session,
        res: *mut vaccel_resource,
        options: *const c_char,
    ) {
        model::load(ptr!(sess), ptr!(res), optional_text!(options))
    }

    /// Unloads a model.
    fn vaccel_model_unload(sess: *mut vaccel_session, res: *mut vaccel_resource) {
        model::unload(ptr!(sess), ptr!(res))
    }

    /// Runs a model on tensors.
    fn vaccel_model_run(
        sess: *mut vaccel_session,
        res: *mut vaccel_resource,
        inputs: *const vaccel_tensor,
        nr_inputs: usize,
        outputs: *mut vaccel_tensor,
        nr_outputs: usize,
    ) {
        let (sess, res) = (ptr!(sess), ptr!(res));
        let inputs: &[_] = tensors!(from_raw_parts, inputs, nr_inputs, &[]);
        let outputs: &mut [_] = tensors!(from_raw_parts_mut, outputs, nr_outputs, &mut []);
        model::run(sess, res, inputs, outputs)
    }

    /// Describes a loaded model.
    fn vaccel_model_info(
        sess: *mut vaccel_session,
        res: *mut vaccel_resource,
        info: *mut vaccel_model_info,
    ) {
        model::info(ptr!(sess), ptr!(res), ptr!(info))
    }

    /// Frees a description.
    fn vaccel_model_info_release(info: *mut vaccel_model_info) {
        model::release_info(ptr!(info));
        Ok(())
    }

    /// Keeps a copy of a tensor where models run.
    fn vaccel_tensor_keep(
        sess: *mut vaccel_session,
        tensor: *const vaccel_tensor,
        kept: *mut vaccel_tensor,
    ) {
        let (sess, tensor, out) = (ptr!(sess), ptr!(tensor), ptr!(kept));
        kept::keep(sess, &tensor.read(), out)
    }

    /// Reads a kept tensor.
    fn vaccel_tensor_fetch(
        sess: *mut vaccel_session,
        kept: *const vaccel_tensor,
        out: *mut vaccel_tensor,
    ) {
        let (sess, kept, out) = (ptr!(sess), ptr!(kept), ptr!(out));
        kept::fetch(sess, vaccel_core::get!(kept.handle), out)
    }

    /// Frees the data of an output.
    fn vaccel_tensor_release(tensor: *mut vaccel_tensor) {
        model::release_tensor(ptr!(tensor));
        Ok(())
    }

    /// The state of the library and its plugins as malloc'ed JSON.
    fn vaccel_describe(json: *mut *mut c_char) {
        let out = ptr!(json);
        out.write(describe::to_c()?);
        Ok(())
    }
}
