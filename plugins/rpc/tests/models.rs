//! Models and tensors, called as C would, against an agent that computes.
#![allow(clippy::unwrap_used)]

mod common;
use common::fixture::{Fixture, arg, f32s, model};
use common::last_error;
use std::ffi::{CStr, c_char};
use std::ptr::{null, null_mut};
use vaccel_plugin::abi::arg::{ARG_BUFFER, ARG_CUSTOM, CUSTOM_TENSOR, vaccel_arg};
use vaccel_plugin::abi::model::{
    DTYPE_F32, DTYPE_I64, DTYPE_UNDEFINED, TENSOR_OWNED, vaccel_model_info, vaccel_tensor,
};
use vaccel_plugin::abi::op::*;
use vaccel_plugin::abi::tensor::{
    TF_FLOAT, TFLITE_FLOAT32, TORCH_FLOAT, vaccel_tf_node, vaccel_tf_status, vaccel_tf_tensor,
    vaccel_tflite_tensor, vaccel_torch_tensor,
};
use vaccel_plugin::testing::{free_tf_tensor, free_tflite_tensor, free_torch_tensor};
use vaccel_plugin::{Op, code};

fn tf_tensor(dims: &mut [i64], data: &mut [f32]) -> vaccel_tf_tensor {
    vaccel_tf_tensor {
        data: data.as_mut_ptr().cast(),
        size: size_of_val(data),
        owned: false,
        nr_dims: dims.len() as i32,
        dims: dims.as_mut_ptr(),
        data_type: TF_FLOAT,
    }
}

fn status_text(status: &vaccel_tf_status) -> (u8, String) {
    // SAFETY: a C string from malloc, freed once.
    unsafe {
        let text = CStr::from_ptr(status.message).to_str().unwrap().to_owned();
        libc::free(status.message.cast());
        (status.code, text)
    }
}

#[test]
fn tensorflow_models_run() {
    let f = Fixture::new();
    let s = f.rpc.session();
    let load: TfModelFn = f.rpc.plugin.op(Op::TfModelLoad);
    let run: TfModelRunFn = f.rpc.plugin.op(Op::TfModelRun);
    let unload: TfModelFn = f.rpc.plugin.op(Op::TfModelUnload);
    let good = model(5, b"graph");
    assert_eq!(s.register(&good), 0);
    let mut status = vaccel_tf_status {
        code: 99,
        message: null_mut(),
    };
    // SAFETY: live session, resource and status.
    let code = unsafe { load(s.as_ptr(), good.as_ptr(), &raw mut status) };
    assert_eq!(code, 0);
    assert_eq!(status_text(&status), (0, "fine".into()));

    let (mut d1, mut v1) = ([2, 2], [1.0, 2.0, 3.0, 4.0]);
    let (mut d2, mut v2) = ([1], [9.0]);
    let (mut t1, mut t2) = (tf_tensor(&mut d1, &mut v1), tf_tensor(&mut d2, &mut v2));
    let inputs = [&raw mut t1, &raw mut t2];
    let node = |name: &'static CStr, id| vaccel_tf_node {
        name: name.as_ptr().cast_mut(),
        id,
    };
    let in_nodes = [node(c"a", 0), node(c"b", 1)];
    // Names choose, not positions.
    let out_nodes = [node(c"b", 1), node(c"a", 0)];
    let mut outputs = [null_mut(); 2];
    // SAFETY: two nodes and tensors each.
    let code = unsafe {
        run(
            s.as_ptr(),
            good.as_ptr(),
            null(),
            in_nodes.as_ptr(),
            inputs.as_ptr(),
            2,
            out_nodes.as_ptr(),
            outputs.as_mut_ptr(),
            2,
            &raw mut status,
        )
    };
    assert_eq!(code, 0, "{}", last_error());
    assert_eq!(status_text(&status), (0, "fine".into()));
    // SAFETY: outputs of the plugin.
    unsafe {
        let (a, b) = (&*outputs[1], &*outputs[0]);
        assert_eq!(
            (a.nr_dims, a.data_type, a.size, a.owned),
            (2, TF_FLOAT, 16, true)
        );
        assert_eq!(std::slice::from_raw_parts(a.dims, 2), [2, 2]);
        assert_eq!(f32s(a.data, 4), [2.0, 4.0, 6.0, 8.0]);
        assert_eq!((b.nr_dims, f32s(b.data, 1)), (1, vec![18.0]));
        for output in outputs {
            free_tf_tensor(output);
        }
        assert_eq!(unload(s.as_ptr(), good.as_ptr(), null_mut()), 0);
    }
}

