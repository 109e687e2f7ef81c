//! Every operation of the noop plugin, called as C would.
#![allow(clippy::unwrap_used)]

use std::ptr::{null, null_mut};
use std::sync::LazyLock;
use vaccel_plugin::abi::model::{DTYPE_I64, vaccel_tensor};
use vaccel_plugin::abi::op::{
    ExecFn, FpgaArraycopyFn, FpgaMmultFn, FpgaParallelFn, FpgaVectoraddFn, ImageClassifyFn,
    ImageFn, MinmaxFn, NoopFn, OpencvFn, SgemmFn, TfModelRunFn, TfliteModelRunFn, TorchModelRunFn,
    TorchSgemmFn,
};
use vaccel_plugin::abi::tensor::{
    TF_STRING, TFLITE_INT8, TORCH_FLOAT, TORCH_LONG, vaccel_tf_node, vaccel_tf_status,
    vaccel_tf_tensor, vaccel_tflite_tensor, vaccel_torch_tensor,
};
use vaccel_plugin::testing::{
    Loaded, TestResource, TestSession, free_tf_tensor, free_tflite_tensor, free_torch_tensor,
};
use vaccel_plugin::{Op, ResourceType, code};

static PLUGIN: LazyLock<Loaded> = LazyLock::new(|| Loaded::built("vaccel_noop"));

fn model(id: i64) -> TestResource {
    TestResource::from_memory(id, ResourceType::Model, "any", b"")
}

#[test]
fn all_operations_are_offered_and_described() {
    assert!(Op::ALL.iter().all(|op| PLUGIN.offers(*op)));
    let text = PLUGIN.describe();
    assert_eq!(text["name"], "noop");
    assert_eq!(text["ready"], true);
    assert_eq!(text["operations"].as_array().unwrap().len(), Op::ALL.len());
    assert_eq!(text["models"], true);
}

#[test]
fn noop_exec_and_opencv_succeed_and_write_nothing() {
    let s = TestSession::new(1);
    let mut byte = [5_u8];
    let mut arg = vaccel_plugin::abi::arg::vaccel_arg {
        buf: byte.as_mut_ptr().cast(),
        size: 1,
        type_: vaccel_plugin::abi::arg::ARG_UINT8,
        custom_type_id: 0,
        owned: false,
    };
    let a = &raw mut arg;
    let (noop, exec, opencv): (NoopFn, ExecFn, OpencvFn) = (
        PLUGIN.op(Op::Noop),
        PLUGIN.op(Op::Exec),
        PLUGIN.op(Op::Opencv),
    );
    let (library, symbol) = (c"/lib/x.so".as_ptr(), c"f".as_ptr());
    // SAFETY: live session, strings and arguments.
    unsafe {
        assert_eq!(noop(s.as_ptr()), 0);
        assert_eq!(exec(s.as_ptr(), library, symbol, null_mut(), 0, a, 1), 0);
        assert_eq!(opencv(s.as_ptr(), null_mut(), 0, a, 1), 0);
        assert_eq!(noop(null_mut()), code::EINVAL);
    }
    assert_eq!(byte, [5]);
}

#[test]
fn pictures_get_the_well_known_texts() {
    let s = TestSession::new(1);
    let image = [0xff_u8, 0xd8];
    let (mut text, mut name) = ([9_u8; 64], [9_u8; 64]);
    let classify: ImageClassifyFn = PLUGIN.op(Op::ImageClassify);
    // SAFETY: live buffers of these lengths.
    unsafe {
        let (t, n) = (text.as_mut_ptr(), name.as_mut_ptr());
        assert_eq!(
            classify(s.as_ptr(), image.as_ptr().cast(), t, n, 2, 64, 64),
            0
        );
    }
    assert!(text.starts_with(b"This is a dummy classification tag!\0"));
    assert!(name.starts_with(b"This is a dummy imgname!\0"));
    for op in [
        Op::ImageDetect,
        Op::ImageSegment,
        Op::ImagePose,
        Op::ImageDepth,
    ] {
        let f: ImageFn = PLUGIN.op(op);
        name = [9; 64];
        // SAFETY: as above.
        let code = unsafe { f(s.as_ptr(), image.as_ptr().cast(), name.as_mut_ptr(), 2, 64) };
        assert_eq!(code, 0);
        assert!(name.starts_with(b"This is a dummy imgname!\0"), "{op:?}");
    }
}

