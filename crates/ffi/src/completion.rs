//! Calls that are submitted and waited for later.

use std::ffi::{c_char, c_int, c_uchar, c_void};
use std::sync::Arc;
use std::time::Duration;
use vaccel_abi::arg::vaccel_arg;
use vaccel_abi::completion::{vaccel_async_options, vaccel_completion};
use vaccel_abi::model::vaccel_tensor;
use vaccel_abi::op::{
    OP_BLAS_SGEMM, OP_EXEC, OP_EXEC_WITH_RESOURCE, OP_IMAGE_CLASSIFY, OP_IMAGE_DEPTH,
    OP_IMAGE_DETECT, OP_IMAGE_POSE, OP_IMAGE_SEGMENT, OP_MINMAX, OP_MODEL_RUN, OP_NOOP,
    OP_TF_MODEL_RUN, OP_TFLITE_MODEL_RUN, OP_TORCH_MODEL_RUN,
};
use vaccel_abi::resource::vaccel_resource;
use vaccel_abi::session::vaccel_session;
use vaccel_abi::tensor::{
    vaccel_tf_buffer, vaccel_tf_node, vaccel_tf_status, vaccel_tf_tensor, vaccel_tflite_tensor,
    vaccel_torch_buffer, vaccel_torch_tensor,
};
use vaccel_core::completion::{self, Callback, Completion, Options, submit};
use vaccel_core::exec::{self, Args};
use vaccel_core::image::{self, Image, Text};
use vaccel_core::vector::{self, Sgemm};
use vaccel_core::{Result, genop, get, model, op, ptr, tf, tflite, torch};

/// What the program says of a call.
fn options(options: *const vaccel_async_options) -> Result<Options> {
    if options.is_null() {
        return Ok(Options::default());
    }
    // SAFETY: the contract of the exported function.
    let options = unsafe { ptr::Ptr::new(options, "options")? };
    let arg = get!(options.arg);
    Ok(Options {
        timeout_ms: get!(options.timeout_ms),
        callback: get!(options.completed).map(|function| Callback { function, arg }),
    })
}

/// Milliseconds; a negative number is for ever.
fn time(timeout_ms: i64) -> Option<Duration> {
    u64::try_from(timeout_ms).ok().map(Duration::from_millis)
}