#[test]
fn a_tensorflow_model_that_fails_leaves_its_status() {
    let f = Fixture::new();
    let s = f.rpc.session();
    let load: TfModelFn = f.rpc.plugin.op(Op::TfModelLoad);
    let broken = model(5, b"broken");
    assert_eq!(s.register(&broken), 0);
    let mut status = vaccel_tf_status {
        code: 0,
        message: null_mut(),
    };
    // SAFETY: live session, resource and status.
    let code = unsafe { load(s.as_ptr(), broken.as_ptr(), &raw mut status) };
    assert_eq!(code, code::EIO);
    assert_eq!(status_text(&status), (3, "bad graph".into()));
    assert!(last_error().contains("TensorFlow says no"));
    // Without a status from the agent, the error is one.
    assert_eq!(s.unregister(&broken), 0);
    // SAFETY: as above.
    let code = unsafe { load(s.as_ptr(), broken.as_ptr(), &raw mut status) };
    assert_eq!((code, status.code), (code::EPERM, 3));
}

#[test]
fn tflite_models_run() {
    let f = Fixture::new();
    let s = f.rpc.session();
    let load: ModelFn = f.rpc.plugin.op(Op::TfliteModelLoad);
    let run: TfliteModelRunFn = f.rpc.plugin.op(Op::TfliteModelRun);
    let unload: ModelFn = f.rpc.plugin.op(Op::TfliteModelUnload);
    let m = model(5, b"flat");
    assert_eq!(s.register(&m), 0);
    let (mut dims, mut data) = ([3, 1], [1.0_f32, 2.0, 3.0]);
    let mut input = vaccel_tflite_tensor {
        data: data.as_mut_ptr().cast(),
        size: 12,
        owned: false,
        nr_dims: 2,
        dims: dims.as_mut_ptr(),
        data_type: TFLITE_FLOAT32,
    };
    let inputs = [&raw mut input];
    let mut output = [null_mut()];
    let mut status = 0;
    // SAFETY: one tensor each.
    unsafe {
        assert_eq!(load(s.as_ptr(), m.as_ptr()), 0);
        let (i, o) = (inputs.as_ptr(), output.as_mut_ptr());
        assert_eq!(
            run(s.as_ptr(), m.as_ptr(), i, 1, o, 1, &raw mut status),
            0,
            "{}",
            last_error()
        );
        let t = &*output[0];
        assert_eq!((status, t.nr_dims, t.data_type), (7, 2, TFLITE_FLOAT32));
        assert_eq!(std::slice::from_raw_parts(t.dims, 2), [3, 1]);
        assert_eq!(f32s(t.data, 3), [2.0, 4.0, 6.0]);
        free_tflite_tensor(output[0]);
        // More outputs than the model has: nothing is made.
        let mut two = [null_mut(); 2];
        let code = run(
            s.as_ptr(),
            m.as_ptr(),
            i,
            1,
            two.as_mut_ptr(),
            2,
            null_mut(),
        );
        assert_eq!((code, two), (code::EINVAL, [null_mut(); 2]));
        assert_eq!(unload(s.as_ptr(), m.as_ptr()), 0);
    }
}

fn torch_tensor(dims: &mut [i64], data: &mut [f32]) -> vaccel_torch_tensor {
    vaccel_torch_tensor {
        data: data.as_mut_ptr().cast(),
        size: size_of_val(data),
        owned: false,
        nr_dims: dims.len() as i64,
        dims: dims.as_mut_ptr(),
        data_type: TORCH_FLOAT,
    }
}

