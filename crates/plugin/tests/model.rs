//! The neutral model API and those of TensorFlow, TFLite and Torch.
#![allow(clippy::unwrap_used)]

use std::ffi::{CStr, CString};
use std::ptr::{null, null_mut};
use std::sync::LazyLock;
use vaccel_plugin::abi::model::{
    DTYPE_F32, DTYPE_UNDEFINED, TENSOR_OWNED, vaccel_model_info, vaccel_tensor,
};
use vaccel_plugin::abi::op::{ModelFn, TfModelFn, TfModelRunFn, TfliteModelRunFn, TorchModelRunFn};
use vaccel_plugin::abi::tensor::{
    TF_FLOAT, TFLITE_FLOAT32, TORCH_FLOAT, vaccel_tf_node, vaccel_tf_status, vaccel_tf_tensor,
    vaccel_tflite_tensor, vaccel_torch_tensor,
};
use vaccel_plugin::testing::{
    Loaded, TestResource, TestSession, built_example, free_tf_tensor, free_tflite_tensor,
    free_torch_tensor,
};
use vaccel_plugin::{Op, ResourceType, bytes_of, code};

static PLUGIN: LazyLock<Loaded> = LazyLock::new(|| {
    let plugin = Loaded::open(&built_example("misbehaves"));
    assert_eq!(plugin.init(), 0);
    plugin
});

/// A session and a model of its own for each test.
struct Fixture {
    session: TestSession,
    model: TestResource,
}

impl Fixture {
    fn new(id: i64) -> Self {
        let model = TestResource::from_memory(id, ResourceType::Model, "m.bin", b"12345");
        Self {
            session: TestSession::new(id),
            model,
        }
    }

    fn loaded(id: i64, options: &str) -> Self {
        let f = Self::new(id);
        assert_eq!(f.load(options), 0);
        f
    }

    fn load(&self, options: &str) -> i32 {
        let options = CString::new(options).unwrap();
        let load = PLUGIN.ext().model_load.unwrap();
        // SAFETY: live session, resource and string.
        unsafe { load(self.session.as_ptr(), self.model.as_ptr(), options.as_ptr()) }
    }

    fn unload(&self) -> i32 {
        let unload = PLUGIN.ext().model_unload.unwrap();
        // SAFETY: live session and resource.
        unsafe { unload(self.session.as_ptr(), self.model.as_ptr()) }
    }

    fn run(&self, inputs: &[vaccel_tensor], outputs: &mut [vaccel_tensor]) -> i32 {
        let run = PLUGIN.ext().model_run.unwrap();
        // SAFETY: live session, resource and arrays.
        unsafe {
            run(
                self.session.as_ptr(),
                self.model.as_ptr(),
                inputs.as_ptr(),
                inputs.len(),
                outputs.as_mut_ptr(),
                outputs.len(),
            )
        }
    }
}

fn tensor(values: &[f32], dims: &[i64]) -> vaccel_tensor {
    let mut t = vaccel_tensor::empty();
    t.dtype = DTYPE_F32;
    t.rank = dims.len() as u32;
    t.dims[..dims.len()].copy_from_slice(dims);
    t.data = values.as_ptr().cast_mut().cast();
    t.size = size_of_val(values);
    t
}

#[test]
fn a_model_runs_into_memory_that_the_call_allocates() {
    let f = Fixture::loaded(100, "");
    assert_eq!(f.load(""), 0, "again is fine");
    let values = [1.0_f32, 2.0, 3.0, 4.0];
    let mut out = [vaccel_tensor::empty()];
    assert_eq!(f.run(&[tensor(&values, &[2, 2])], &mut out), 0);
    let [out] = out;
    assert_eq!(
        (out.dtype, out.shape(), out.size),
        (DTYPE_F32, &[2, 2][..], 16)
    );
    assert_eq!(out.flags & TENSOR_OWNED, TENSOR_OWNED);
    // SAFETY: 16 bytes from malloc.
    unsafe {
        let got = std::slice::from_raw_parts(out.data.cast::<f32>(), 4);
        assert_eq!(got, &[2.0, 4.0, 6.0, 8.0]);
        libc::free(out.data);
    }
    assert_eq!(f.unload(), 0);
    assert_eq!(f.unload(), code::ENOENT);
    assert_eq!(f.run(&[], &mut []), code::ENOENT);
}