#[test]
fn numbers_come_back_as_the_readme_says() {
    let s = TestSession::new(1);
    let sgemm: SgemmFn = PLUGIN.op(Op::Sgemm);
    let minmax: MinmaxFn = PLUGIN.op(Op::Minmax);
    let mut a = [1.0_f32; 4];
    let mut b = [1.0_f32; 4];
    // C is 2 x 1 in rows of 3: the gaps stay.
    let mut c = [7.0_f32; 4];
    let input = [3.0_f64, -1.0];
    let mut clipped = [0.0_f64; 2];
    let (mut min, mut max) = (0.0, 0.0);
    // SAFETY: live arrays of these lengths.
    unsafe {
        let (a, b, c) = (a.as_mut_ptr(), b.as_mut_ptr(), c.as_mut_ptr());
        assert_eq!(sgemm(s.as_ptr(), 2, 1, 2, 1.0, a, 2, b, 1, 0.0, c, 3), 0);
        let o = clipped.as_mut_ptr();
        assert_eq!(
            minmax(
                s.as_ptr(),
                input.as_ptr(),
                2,
                -5,
                9,
                o,
                &raw mut min,
                &raw mut max
            ),
            0
        );
    }
    assert_eq!(c, [0.0, 7.0, 7.0, 0.0]);
    assert_eq!((clipped, min, max), (input, -5.0, 9.0));
}

#[test]
fn fpga_results_are_copies_or_zeros() {
    let s = TestSession::new(1);
    let (mut ints, mut copy) = ([1, -2, 3, 4], [0; 4]);
    let (mut a, mut b) = ([1.0_f32; 4], [2.0_f32; 4]);
    let (mut c, mut d) = ([7.0_f32; 4], [7.0_f32; 4]);
    // SAFETY: live arrays of four.
    unsafe {
        let (a, b, c, d) = (
            a.as_mut_ptr(),
            b.as_mut_ptr(),
            c.as_mut_ptr(),
            d.as_mut_ptr(),
        );
        let f: FpgaArraycopyFn = PLUGIN.op(Op::FpgaArraycopy);
        assert_eq!(f(s.as_ptr(), ints.as_mut_ptr(), copy.as_mut_ptr(), 4), 0);
        let f: FpgaMmultFn = PLUGIN.op(Op::FpgaMmult);
        assert_eq!(f(s.as_ptr(), a, b, c, 4), 0);
        assert_eq!(c.cast::<[f32; 4]>().read(), [0.0; 4]);
        c.write(7.0);
        let f: FpgaVectoraddFn = PLUGIN.op(Op::FpgaVectoradd);
        assert_eq!(f(s.as_ptr(), a, b, c, 4, 4), 0);
        assert_eq!(c.read(), 0.0);
        c.write(7.0);
        let f: FpgaParallelFn = PLUGIN.op(Op::FpgaParallel);
        assert_eq!(f(s.as_ptr(), a, b, c, d, 4), 0);
    }
    assert_eq!(copy, ints);
    assert_eq!((c, d), ([0.0; 4], [0.0; 4]));
}

#[test]
fn tensors_come_back_whatever_their_type() {
    let s = TestSession::new(2);
    let m = model(2);
    let mut data = *b"two strings";
    let mut dims = [1_i64, 2];
    let mut input = vaccel_tf_tensor {
        data: data.as_mut_ptr().cast(),
        size: data.len(),
        owned: false,
        nr_dims: 2,
        dims: dims.as_mut_ptr(),
        data_type: TF_STRING,
    };
    let node = vaccel_tf_node {
        name: c"in".as_ptr().cast_mut(),
        id: 0,
    };
    let out_nodes = [
        vaccel_tf_node {
            name: c"a".as_ptr().cast_mut(),
            id: 0,
        },
        vaccel_tf_node {
            name: c"b".as_ptr().cast_mut(),
            id: 1,
        },
    ];
    let mut status = vaccel_tf_status {
        code: 9,
        message: null_mut(),
    };
    let mut outputs = [null_mut::<vaccel_tf_tensor>(); 2];
    let run: TfModelRunFn = PLUGIN.op(Op::TfModelRun);
    // SAFETY: live structures; results come from malloc.
    unsafe {
        let inputs = [&raw mut input];
        let code = run(
            s.as_ptr(),
            m.as_ptr(),
            null(),
            &raw const node,
            inputs.as_ptr(),
            1,
            out_nodes.as_ptr(),
            outputs.as_mut_ptr(),
            2,
            &raw mut status,
        );
        assert_eq!((code, status.code), (0, 0));
        libc::free(status.message.cast());
        for out in outputs {
            assert_eq!(
                ((*out).data_type, (*out).nr_dims, (*out).size),
                (TF_STRING, 2, data.len())
            );
            assert_eq!(std::slice::from_raw_parts((*out).dims, 2), &dims);
            assert_eq!(
                std::slice::from_raw_parts((*out).data.cast::<u8>(), data.len()),
                &data
            );
            free_tf_tensor(out);
        }
    }
}