#[test]
fn torch_models_run_and_matrices_multiply() {
    let f = Fixture::new();
    let s = f.rpc.session();
    let load: ModelFn = f.rpc.plugin.op(Op::TorchModelLoad);
    let run: TorchModelRunFn = f.rpc.plugin.op(Op::TorchModelRun);
    let sgemm: TorchSgemmFn = f.rpc.plugin.op(Op::TorchSgemm);
    let m = model(5, b"script");
    assert_eq!(s.register(&m), 0);
    let (mut dims, mut data) = ([2, 2], [1.0_f32, 2.0, 3.0, 4.0]);
    let mut t = torch_tensor(&mut dims, &mut data);
    let inputs = [&raw mut t];
    let mut out = [null_mut()];
    // SAFETY: one tensor each, live.
    unsafe {
        assert_eq!(load(s.as_ptr(), m.as_ptr()), 0);
        let (i, o) = (inputs.as_ptr(), out.as_mut_ptr());
        assert_eq!(
            run(s.as_ptr(), m.as_ptr(), null(), i, 1, o, 1),
            0,
            "{}",
            last_error()
        );
        assert_eq!(f32s((*out[0]).data, 4), [2.0, 4.0, 6.0, 8.0]);
        free_torch_tensor(out[0]);
        let (mut a, mut b, mut c) = (&raw mut t, &raw mut t, &raw mut t);
        let (a, b, c) = (&raw mut a, &raw mut b, &raw mut c);
        assert_eq!(
            sgemm(s.as_ptr(), a, b, c, 2, 2, 2, o),
            0,
            "{}",
            last_error()
        );
        // A A + A
        assert_eq!(f32s((*out[0]).data, 4), [8.0, 12.0, 18.0, 26.0]);
        assert_eq!(((*out[0]).nr_dims, (*out[0]).data_type), (2, TORCH_FLOAT));
        free_torch_tensor(out[0]);
        (*inputs[0]).nr_dims = 9;
        assert_eq!(
            run(s.as_ptr(), m.as_ptr(), null(), i, 1, o, 1),
            code::EINVAL
        );
        (*inputs[0]).nr_dims = -1;
        assert_eq!(
            run(s.as_ptr(), m.as_ptr(), null(), i, 1, o, 1),
            code::EINVAL
        );
    }
}

fn tensor(name: *const c_char, data: &mut [f32], dims: &[i64]) -> vaccel_tensor {
    let mut t = vaccel_tensor {
        name,
        dtype: DTYPE_F32,
        rank: dims.len() as u32,
        data: data.as_mut_ptr().cast(),
        size: size_of_val(data),
        ..vaccel_tensor::empty()
    };
    t.dims[..dims.len()].copy_from_slice(dims);
    t
}

