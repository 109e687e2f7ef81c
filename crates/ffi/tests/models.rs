//! Models: neutral calls, and the frameworks' calls as views of them.
#![allow(clippy::unwrap_used)]

mod common;

use common::model::*;
use common::*;
use std::ffi::{CStr, c_char};
use vaccel_abi::error::{EINVAL, ENOENT, ENOTSUP, EPERM, ERANGE, OK};
use vaccel_abi::model::*;
use vaccel_abi::resource::{RESOURCE_DATA, RESOURCE_MODEL, vaccel_resource};
use vaccel_abi::tensor::*;

#[test]
fn a_model_runs_into_new_memory_or_the_callers() {
    let mut f = Fixture::neutral();
    expect(
        OK,
        vaccel_model_load(&mut *f.sess, &mut *f.model, c"threads=1".as_ptr()),
    );
    let mut data = [1f32, 2., 3.];
    let input = tensor(&mut data);
    let mut output = vaccel_tensor::empty();
    expect(
        OK,
        vaccel_model_run(&mut *f.sess, &mut *f.model, &input, 1, &mut output, 1),
    );
    assert_eq!(output.flags, TENSOR_OWNED);
    assert_eq!(floats(&output), data);
    expect(OK, vaccel_tensor_release(&mut output));
    assert!(output.data.is_null() && output.flags == 0);

    let mut room = [0f32; 3];
    output = tensor(&mut room);
    expect(
        OK,
        vaccel_model_run(&mut *f.sess, &mut *f.model, &input, 1, &mut output, 1),
    );
    assert_eq!(room, data);
    output.size = 8;
    expect(
        ERANGE,
        vaccel_model_run(&mut *f.sess, &mut *f.model, &input, 1, &mut output, 1),
    );
    assert_eq!(output.size, 12);
    expect(OK, vaccel_model_unload(&mut *f.sess, &mut *f.model));
}

#[test]
fn malformed_tensors_are_refused_before_the_plugin_sees_them() {
    let mut f = Fixture::neutral();
    let mut data = [1f32, 2., 3.];
    let good = tensor(&mut data);
    let changes: [fn(&mut vaccel_tensor); 9] = [
        |t| t.size = 11,
        |t| t.size = 16,
        |t| t.dtype = 0,
        |t| t.dtype = DTYPE_MAX,
        |t| t.rank = 9,
        |t| t.rank = u32::MAX,
        |t| t.dims[0] = -3,
        |t| t.data = std::ptr::null_mut(),
        |t| (t.rank, t.dims[1], t.dims[2]) = (3, i64::MAX, i64::MAX),
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let mut input = good;
        change(&mut input);
        let mut output = vaccel_tensor::empty();
        let result = vaccel_model_run(&mut *f.sess, &mut *f.model, &input, 1, &mut output, 1);
        assert_eq!(result, EINVAL, "change {i}: {}", message());
        assert!(output.data.is_null());
    }
    let null = std::ptr::null_mut();
    expect(
        EINVAL,
        vaccel_model_run(&mut *f.sess, &mut *f.model, null, 1, null, 0),
    );
    let mut stays = good;
    stays.handle = 1;
    expect(
        ENOENT,
        vaccel_model_run(&mut *f.sess, &mut *f.model, &stays, 1, null, 0),
    );
}

#[test]
fn a_model_must_be_a_model_and_registered() {
    let mut f = Fixture::neutral();
    let mut other = garbage::<vaccel_resource>();
    let data = CONTENT.as_ptr().cast();
    let null = std::ptr::null();
    expect(
        OK,
        vaccel_resource_init_from_buf(&mut *other, data, 4, RESOURCE_MODEL, null, true),
    );
    expect(EPERM, vaccel_model_load(&mut *f.sess, &mut *other, null));
    expect(
        EPERM,
        vaccel_tf_model_load(&mut *f.sess, &mut *other, std::ptr::null_mut()),
    );
    expect(OK, vaccel_resource_release(&mut *other));
    expect(EINVAL, vaccel_model_load(&mut *f.sess, &mut *other, null));
    expect(
        OK,
        vaccel_resource_init_from_buf(&mut *other, data, 4, RESOURCE_DATA, null, true),
    );
    expect(OK, vaccel_resource_register(&mut *other, &mut *f.sess));
    expect(EINVAL, vaccel_model_load(&mut *f.sess, &mut *other, null));
    expect(OK, vaccel_resource_release(&mut *other));
}

