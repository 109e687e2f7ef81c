//! TensorFlow models, nodes and status.

use std::ffi::{c_char, c_int};
use vaccel_abi::resource::vaccel_resource;
use vaccel_abi::session::vaccel_session;
use vaccel_abi::tensor::{vaccel_tf_buffer, vaccel_tf_node, vaccel_tf_status, vaccel_tf_tensor};
use vaccel_core::{alloc, tf};

export! {
    /// Fills a node.
    fn vaccel_tf_node_init(node: *mut vaccel_tf_node, name: *const c_char, id: c_int) {
        tf::init_node(ptr!(node), text!(name), id)
    }

    /// Makes a node.
    fn vaccel_tf_node_new(node: *mut *mut vaccel_tf_node, name: *const c_char, id: c_int) {
        let (out, name) = (ptr!(node), text!(name));
        out.write(alloc::filled(|node| tf::init_node(node, name, id))?);
        Ok(())
    }

    /// Frees the name of a node.
    fn vaccel_tf_node_release(node: *mut vaccel_tf_node) {
        tf::release_node(ptr!(node));
        Ok(())
    }

    /// Frees a node that was made.
    fn vaccel_tf_node_delete(node: *mut vaccel_tf_node) {
        let node = ptr!(node);
        tf::release_node(node);
        // SAFETY: malloc'ed, by contract.
        unsafe { alloc::free(node.as_ptr()) };
        Ok(())
    }

    /// Fills a status.
    fn vaccel_tf_status_init(
        status: *mut vaccel_tf_status,
        error_code: u8,
        message: *const c_char,
    ) {
        tf::init_status(ptr!(status), error_code, text!(message))
    }

    /// Makes a status.
    fn vaccel_tf_status_new(
        status: *mut *mut vaccel_tf_status,
        error_code: u8,
        message: *const c_char,
    ) {
        let (out, message) = (ptr!(status), text!(message));
        out.write(alloc::filled(|status| tf::init_status(status, error_code, message))?);
        Ok(())
    }

    /// Frees the message of a status.
    fn vaccel_tf_status_release(status: *mut vaccel_tf_status) {
        tf::release_status(ptr!(status));
        Ok(())
    }

    /// Frees a status that was made.
    fn vaccel_tf_status_delete(status: *mut vaccel_tf_status) {
        let status = ptr!(status);
        tf::release_status(status);
        // SAFETY: malloc'ed, by contract.
        unsafe { alloc::free(status.as_ptr()) };
        Ok(())
    }

    /// Loads a model.
    fn vaccel_tf_model_load(
        sess: *mut vaccel_session,
        model: *mut vaccel_resource,
        status: *mut vaccel_tf_status,
    ) {
        tf::load(ptr!(sess), ptr!(model), optional!(status))
    }

    /// Unloads a model.
    fn vaccel_tf_model_unload(
        sess: *mut vaccel_session,
        model: *mut vaccel_resource,
        status: *mut vaccel_tf_status,
    ) {
        tf::unload(ptr!(sess), ptr!(model), optional!(status))
    }

    /// Runs a model.
    fn vaccel_tf_model_run(
        sess: *mut vaccel_session,
        model: *mut vaccel_resource,
        run_options: *const vaccel_tf_buffer,
        in_nodes: *const vaccel_tf_node,
        inputs: *const *mut vaccel_tf_tensor,
        nr_inputs: c_int,
        out_nodes: *const vaccel_tf_node,
        outputs: *mut *mut vaccel_tf_tensor,
        nr_outputs: c_int,
        status: *mut vaccel_tf_status,
    ) {
        let run = tf::Run {
            options: run_options,
            in_nodes,
            inputs,
            nr_inputs,
            out_nodes,
            outputs,
            nr_outputs,
            status: optional!(status),
        };
        // SAFETY: the contract of the exported function.
        unsafe { tf::run(ptr!(sess), ptr!(model), run) }
    }
}
