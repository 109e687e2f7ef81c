//! Models: neutral calls, the frameworks' calls as views of them, and both in
//! generic form.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use std::ffi::{CStr, c_char};
use std::sync::Once;
use vaccel_abi::arg::*;
use vaccel_abi::error::{EINVAL, ENOENT, ENOTSUP, EPERM, ERANGE, OK};
use vaccel_abi::model::*;
use vaccel_abi::op::*;
use vaccel_abi::plugin::{PLUGIN_CPU, PLUGIN_GPU};
use vaccel_abi::resource::{RESOURCE_DATA, RESOURCE_MODEL, vaccel_resource};
use vaccel_abi::session::vaccel_session;
use vaccel_abi::tensor::*;

/// A session and a model that is registered with it.
struct Fixture {
    sess: Box<vaccel_session>,
    model: Box<vaccel_resource>,
}

static CONTENT: [u8; 4] = *b"copy";

impl Fixture {
    /// With the plugin that offers the neutral calls.
    fn neutral() -> Self {
        Self::new(PLUGIN_CPU, c"good")
    }

    /// With the plugin that offers TensorFlow's and Torch's own calls.
    fn typed() -> Self {
        Self::new(PLUGIN_GPU, c"good")
    }

    fn new(flags: u32, name: &CStr) -> Self {
        static LOADED: Once = Once::new();
        LOADED.call_once(|| {
            load(&plugin("neutral", &["-DNEUTRAL"]));
            load(&plugin("typed", &["-DTYPE=VACCEL_PLUGIN_GPU"]));
        });
        let mut sess = session(flags);
        let mut model = garbage::<vaccel_resource>();
        let data = CONTENT.as_ptr().cast();
        expect(
            OK,
            vaccel_resource_init_from_buf(
                &mut *model,
                data,
                4,
                RESOURCE_MODEL,
                name.as_ptr(),
                true,
            ),
        );
        expect(OK, vaccel_resource_register(&mut *model, &mut *sess));
        Self { sess, model }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        expect(OK, vaccel_resource_release(&mut *self.model));
        expect(OK, vaccel_session_release(&mut *self.sess));
    }
}

fn tensor(data: &mut [f32]) -> vaccel_tensor {
    let mut dims = [0; TENSOR_MAX_RANK];
    dims[0] = data.len() as i64;
    vaccel_tensor {
        dtype: DTYPE_F32,
        rank: 1,
        dims,
        data: data.as_mut_ptr().cast(),
        size: size_of_val(data),
        ..vaccel_tensor::empty()
    }
}