#[test]
fn another_backend_of_ours_serves_models_and_is_told_of_their_end() {
    let mut f = Fixture::typed();
    expect(
        OK,
        vaccel_model_load(&mut *f.sess, &mut *f.model, std::ptr::null()),
    );
    let neutral = folder().join("libvaccel-neutral.so");
    let before = counter(&neutral, c"unregistrations");
    expect(OK, vaccel_resource_unregister(&mut *f.model, &mut *f.sess));
    // Models of other tests may be unregistered at the same time.
    assert!(counter(&neutral, c"unregistrations") > before);
}

#[test]
fn info_describes_inputs_and_outputs() {
    let mut f = Fixture::neutral();
    let mut info = garbage::<vaccel_model_info>();
    expect(
        OK,
        vaccel_model_info(&mut *f.sess, &mut *f.model, &mut *info),
    );
    assert_eq!((info.nr_inputs, info.nr_outputs), (1, 1));
    // SAFETY: filled just before.
    unsafe {
        assert_eq!(CStr::from_ptr(info.format), c"copy");
        assert_eq!(CStr::from_ptr((*info.inputs).name), c"x:0");
    }
    expect(OK, vaccel_model_info_release(&mut *info));
    assert!(info.inputs.is_null() && info.nr_inputs == 0);
}

#[test]
fn tensorflow_calls_are_views_of_the_neutral_ones() {
    let mut f = Fixture::neutral();
    let mut status = garbage::<vaccel_tf_status>();
    expect(
        OK,
        vaccel_tf_model_load(&mut *f.sess, &mut *f.model, &mut *status),
    );
    assert_eq!(status.code, 0);
    let dims = [2i64, 3];
    let mut input: *mut vaccel_tf_tensor = std::ptr::null_mut();
    expect(
        OK,
        vaccel_tf_tensor_allocate(&mut input, 2, dims.as_ptr(), TF_FLOAT, 24),
    );
    // SAFETY: just allocated with 24 bytes.
    unsafe {
        (*input)
            .data
            .cast::<[f32; 6]>()
            .write([1., 2., 3., 4., 5., 6.])
    };
    // The model has `x:0` and `y`.
    let node = |name: &'static CStr| vaccel_tf_node {
        name: name.as_ptr().cast_mut(),
        id: 0,
    };
    let (in_node, out_node) = (node(c"x"), node(c"y"));
    let mut output: *mut vaccel_tf_tensor = std::ptr::dangling_mut();
    let status: *mut vaccel_tf_status = &raw mut *status;
    let inputs = [input];
    let mut run = |out_node: &vaccel_tf_node, output: &mut *mut vaccel_tf_tensor| {
        vaccel_tf_model_run(
            &mut *f.sess,
            &mut *f.model,
            std::ptr::null(),
            &in_node,
            inputs.as_ptr(),
            1,
            out_node,
            output,
            1,
            status,
        )
    };
    expect(OK, run(&out_node, &mut output));
    // SAFETY: an output of the library.
    unsafe {
        let out = &*output;
        assert_eq!(
            (out.nr_dims, out.data_type, out.size, out.owned),
            (2, TF_FLOAT, 24, true)
        );
        assert_eq!(std::slice::from_raw_parts(out.dims, 2), dims);
        assert_eq!(out.data.cast::<[f32; 6]>().read(), [1., 2., 3., 4., 5., 6.]);
    }
    expect(OK, vaccel_tf_tensor_delete(output));

    expect(ENOENT, run(&node(c"z"), &mut output));
    assert!(output.is_null());
    // SAFETY: filled by the call.
    let (code, text) = unsafe { ((*status).code, CStr::from_ptr((*status).message)) };
    // TensorFlow's "not found".
    assert_eq!(code, 5);
    let text = text.to_string_lossy().into_owned();
    assert!(text.contains("no such input or output"), "{text}");
    expect(OK, vaccel_tf_status_release(status));

    // A type without neutral form.
    // SAFETY: the input is alive.
    unsafe { (*input).data_type = TF_STRING };
    expect(ENOTSUP, run(&out_node, &mut output));
    expect(OK, vaccel_tf_status_release(status));
    expect(OK, vaccel_tf_tensor_delete(input));
    expect(
        OK,
        vaccel_tf_model_unload(&mut *f.sess, &mut *f.model, status),
    );
}

