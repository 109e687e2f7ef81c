//! The model operations of `vaccel_genop`.
#![allow(clippy::unwrap_used)]

mod common;

use common::model::*;
use common::*;
use std::ffi::{CStr, c_char};
use vaccel_abi::arg::*;
use vaccel_abi::error::{EINVAL, ENOTSUP, ERANGE, OK};
use vaccel_abi::model::*;
use vaccel_abi::op::*;
use vaccel_abi::plugin::PLUGIN_GPU;
use vaccel_abi::tensor::*;

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