#[test]
fn a_model_runs_into_the_callers_buffer_and_says_what_it_needs() {
    let f = Fixture::loaded(101, "");
    let values = [1.0_f32, 2.0, 3.0, 4.0];
    let mut room = [0.0_f32; 8];
    let mut out = [tensor(&room, &[])];
    out[0].dtype = DTYPE_UNDEFINED;
    out[0].size = 15;
    let inputs = [tensor(&values, &[4])];
    assert_eq!(f.run(&inputs, &mut out), code::ERANGE);
    assert_eq!((out[0].size, out[0].shape()), (16, &[4][..]));
    out[0].size = 32;
    assert_eq!(f.run(&inputs, &mut out), 0);
    assert_eq!((out[0].size, out[0].flags), (16, 0));
    assert_eq!(room[..5], [2.0, 4.0, 6.0, 8.0, 0.0]);
    // In place: the output over the input.
    let mut both = [tensor(&room, &[4])];
    both[0].data = room.as_mut_ptr().cast();
    both[0].size = 16;
    let inputs = both;
    assert_eq!(f.run(&inputs, &mut both), 0);
    assert_eq!(room[..4], [4.0, 8.0, 12.0, 16.0]);
}

#[test]
fn tensors_that_contradict_themselves_are_refused() {
    let f = Fixture::loaded(102, "");
    let values = [1.0_f32; 4];
    let good = tensor(&values, &[4]);
    let with = |change: fn(&mut vaccel_tensor)| {
        let mut t = good;
        change(&mut t);
        f.run(&[t], &mut [vaccel_tensor::empty()])
    };
    assert_eq!(with(|t| t.size = 12), code::EINVAL);
    assert_eq!(with(|t| t.rank = 9), code::EINVAL);
    assert_eq!(with(|t| t.rank = u32::MAX), code::EINVAL);
    assert_eq!(with(|t| t.dims[0] = -4), code::EINVAL);
    assert_eq!(with(|t| t.dims[0] = i64::MAX), code::EINVAL);
    assert_eq!(with(|t| t.dtype = 0), code::EINVAL);
    assert_eq!(with(|t| t.dtype = 99), code::EINVAL);
    assert_eq!(with(|t| t.data = null_mut()), code::EINVAL);
    assert_eq!(with(|t| t.size = usize::MAX), code::EINVAL);
    assert_eq!(with(|t| t.handle = 5), code::ENOTSUP);
    assert_eq!(with(|t| t.name = c"\xff".as_ptr()), code::EINVAL);
    let run = PLUGIN.ext().model_run.unwrap();
    let (s, m) = (f.session.as_ptr(), f.model.as_ptr());
    // SAFETY: every bad pointer is null or comes with a length that is refused.
    unsafe {
        assert_eq!(run(null_mut(), m, null(), 0, null_mut(), 0), code::EINVAL);
        assert_eq!(run(s, null_mut(), null(), 0, null_mut(), 0), code::EINVAL);
        assert_eq!(run(s, m, null(), 1, null_mut(), 0), code::EINVAL);
        assert_eq!(run(s, m, null(), 0, null_mut(), 1), code::EINVAL);
        assert_eq!(
            run(s, m, &raw const good, usize::MAX, null_mut(), 0),
            code::EINVAL
        );
    }
    let mut shared = [good, good];
    assert_eq!(f.run(&[], &mut shared), code::EINVAL);
}