#[track_caller]
fn floats(tensor: &vaccel_tensor) -> Vec<f32> {
    assert_eq!(tensor.size % 4, 0);
    // SAFETY: an output of the library has `size` bytes.
    unsafe { std::slice::from_raw_parts(tensor.data.cast::<f32>(), tensor.size / 4) }.to_vec()
}

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
        ENOTSUP,
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
fn an_operation_that_is_missing_says_who_has_it() {
    let mut f = Fixture::neutral();
    let (mut m, mut n, mut k) = (1i32, 1i32, 1i32);
    let mut data = [1f32];
    let mut tensors = [tensor(&mut data); 3].map(|t| vaccel_tensor {
        dtype: TORCH_FLOAT,
        ..t
    });
    let mut read = vec![
        arg(ARG_INT32, &mut m),
        arg(ARG_INT32, &mut n),
        arg(ARG_INT32, &mut k),
    ];
    read.extend(tensors.iter_mut().map(tensor_arg));
    let mut output = vaccel_tensor::empty();
    let mut write = [tensor_arg(&mut output)];
    // A plugin made for the C library may count on its own sessions.
    expect(
        ENOTSUP,
        genop(&mut *f.sess, OP_TORCH_SGEMM, &read, &mut write),
    );
    let text = message();
    assert!(
        text.contains("plugin `neutral` does not offer torch_sgemm"),
        "{text}"
    );
    assert!(text.contains("`typed`"), "{text}");
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
fn model_operations_work_in_generic_form() {
    let mut f = Fixture::neutral();
    let mut id = f.model.id;
    let model = arg(ARG_INT64, &mut id);
    let mut options = *b"threads=1\0";
    let read = [model, arg(ARG_STRING, &mut options)];
    expect(OK, genop(&mut *f.sess, OP_MODEL_LOAD, &read, &mut []));
    expect(OK, genop(&mut *f.sess, OP_MODEL_LOAD, &read[..1], &mut []));

    let mut data = [1f32, 2.];
    let mut input = tensor(&mut data);
    let mut output = vaccel_tensor::empty();
    let read = [model, tensor_arg(&mut input)];
    expect(
        OK,
        genop(
            &mut *f.sess,
            OP_MODEL_RUN,
            &read,
            &mut [tensor_arg(&mut output)],
        ),
    );
    assert_eq!(floats(&output), data);
    expect(OK, vaccel_tensor_release(&mut output));

    expect(
        OK,
        genop(
            &mut *f.sess,
            OP_MODEL_INFO,
            &[model],
            &mut [tensor_arg(&mut output)],
        ),
    );
    assert_eq!(
        (output.dtype, output.rank, output.dims[0]),
        (DTYPE_U8, 1, output.size as i64)
    );
    // SAFETY: an output of the library has `size` bytes.
    let json = unsafe { std::slice::from_raw_parts(output.data.cast::<u8>(), output.size) };
    let json = std::str::from_utf8(json).unwrap().to_owned();
    assert!(
        json.contains("\"name\":\"x:0\"") && json.contains("\"dims\":[-1]"),
        "{json}"
    );
    expect(OK, vaccel_tensor_release(&mut output));
    expect(OK, genop(&mut *f.sess, OP_MODEL_UNLOAD, &[model], &mut []));

    // The structure must be one, whole, of the right size, and fit its data.
    let mut short = tensor_arg(&mut input);
    short.size -= 1;
    expect(
        EINVAL,
        genop(&mut *f.sess, OP_MODEL_RUN, &[model, short], &mut []),
    );
    let mut foreign = tensor_arg(&mut input);
    foreign.custom_type_id = 1;
    expect(
        EINVAL,
        genop(&mut *f.sess, OP_MODEL_RUN, &[model, foreign], &mut []),
    );
    input.size = 7;
    let read = [model, tensor_arg(&mut input)];
    expect(EINVAL, genop(&mut *f.sess, OP_MODEL_RUN, &read, &mut []));
    expect(
        EINVAL,
        genop(&mut *f.sess, OP_MODEL_INFO, &[model], &mut []),
    );
}

fn named(mut tensor: vaccel_tensor, name: &'static CStr, dtype: u32) -> vaccel_tensor {
    tensor.name = name.as_ptr();
    tensor.dtype = dtype;
    tensor
}

#[test]
fn tensorflow_runs_in_generic_form_reach_the_plugins_own_function() {
    let mut f = Fixture::typed();
    let mut id = f.model.id;
    let model = arg(ARG_INT64, &mut id);
    let mut data = [1f32, 2.];
    // The plugin wants node x, output 1.
    let mut input = named(tensor(&mut data), c"x:1", TF_FLOAT);
    let mut output = named(vaccel_tensor::empty(), c"y", 0);
    let (mut code, mut text) = (9u8, [1 as c_char; 8]);
    let read = [model, tensor_arg(&mut input)];
    let mut write = [
        arg(ARG_UINT8, &mut code),
        arg(ARG_CHAR_ARRAY, &mut text),
        tensor_arg(&mut output),
    ];
    expect(OK, genop(&mut *f.sess, OP_TF_MODEL_RUN, &read, &mut write));
    assert_eq!((code, floats(&output)), (0, data.to_vec()));
    assert_eq!((output.flags, output.dtype), (TENSOR_OWNED, TF_FLOAT));
    assert!(
        text.starts_with(&b"Success".map(|b| b as c_char)),
        "{text:?}"
    );
    expect(OK, vaccel_tensor_release(&mut output));

    // Into the caller's memory, without a place for the message.
    let mut run = |input: &mut vaccel_tensor, output: &mut vaccel_tensor| {
        let read = [model, tensor_arg(input)];
        let mut write = [arg(ARG_UINT8, &mut code), tensor_arg(output)];
        genop(&mut *f.sess, OP_TF_MODEL_RUN, &read, &mut write)
    };
    let mut room = [0f32; 2];
    output = named(tensor(&mut room), c"y:0", 0);
    expect(OK, run(&mut input, &mut output));
    assert_eq!(room, data);
    output.size = 4;
    expect(ERANGE, run(&mut input, &mut output));
    assert_eq!(output.size, 8);

    // A name is needed, and the size must fit TensorFlow's type.
    output = vaccel_tensor::empty();
    expect(EINVAL, run(&mut input, &mut output));
    input.dtype = TF_DOUBLE;
    output = named(output, c"y", 0);
    expect(EINVAL, run(&mut input, &mut output));
}

#[test]
fn a_failed_run_fills_the_status_and_leaks_nothing() {
    let mut f = Fixture::new(PLUGIN_GPU, c"bad");
    let mut id = f.model.id;
    let mut data = [1f32, 2.];
    let mut input = named(tensor(&mut data), c"x:1", TF_FLOAT);
    let mut output = named(vaccel_tensor::empty(), c"y", 0);
    let (mut code, mut text) = (0u8, [1u8; 8]);
    let read = [arg(ARG_INT64, &mut id), tensor_arg(&mut input)];
    let mut write = [
        arg(ARG_UINT8, &mut code),
        arg(ARG_CHAR_ARRAY, &mut text),
        tensor_arg(&mut output),
    ];
    expect(
        EINVAL,
        genop(&mut *f.sess, OP_TF_MODEL_RUN, &read, &mut write),
    );
    // The message is cut to the room there is.
    assert_eq!((code, &text), (3, b"the mod\0"));
    assert!(output.data.is_null());
    assert!(message().contains("the model is bad"), "{}", message());
}

#[test]
fn torch_and_tflite_run_in_generic_form_through_views() {
    let mut f = Fixture::neutral();
    let mut id = f.model.id;
    let model = arg(ARG_INT64, &mut id);
    let mut data = [1f32, 2.];
    let mut input = tensor(&mut data);
    let mut output = vaccel_tensor::empty();
    input.dtype = TORCH_FLOAT;
    let read = [model, tensor_arg(&mut input)];
    expect(
        OK,
        genop(
            &mut *f.sess,
            OP_TORCH_MODEL_RUN,
            &read,
            &mut [tensor_arg(&mut output)],
        ),
    );
    assert_eq!(
        (floats(&output), output.dtype),
        (data.to_vec(), TORCH_FLOAT)
    );
    expect(OK, vaccel_tensor_release(&mut output));
    // Options in front of the tensors are allowed.
    let mut options = [1u8; 3];
    let read = [model, arg(ARG_BUFFER, &mut options), tensor_arg(&mut input)];
    expect(
        OK,
        genop(
            &mut *f.sess,
            OP_TORCH_MODEL_RUN,
            &read,
            &mut [tensor_arg(&mut output)],
        ),
    );
    expect(OK, vaccel_tensor_release(&mut output));

    input.dtype = TFLITE_FLOAT32;
    let mut status = 9u8;
    let read = [model, tensor_arg(&mut input)];
    let mut write = [arg(ARG_UINT8, &mut status), tensor_arg(&mut output)];
    expect(
        OK,
        genop(&mut *f.sess, OP_TFLITE_MODEL_RUN, &read, &mut write),
    );
    assert_eq!(
        (floats(&output), status, output.dtype),
        (data.to_vec(), 0, TFLITE_FLOAT32)
    );
    expect(OK, vaccel_tensor_release(&mut output));
    input.dims[0] = 1 << 40;
    let read = [model, tensor_arg(&mut input)];
    expect(
        EINVAL,
        genop(&mut *f.sess, OP_TFLITE_MODEL_RUN, &read, &mut write),
    );
}

#[test]
fn torch_sgemm_checks_its_matrices() {
    let mut f = Fixture::typed();
    let (mut m, mut n, mut k) = (2i32, 2i32, 3i32);
    let mut data = [[1f32; 6], [2.; 6], [0.; 6]];
    let [a, b, c] = &mut data;
    let mut tensors = [tensor(a), tensor(b), tensor(&mut c[..4])];
    for t in &mut tensors {
        t.dtype = TORCH_FLOAT;
    }
    let mut output = vaccel_tensor::empty();
    let mut run = |m: &mut i32, count: usize, tensors: &mut [vaccel_tensor; 3]| {
        let mut read = vec![
            arg(ARG_INT32, m),
            arg(ARG_INT32, &mut n),
            arg(ARG_INT32, &mut k),
        ];
        read.extend(tensors[..count].iter_mut().map(tensor_arg));
        let result = genop(
            &mut *f.sess,
            OP_TORCH_SGEMM,
            &read,
            &mut [tensor_arg(&mut output)],
        );
        let values = (result == OK).then(|| floats(&output));
        expect(OK, vaccel_tensor_release(&mut output));
        (result, values)
    };
    assert_eq!(run(&mut m, 3, &mut tensors), (OK, Some(vec![6.; 4])));
    assert_eq!(run(&mut m, 2, &mut tensors).0, EINVAL);
    assert_eq!(run(&mut 3, 3, &mut tensors).0, EINVAL);
    assert_eq!(run(&mut -1, 3, &mut tensors).0, EINVAL);
    assert_eq!(run(&mut { i32::MAX }, 3, &mut tensors).0, EINVAL);
    tensors[0].dtype = TORCH_HALF;
    assert_eq!(run(&mut m, 3, &mut tensors).0, EINVAL);
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