#[test]
fn tflite_and_torch_tensors_come_back_too() {
    let s = TestSession::new(3);
    let m = model(3);
    let mut bytes = [1_i8, -2];
    let mut longs = [1_i64 << 40];
    let (mut dims32, mut dims64) = ([2_i32], [1_i64]);
    let mut small = vaccel_tflite_tensor {
        data: bytes.as_mut_ptr().cast(),
        size: 2,
        owned: false,
        nr_dims: 1,
        dims: dims32.as_mut_ptr(),
        data_type: TFLITE_INT8,
    };
    let mut large = vaccel_torch_tensor {
        data: longs.as_mut_ptr().cast(),
        size: 8,
        owned: false,
        nr_dims: 1,
        dims: dims64.as_mut_ptr(),
        data_type: TORCH_LONG,
    };
    let mut status = 9_u8;
    let (lite, torch): (TfliteModelRunFn, TorchModelRunFn) =
        (PLUGIN.op(Op::TfliteModelRun), PLUGIN.op(Op::TorchModelRun));
    // SAFETY: live structures; results come from malloc.
    unsafe {
        let mut out = null_mut::<vaccel_tflite_tensor>();
        let inputs = [&raw mut small];
        assert_eq!(
            lite(
                s.as_ptr(),
                m.as_ptr(),
                inputs.as_ptr(),
                1,
                &raw mut out,
                1,
                &raw mut status
            ),
            0
        );
        assert_eq!((status, (*out).data_type), (0, TFLITE_INT8));
        assert_eq!((*out).data.cast::<[i8; 2]>().read(), bytes);
        free_tflite_tensor(out);
        let mut out = null_mut::<vaccel_torch_tensor>();
        let inputs = [&raw mut large];
        assert_eq!(
            torch(
                s.as_ptr(),
                m.as_ptr(),
                null(),
                inputs.as_ptr(),
                1,
                &raw mut out,
                1
            ),
            0
        );
        assert_eq!(
            ((*out).data_type, (*out).data.cast::<i64>().read()),
            (TORCH_LONG, 1 << 40)
        );
        free_torch_tensor(out);
        // No inputs at all.
        assert_eq!(
            torch(s.as_ptr(), m.as_ptr(), null(), null(), 0, &raw mut out, 1),
            0
        );
        assert_eq!(((*out).size, (*out).dims.read()), (0, 0));
        free_torch_tensor(out);
    }
}

#[test]
fn torch_sgemm_makes_a_matrix_of_zeros() {
    let s = TestSession::new(4);
    let mut values = [1.0_f32; 6];
    let mut dims = [2_i64, 3];
    let mut tensor = vaccel_torch_tensor {
        data: values.as_mut_ptr().cast(),
        size: 24,
        owned: false,
        nr_dims: 2,
        dims: dims.as_mut_ptr(),
        data_type: TORCH_FLOAT,
    };
    let mut operand = &raw mut tensor;
    let f: TorchSgemmFn = PLUGIN.op(Op::TorchSgemm);
    // SAFETY: live structures; the result comes from malloc.
    unsafe {
        let (p, mut out) = (&raw mut operand, null_mut());
        assert_eq!(f(s.as_ptr(), p, p, null_mut(), 2, 4, 3, &raw mut out), 0);
        assert_eq!(
            ((*out).size, std::slice::from_raw_parts((*out).dims, 2)),
            (32, &[2, 4][..])
        );
        assert_eq!((*out).data.cast::<[f32; 8]>().read(), [0.0; 8]);
        free_torch_tensor(out);
        assert_eq!(
            f(s.as_ptr(), p, null_mut(), p, 2, 4, 3, &raw mut out),
            code::EINVAL
        );
        assert_eq!(f(s.as_ptr(), p, p, p, -2, 4, 3, &raw mut out), code::EINVAL);
        assert_eq!(f(s.as_ptr(), p, p, p, 2, 4, 3, null_mut()), code::EINVAL);
        let huge = f(s.as_ptr(), p, p, p, i32::MAX, i32::MAX, 3, &raw mut out);
        // Where addresses have 32 bits, the size itself cannot be said.
        assert!(huge == code::ENOMEM || huge == code::EINVAL);
    }
}

#[test]
fn the_neutral_api_echoes_into_a_buffer_without_a_load() {
    let s = TestSession::new(5);
    let m = model(5);
    let values = [1_i64, 2];
    let room = [0_i64; 2];
    let mut input = vaccel_tensor::empty();
    input.dtype = DTYPE_I64;
    input.rank = 1;
    input.dims[0] = 2;
    input.data = values.as_ptr().cast_mut().cast();
    input.size = 16;
    let mut output = vaccel_tensor::empty();
    output.data = room.as_ptr().cast_mut().cast();
    output.size = 16;
    // SAFETY: live structures.
    let code = unsafe {
        PLUGIN.ext().model_run.unwrap()(
            s.as_ptr(),
            m.as_ptr(),
            &raw const input,
            1,
            &raw mut output,
            1,
        )
    };
    assert_eq!(
        (code, output.dtype, output.shape()),
        (0, DTYPE_I64, &[2][..])
    );
    assert_eq!(std::hint::black_box(&room), &values);
}