#[test]
fn a_model_that_breaks_the_rules_is_an_error_and_leaks_nothing() {
    for (i, (fault, expected)) in [
        ("run-panic", code::EFAULT),
        ("forget", code::EIO),
        ("wrong-size", code::EINVAL),
        ("nine-dims", code::EINVAL),
        ("write-then-fail", code::EIO),
    ]
    .into_iter()
    .enumerate()
    {
        let f = Fixture::loaded(110 + i as i64, &format!("fault={fault}"));
        let mut out = [vaccel_tensor::empty(), vaccel_tensor::empty()];
        assert_eq!(f.run(&[], &mut out), expected, "{fault}");
        assert!(
            out.iter().all(|t| t.data.is_null() && t.flags == 0),
            "{fault}"
        );
        assert_eq!(f.unload(), 0);
    }
    let f = Fixture::loaded(121, "fault=native");
    assert_eq!(f.run(&[], &mut [vaccel_tensor::empty()]), code::ENOTSUP);
    let f = Fixture::new(120);
    assert_eq!(f.load("fault=load-panic"), code::EFAULT);
    assert_eq!(f.load("colour=blue"), code::EINVAL);
    assert_eq!(f.load("=blue"), code::EINVAL);
    assert_eq!(f.run(&[], &mut []), code::ENOENT);
    assert_eq!(f.load("fault=drop-panic"), 0);
    assert_eq!(f.unload(), code::EFAULT);
    assert_eq!(f.unload(), code::ENOENT);
}

#[test]
fn only_models_are_loaded_and_missing_files_are_named() {
    let session = TestSession::new(130);
    let load = PLUGIN.ext().model_load.unwrap();
    let library = TestResource::from_memory(130, ResourceType::Library, "x.so", b"x");
    let unset = TestResource::from_memory(0, ResourceType::Model, "x", b"x");
    let gone = TestResource::from_files(
        131,
        ResourceType::Model,
        &[std::path::Path::new("/nonexistent/model")],
    );
    let folder = TestResource::from_files(
        132,
        ResourceType::Model,
        &[std::path::Path::new("/").join("tmp").as_path()],
    );
    let empty = TestResource::from_files(133, ResourceType::Model, &[]);
    // SAFETY: live session and resources.
    unsafe {
        assert_eq!(
            load(session.as_ptr(), library.as_ptr(), null()),
            code::EINVAL
        );
        assert_eq!(load(session.as_ptr(), unset.as_ptr(), null()), code::EINVAL);
        assert_eq!(load(session.as_ptr(), gone.as_ptr(), null()), code::ENOENT);
        assert_eq!(
            load(session.as_ptr(), folder.as_ptr(), null()),
            code::EINVAL
        );
        assert_eq!(load(session.as_ptr(), empty.as_ptr(), null()), code::EINVAL);
    }
}

fn info(f: &Fixture) -> Result<vaccel_model_info, i32> {
    let get = PLUGIN.ext().model_info.unwrap();
    let mut info = vaccel_model_info::empty();
    // SAFETY: live session, resource and place.
    match unsafe { get(f.session.as_ptr(), f.model.as_ptr(), &raw mut info) } {
        0 => Ok(info),
        code => Err(code),
    }
}

#[test]
fn a_model_is_described_in_memory_that_c_can_free() {
    let f = Fixture::loaded(140, "");
    let got = info(&f).unwrap();
    // SAFETY: what the plugin made, from malloc.
    unsafe {
        assert_eq!(CStr::from_ptr(got.format), c"faulty");
        assert_eq!(CStr::from_ptr(got.backend), c"misbehaves");
        assert!(
            CStr::from_ptr(got.metadata)
                .to_str()
                .unwrap()
                .contains("\"size\":5")
        );
        assert_eq!((got.nr_inputs, got.nr_outputs), (1, 0));
        assert!(got.outputs.is_null());
        let input = *got.inputs;
        assert_eq!(CStr::from_ptr(input.name), c"x");
        assert_eq!(
            (input.dtype, input.rank, input.dims[0], input.dims[1]),
            (DTYPE_F32, 2, -1, 2)
        );
        for at in [got.format, got.backend, got.metadata, input.name] {
            libc::free(at.cast());
        }
        libc::free(got.inputs.cast());
    }
    let f = Fixture::loaded(141, "fault=rank");
    assert_eq!(info(&f).err(), Some(code::ENOTSUP));
}