/// `count` of something; none for a count of 0.
///
/// # Safety
/// As many are there until the call is over.
unsafe fn list<T>(first: *const T, count: usize, name: &'static str) -> Result<&'static [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    // SAFETY: the contract of this function.
    let first = unsafe { ptr::Ptr::new(first, name)? };
    // SAFETY: as above.
    Ok(unsafe { std::slice::from_raw_parts(first.as_ptr(), count) })
}

/// Functions that submit a call. Their arguments are those of the function that waits, then come
/// options and a place for the completion; a body checks arguments and gives what makes the call.
macro_rules! submissions {
    ($(
        $(#[$doc:meta])*
        fn $name:ident($sess:ident $(, $arg:ident: $type:ty)* $(,)?) = $op:ident $call:block
    )*) => {
        export! {$(
            $(#[$doc])*
            fn $name(
                $sess: *mut vaccel_session,
                $($arg: $type,)*
                opts: *const vaccel_async_options,
                out: *mut *mut vaccel_completion,
            ) {
                let ($sess, out) = (ptr!($sess), ptr!(out));
                let call = $call;
                submit($sess, $op, true, options(opts)?, out, call)
            }
        )*}
    };
}

submissions! {
    /// Submits `vaccel_noop`.
    fn vaccel_noop_async(sess) = OP_NOOP {
        move || op::noop(sess)
    }

    /// Submits `vaccel_sgemm`.
    fn vaccel_sgemm_async(
        sess,
        m: i64,
        n: i64,
        k: i64,
        alpha: f32,
        a: *mut f32,
        lda: i64,
        b: *mut f32,
        ldb: i64,
        beta: f32,
        c: *mut f32,
        ldc: i64,
    ) = OP_BLAS_SGEMM {
        let (a, b, c) = (ptr!(a), ptr!(b), ptr!(c));
        let g = Sgemm { m, n, k, alpha, a, lda, b, ldb, beta, c, ldc };
        move || vector::sgemm(sess, g)
    }

    /// Submits `vaccel_minmax`.
    fn vaccel_minmax_async(
        sess,
        indata: *const f64,
        ndata: c_int,
        low_threshold: c_int,
        high_threshold: c_int,
        outdata: *mut f64,
        min: *mut f64,
        max: *mut f64,
    ) = OP_MINMAX {
        let (indata, outdata, ends) = (ptr!(indata), ptr!(outdata), [ptr!(min), ptr!(max)]);
        let thresholds = [low_threshold, high_threshold];
        move || vector::minmax(sess, indata, ndata, thresholds, outdata, ends)
    }

    /// Submits `vaccel_exec`.
    fn vaccel_exec_async(
        sess,
        library: *const c_char,
        fn_symbol: *const c_char,
        read: *mut vaccel_arg,
        nr_read: usize,
        write: *mut vaccel_arg,
        nr_write: usize,
    ) = OP_EXEC {
        let (library, symbol) = (text!(library), text!(fn_symbol));
        let read = Args { first: read, count: nr_read };
        let write = Args { first: write, count: nr_write };
        move || exec::exec(sess, library, symbol, read, write)
    }

    /// Submits `vaccel_exec_with_resource`.
    fn vaccel_exec_with_resource_async(
        sess,
        resource: *mut vaccel_resource,
        fn_symbol: *const c_char,
        read: *mut vaccel_arg,
        nr_read: usize,
        write: *mut vaccel_arg,
        nr_write: usize,
    ) = OP_EXEC_WITH_RESOURCE {
        let (resource, symbol) = (ptr!(resource), text!(fn_symbol));
        let read = Args { first: read, count: nr_read };
        let write = Args { first: write, count: nr_write };
        move || exec::exec_with_resource(sess, resource, symbol, read, write)
    }

    /// Submits `vaccel_image_classification`.
    fn vaccel_image_classification_async(
        sess,
        img: *const c_void,
        out_text: *mut c_uchar,
        out_imgname: *mut c_uchar,
        len_img: usize,
        len_out_text: usize,
        len_out_imgname: usize,
    ) = OP_IMAGE_CLASSIFY {
        let image = Image { data: img, size: len_img };
        let text = Text { buffer: out_text, size: len_out_text };
        let name = Text { buffer: out_imgname, size: len_out_imgname };
        move || image::classify(sess, image, text, name)
    }

    /// Submits `vaccel_torch_model_run`.
    fn vaccel_torch_model_run_async(
        sess,
        model: *mut vaccel_resource,
        run_options: *const vaccel_torch_buffer,
        inputs: *const *mut vaccel_torch_tensor,
        nr_inputs: c_int,
        outputs: *mut *mut vaccel_torch_tensor,
        nr_outputs: c_int,
    ) = OP_TORCH_MODEL_RUN {
        let model = ptr!(model);
        move || {
            // SAFETY: the contract of the exported function, until the call is over.
            unsafe {
                torch::run(sess, model, run_options, inputs, nr_inputs, outputs, nr_outputs)
            }
        }
    }

    /// Submits `vaccel_tf_model_run`.
    fn vaccel_tf_model_run_async(
        sess,
        model: *mut vaccel_resource,
        run_options: *const vaccel_tf_buffer,
        in_nodes: *const vaccel_tf_node,
        inputs: *const *mut vaccel_tf_tensor,
        nr_inputs: c_int,
        out_nodes: *const vaccel_tf_node,
        outputs: *mut *mut vaccel_tf_tensor,
        nr_outputs: c_int,
        status: *mut vaccel_tf_status,
    ) = OP_TF_MODEL_RUN {
        let model = ptr!(model);
        let status = optional!(status);
        move || {
            let run = tf::Run {
                options: run_options,
                in_nodes,
                inputs,
                nr_inputs,
                out_nodes,
                outputs,
                nr_outputs,
                status,
            };
            // SAFETY: the contract of the exported function, until the call is over.
            unsafe { tf::run(sess, model, run) }
        }
    }

    /// Submits `vaccel_tflite_model_run`.
    fn vaccel_tflite_model_run_async(
        sess,
        model: *mut vaccel_resource,
        inputs: *const *mut vaccel_tflite_tensor,
        nr_inputs: c_int,
        outputs: *mut *mut vaccel_tflite_tensor,
        nr_outputs: c_int,
        status: *mut u8,
    ) = OP_TFLITE_MODEL_RUN {
        let model = ptr!(model);
        let status = optional!(status);
        move || {
            // SAFETY: the contract of the exported function, until the call is over.
            unsafe { tflite::run(sess, model, inputs, nr_inputs, outputs, nr_outputs, status) }
        }
    }
}

/// The operations that give nothing but an annotated picture.
macro_rules! annotations {
    ($($(#[$doc:meta])* $name:ident = $op:ident;)*) => {
        submissions! {$(
            $(#[$doc])*
            fn $name(
                sess,
                img: *const c_void,
                out_imgname: *mut c_uchar,
                len_img: usize,
                len_out_imgname: usize,
            ) = $op {
                let image = Image { data: img, size: len_img };
                let name = Text { buffer: out_imgname, size: len_out_imgname };
                move || image::process(sess, $op, image, name)
            }
        )*}
    };
}

annotations! {
    /// Submits `vaccel_image_detection`.
    vaccel_image_detection_async = OP_IMAGE_DETECT;
    /// Submits `vaccel_image_segmentation`.
    vaccel_image_segmentation_async = OP_IMAGE_SEGMENT;
    /// Submits `vaccel_image_pose`.
    vaccel_image_pose_async = OP_IMAGE_POSE;
    /// Submits `vaccel_image_depth`.
    vaccel_image_depth_async = OP_IMAGE_DEPTH;
}

export! {
    /// Submits the operation that the first read argument names.
    fn vaccel_genop_async(
        sess: *mut vaccel_session,
        read: *mut vaccel_arg,
        nr_read: c_int,
        write: *mut vaccel_arg,
        nr_write: c_int,
        opts: *const vaccel_async_options,
        out: *mut *mut vaccel_completion,
    ) {
        let (sess, out) = (ptr!(sess), ptr!(out));
        let code = genop::code_of(read, nr_read)?;
        submit(sess, code, genop::is_plain(code), options(opts)?, out, move || {
            genop::genop(sess, read, nr_read, write, nr_write)
        })
    }

    /// Submits `vaccel_model_run`.
    fn vaccel_model_run_async(
        sess: *mut vaccel_session,
        model: *mut vaccel_resource,
        inputs: *const vaccel_tensor,
        nr_inputs: usize,
        outputs: *mut vaccel_tensor,
        nr_outputs: usize,
        opts: *const vaccel_async_options,
        out: *mut *mut vaccel_completion,
    ) {
        let (sess, out, res) = (ptr!(sess), ptr!(out), ptr!(model));
        // SAFETY: the contract of the exported function, until the call is over.
        let inputs = unsafe { list(inputs, nr_inputs, "inputs")? };
        // SAFETY: as above.
        let before = unsafe { list(outputs.cast_const(), nr_outputs, "outputs")? };
        let plain = model::is_plain(inputs, before);
        submit(sess, OP_MODEL_RUN, plain, options(opts)?, out, move || {
            let outputs = if nr_outputs == 0 {
                &mut []
            } else {
                // SAFETY: as above; nobody else uses them.
                unsafe { std::slice::from_raw_parts_mut(outputs, nr_outputs) }
            };
            model::run(sess, res, inputs, outputs)
        })
    }

    /// Whether a call is over.
    fn vaccel_completion_poll(completion: *mut vaccel_completion) {
        completion::of(ptr!(completion)).poll()
    }

    /// Waits for the end of a call.
    fn vaccel_completion_wait(completion: *mut vaccel_completion, timeout_ms: i64) {
        completion::of(ptr!(completion)).wait(time(timeout_ms))
    }

    /// Waits for the end of one of several calls.
    fn vaccel_completion_wait_any(
        completions: *const *mut vaccel_completion,
        nr_completions: usize,
        timeout_ms: i64,
        index: *mut usize,
    ) {
        let out = ptr!(index);
        let all: Vec<Arc<Completion>> = pointers!(completions, nr_completions)
            .into_iter()
            .map(completion::of)
            .collect();
        out.write(completion::wait_any(&all, time(timeout_ms))?);
        Ok(())
    }

    /// Ends a call.
    fn vaccel_completion_cancel(completion: *mut vaccel_completion) {
        completion::of(ptr!(completion)).cancel()
    }

    /// What came of a call.
    fn vaccel_completion_result(completion: *mut vaccel_completion) {
        completion::of(ptr!(completion)).result()
    }

    /// A descriptor that is readable once a call is over.
    fn vaccel_completion_fd(completion: *mut vaccel_completion, fd: *mut c_int) {
        let out = ptr!(fd);
        out.write(-1);
        out.write(completion::of(ptr!(completion)).event()?);
        Ok(())
    }

    /// Gives a completion up.
    fn vaccel_completion_free(completion: *mut vaccel_completion) {
        if !completion.is_null() {
            completion::take(ptr!(completion)).free();
        }
        Ok(())
    }
}