#[test]
fn models_of_the_neutral_interface_run() {
    let f = Fixture::new();
    let s = f.rpc.session();
    let ext = f.rpc.plugin.ext();
    let m = model(5, b"onnx");
    assert_eq!(s.register(&m), 0);
    let mut data = [1.0_f32, 2.0, 3.0];
    let inputs = [tensor(c"x".as_ptr(), &mut data, &[1, 3])];
    let mut room = [0.0_f32; 8];
    let mut outputs = [
        vaccel_tensor::empty(),
        tensor(c"x".as_ptr(), &mut room, &[]),
    ];
    outputs[1].dtype = DTYPE_UNDEFINED;
    // SAFETY: live session, resource and tensors.
    unsafe {
        let load = ext.model_load.unwrap();
        assert_eq!(load(s.as_ptr(), m.as_ptr(), null()), 0);
        assert_eq!(load(s.as_ptr(), m.as_ptr(), c"device=cpu".as_ptr()), 0);
        assert_eq!(
            load(s.as_ptr(), m.as_ptr(), c"speed=11".as_ptr()),
            code::EINVAL
        );
        let run = ext.model_run.unwrap();
        let (i, o) = (inputs.as_ptr(), outputs.as_mut_ptr());
        assert_eq!(
            run(s.as_ptr(), m.as_ptr(), i, 1, o, 2),
            0,
            "{}",
            last_error()
        );
    }
    let [made, given] = &outputs;
    assert_eq!(
        (made.flags, made.dtype, made.size),
        (TENSOR_OWNED, DTYPE_F32, 12)
    );
    assert_eq!(
        (made.shape(), f32s(made.data, 3)),
        (&[1, 3][..], vec![2.0, 4.0, 6.0])
    );
    assert_eq!(
        (given.flags, given.size, given.shape()),
        (0, 12, &[1, 3][..])
    );
    assert_eq!(room[..4], [2.0, 4.0, 6.0, 0.0]);
    // SAFETY: from malloc.
    unsafe { libc::free(made.data) };

    // Too little room: the sizes that are needed.
    let mut room = [5.0_f32; 2];
    let mut outputs = [tensor(null(), &mut room, &[])];
    // SAFETY: as above.
    unsafe {
        let run = ext.model_run.unwrap();
        let code = run(
            s.as_ptr(),
            m.as_ptr(),
            inputs.as_ptr(),
            1,
            outputs.as_mut_ptr(),
            1,
        );
        assert_eq!(code, code::ERANGE);
        assert_eq!((outputs[0].size, outputs[0].shape()), (12, &[1, 3][..]));
        assert_eq!(room, [5.0; 2]);
        assert_eq!(ext.model_unload.unwrap()(s.as_ptr(), m.as_ptr()), 0);
    }
}

#[test]
fn tensors_as_arguments_of_exec_travel_as_tensors() {
    let f = Fixture::new();
    let s = f.rpc.session();
    let mut data = [1.0_f32];
    let mut t = tensor(c"x".as_ptr(), &mut data, &[1]);
    let mut holder = vaccel_arg {
        buf: (&raw mut t).cast(),
        size: size_of::<vaccel_tensor>(),
        type_: ARG_CUSTOM,
        custom_type_id: CUSTOM_TENSOR,
        owned: false,
    };
    let mut flags = [9; 4];
    let mut write = [arg(ARG_BUFFER, &mut flags)];
    assert_eq!(
        f.exec(&s, c"count", std::slice::from_mut(&mut holder), &mut write),
        0
    );
    assert_eq!(flags, [2, 2, 2, 0]);
}

#[test]
fn a_model_is_described() {
    let f = Fixture::new();
    let s = f.rpc.session();
    let m = model(5, b"onnx");
    assert_eq!(s.register(&m), 0);
    let mut info = vaccel_model_info::empty();
    let describe = f.rpc.plugin.ext().model_info.unwrap();
    // SAFETY: live session, resource and structure; then as many entries as it
    // says, from malloc.
    unsafe {
        assert_eq!(
            describe(s.as_ptr(), m.as_ptr(), &raw mut info),
            0,
            "{}",
            last_error()
        );
        assert_eq!(CStr::from_ptr(info.format), c"onnx");
        assert_eq!(CStr::from_ptr(info.backend), c"test");
        assert_eq!(CStr::from_ptr(info.metadata), c"{\"a\":1}");
        assert_eq!((info.nr_inputs, info.nr_outputs), (1, 2));
        let x = &*info.inputs;
        assert_eq!(
            (CStr::from_ptr(x.name), x.dtype, x.rank),
            (c"x", DTYPE_F32, 2)
        );
        assert_eq!(x.dims[..2], [-1, 3]);
        let (y, z) = (&*info.outputs, &*info.outputs.add(1));
        assert_eq!((y.dtype, y.rank), (DTYPE_I64, 0));
        assert_eq!(
            (z.dtype, z.name.is_null(), z.dims[0]),
            (DTYPE_UNDEFINED, true, 2)
        );
        for p in [x.name, y.name, info.format, info.backend, info.metadata] {
            libc::free(p.cast());
        }
        libc::free(info.inputs.cast());
        libc::free(info.outputs.cast());
    }
}