#[test]
fn a_model_goes_with_its_resource_and_with_its_session() {
    let f = Fixture::loaded(150, "");
    let plugin = PLUGIN.info();
    // SAFETY: live session and resource.
    unsafe {
        let unregister = plugin.resource_unregister.unwrap();
        assert_eq!(unregister(f.model.as_ptr(), f.session.as_ptr()), 0);
        assert_eq!(f.run(&[], &mut []), code::ENOENT);
        assert_eq!(unregister(f.model.as_ptr(), f.session.as_ptr()), 0);
        assert_eq!(unregister(null_mut(), f.session.as_ptr()), code::EINVAL);
        assert_eq!(f.load(""), 0);
        assert_eq!(plugin.session_release.unwrap()(f.session.as_ptr()), 0);
        assert_eq!(f.run(&[], &mut []), code::ENOENT);
    }
}

#[test]
fn tensorflow_calls_reach_the_same_model_and_fill_the_status() {
    let f = Fixture::new(160);
    let (s, m) = (f.session.as_ptr(), f.model.as_ptr());
    let mut status = vaccel_tf_status {
        code: 99,
        message: null_mut(),
    };
    let st = &raw mut status;
    let (load, unload): (TfModelFn, TfModelFn) =
        (PLUGIN.op(Op::TfModelLoad), PLUGIN.op(Op::TfModelUnload));
    let run: TfModelRunFn = PLUGIN.op(Op::TfModelRun);
    let mut values = [1.5_f32, 2.5];
    let mut dims = [2_i64];
    let mut input = vaccel_tf_tensor {
        data: values.as_mut_ptr().cast(),
        size: 8,
        owned: false,
        nr_dims: 1,
        dims: dims.as_mut_ptr(),
        data_type: TF_FLOAT,
    };
    let inputs = [&raw mut input];
    let node = vaccel_tf_node {
        name: c"x".as_ptr().cast_mut(),
        id: 0,
    };
    let bad_node = vaccel_tf_node {
        name: null_mut(),
        id: 0,
    };
    let n = &raw const node;
    let mut outputs = [null_mut::<vaccel_tf_tensor>()];
    let o = outputs.as_mut_ptr();
    // SAFETY: live structures, or null; results come from malloc.
    unsafe {
        let message = |expected: u8, text: &str| {
            assert_eq!((*st).code, expected);
            let got = CStr::from_ptr((*st).message).to_str().unwrap();
            assert!(got.contains(text), "{got}");
            libc::free((*st).message.cast());
        };
        assert_eq!(
            run(s, m, null(), n, inputs.as_ptr(), 1, n, o, 1, st),
            code::ENOENT
        );
        message(5, "not loaded");
        assert_eq!(load(s, m, st), 0);
        message(0, "");
        assert_eq!(
            run(s, m, null(), n, inputs.as_ptr(), 1, n, o, 1, null_mut()),
            0
        );
        let out = *o;
        assert_eq!(
            ((*out).nr_dims, *(*out).dims, (*out).size, (*out).data_type),
            (1, 2, 8, TF_FLOAT)
        );
        assert_eq!(*(*out).data.cast::<[f32; 2]>(), [3.0, 5.0]);
        free_tf_tensor(out);
        assert_eq!(
            run(s, m, null(), n, inputs.as_ptr(), -1, n, o, 1, st),
            code::EINVAL
        );
        message(3, "negative");
        assert_eq!(
            run(
                s,
                m,
                null(),
                &raw const bad_node,
                inputs.as_ptr(),
                1,
                n,
                o,
                1,
                st
            ),
            code::EINVAL
        );
        message(3, "node");
        assert_eq!(
            run(s, m, null(), null(), inputs.as_ptr(), 1, n, o, 1, st),
            code::EINVAL
        );
        message(3, "node");
        assert_eq!(
            run(s, m, null(), n, [null_mut()].as_ptr(), 1, n, o, 1, st),
            code::EINVAL
        );
        message(3, "null");
        assert_eq!(unload(s, m, st), 0);
        message(0, "");
        assert_eq!(unload(s, m, null_mut()), code::ENOENT);
    }
}