#[test]
fn tflite_and_torch_calls_are_views_of_the_neutral_ones() {
    let mut f = Fixture::neutral();
    expect(OK, vaccel_tflite_model_load(&mut *f.sess, &mut *f.model));
    let mut input: *mut vaccel_tflite_tensor = std::ptr::null_mut();
    let dims = [3i32];
    expect(
        OK,
        vaccel_tflite_tensor_allocate(&mut input, 1, dims.as_ptr(), TFLITE_INT8, 3),
    );
    let mut output: *mut vaccel_tflite_tensor = std::ptr::null_mut();
    let mut status = 9u8;
    expect(
        OK,
        vaccel_tflite_model_run(
            &mut *f.sess,
            &mut *f.model,
            &input,
            1,
            &mut output,
            1,
            &mut status,
        ),
    );
    assert_eq!(status, 0);
    // SAFETY: an output of the library.
    unsafe {
        assert_eq!(
            ((*output).data_type, (*output).size, *(*output).dims),
            (TFLITE_INT8, 3, 3)
        )
    };
    expect(OK, vaccel_tflite_tensor_delete(output));
    // More outputs than the model has.
    let mut outputs = [std::ptr::dangling_mut(); 2];
    expect(
        EINVAL,
        vaccel_tflite_model_run(
            &mut *f.sess,
            &mut *f.model,
            &input,
            1,
            outputs.as_mut_ptr(),
            2,
            &mut status,
        ),
    );
    assert_eq!((status, outputs), (1, [std::ptr::null_mut(); 2]));
    expect(OK, vaccel_tflite_tensor_delete(input));

    expect(OK, vaccel_torch_model_load(&mut *f.sess, &mut *f.model));
    let mut input: *mut vaccel_torch_tensor = std::ptr::null_mut();
    let dims = [1i64, 2];
    expect(
        OK,
        vaccel_torch_tensor_allocate(&mut input, 2, dims.as_ptr(), TORCH_LONG, 16),
    );
    let mut output: *mut vaccel_torch_tensor = std::ptr::null_mut();
    let null = std::ptr::null();
    expect(
        OK,
        vaccel_torch_model_run(&mut *f.sess, &mut *f.model, null, &input, 1, &mut output, 1),
    );
    // SAFETY: an output of the library.
    unsafe {
        assert_eq!(
            ((*output).data_type, (*output).size, (*output).nr_dims),
            (TORCH_LONG, 16, 2)
        )
    };
    expect(OK, vaccel_torch_tensor_delete(output));
    expect(OK, vaccel_torch_tensor_delete(input));
}

#[test]
fn the_description_tells_plugins_operations_and_formats() {
    drop(Fixture::neutral());
    let mut json: *mut c_char = std::ptr::null_mut();
    expect(OK, vaccel_describe(&mut json));
    // SAFETY: a malloc'ed C string.
    let text = unsafe {
        let text = CStr::from_ptr(json).to_string_lossy().into_owned();
        libc::free(json.cast());
        text
    };
    for part in [
        "\"name\":\"neutral\"",
        "\"version\":\"1.2.3\"",
        "\"types\":[\"cpu\"]",
        "\"transport\":false",
        "\"model_run\"",
        "\"formats\":[\"copy\"]",
        "libvaccel-neutral.so",
        "\"initialized\":true",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}