#[test]
fn tflite_and_torch_calls_convert_their_tensors() {
    let f = Fixture::new(170);
    let (s, m) = (f.session.as_ptr(), f.model.as_ptr());
    let load: ModelFn = PLUGIN.op(Op::TorchModelLoad);
    let lite: TfliteModelRunFn = PLUGIN.op(Op::TfliteModelRun);
    let torch: TorchModelRunFn = PLUGIN.op(Op::TorchModelRun);
    let values = [1.0_f32, -1.0, 0.5];
    let (mut dims32, mut dims64) = ([3_i32, 1], [3_i64, 1]);
    let mut small = vaccel_tflite_tensor {
        data: values.as_ptr().cast_mut().cast(),
        size: 12,
        owned: false,
        nr_dims: 2,
        dims: dims32.as_mut_ptr(),
        data_type: TFLITE_FLOAT32,
    };
    let mut large = vaccel_torch_tensor {
        data: values.as_ptr().cast_mut().cast(),
        size: 12,
        owned: false,
        nr_dims: 2,
        dims: dims64.as_mut_ptr(),
        data_type: TORCH_FLOAT,
    };
    let mut status = 9_u8;
    let mut lite_out = [null_mut::<vaccel_tflite_tensor>()];
    let mut torch_out = [null_mut::<vaccel_torch_tensor>()];
    // SAFETY: live structures; results come from malloc.
    unsafe {
        assert_eq!(load(s, m), 0);
        let lite_in = &raw mut small;
        let inputs = [lite_in];
        let run = |status: *mut u8, out: *mut *mut vaccel_tflite_tensor| {
            lite(s, m, inputs.as_ptr(), 1, out, 1, status)
        };
        assert_eq!(run(&raw mut status, lite_out.as_mut_ptr()), 0);
        assert_eq!(status, 0);
        let out = lite_out[0];
        assert_eq!(
            bytes_of(&*(*out).data.cast::<[f32; 3]>()),
            bytes_of(&[2.0_f32, -2.0, 1.0])
        );
        assert_eq!(std::slice::from_raw_parts((*out).dims, 2), &[3, 1]);
        free_tflite_tensor(out);
        (*lite_in).size = 11;
        assert_eq!(run(&raw mut status, lite_out.as_mut_ptr()), code::EINVAL);
        assert_eq!(status, 1);
        assert_eq!(run(null_mut(), null_mut()), code::EINVAL);

        let torch_in = &raw mut large;
        let inputs = [torch_in];
        let run =
            |out: *mut *mut vaccel_torch_tensor| torch(s, m, null(), inputs.as_ptr(), 1, out, 1);
        assert_eq!(run(torch_out.as_mut_ptr()), 0);
        assert_eq!(std::slice::from_raw_parts((*torch_out[0]).dims, 2), &[3, 1]);
        free_torch_tensor(torch_out[0]);
        (*torch_in).nr_dims = i64::MAX;
        assert_eq!(run(torch_out.as_mut_ptr()), code::EINVAL);
        (*torch_in).nr_dims = -1;
        assert_eq!(run(torch_out.as_mut_ptr()), code::EINVAL);
    }
}

#[test]
fn many_threads_run_one_model() {
    let f = Fixture::loaded(180, "");
    let (s, m) = (f.session.as_ptr().addr(), f.model.as_ptr().addr());
    std::thread::scope(|scope| {
        for t in 0..4 {
            scope.spawn(move || {
                let run = PLUGIN.ext().model_run.unwrap();
                let values = [t as f32; 16];
                let input = tensor(&values, &[16]);
                let room = [0.0_f32; 16];
                for _ in 0..1000 {
                    let mut out = tensor(&room, &[16]);
                    // SAFETY: session and resource outlive the scope.
                    let code = unsafe {
                        run(
                            std::ptr::with_exposed_provenance_mut(s),
                            std::ptr::with_exposed_provenance_mut(m),
                            &raw const input,
                            1,
                            &raw mut out,
                            1,
                        )
                    };
                    assert_eq!(code, 0);
                    assert_eq!(std::hint::black_box(&room), &[2.0 * t as f32; 16]);
                }
            });
        }
    });
}
