//! The neutral model API: types, shapes, names, sizes, and what errors say.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Out, Session, Tensor, data, loaded, trained};
use vaccel_plugin::Dtype;
use vaccel_plugin::code::{EINVAL, ENOENT, ENOTSUP, ERANGE};

#[test]
fn every_declared_type_goes_in_and_comes_out_as_declared() {
    let cases = [
        (Dtype::F32, 4),
        (Dtype::F64, 8),
        (Dtype::F16, 2),
        (Dtype::I8, 1),
        (Dtype::U8, 1),
        (Dtype::I32, 4),
        (Dtype::I64, 8),
        (Dtype::Bool, 1),
    ];
    for (dtype, size) in cases {
        let session = loaded(&format!("identity-{dtype}.onnx"));
        let info = session.info(0).unwrap();
        assert_eq!(info.inputs, [format!("x: {dtype} [-1, 2]")]);
        assert_eq!(info.outputs, [format!("y: {dtype} [-1, 2]")]);
        // 0, 1, 0, 1: small numbers that every type has, at either end of the bytes.
        let mut bytes = vec![0; 4 * size];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from(at % (2 * size) == if dtype == Dtype::F16 { 3 } else { size });
        }
        if matches!(dtype, Dtype::F32 | Dtype::F64) {
            bytes = bytes.iter().map(|b| b * 0x3f).rev().collect();
        }
        let x = Tensor::new("x", dtype, &[2, 2], &bytes);
        let y = session.run(0, std::slice::from_ref(&x), &["y"]).unwrap();
        assert_eq!((y[0].dtype, &y[0].shape), (dtype, &vec![2, 2]));
        assert_eq!(y[0].bytes, bytes, "{dtype}");
    }
}

#[test]
fn arithmetic_is_done_in_the_declared_type() {
    let session = loaded("add-i64.onnx");
    let sum = session.run(
        0,
        &[
            Tensor::of("a", &[2], &[1_i64, -7]),
            Tensor::of("b", &[2], &[41_i64, 7]),
        ],
        &["sum"],
    );
    assert_eq!(sum.unwrap()[0].values::<i64>(), [42, 0]);
    // 2 x + 0.5 in halves: 1.5 -> 3.5, -2 -> -3.5, 0 -> 0.5
    let session = loaded("affine-f16.onnx");
    let halves =
        |bits: [u16; 3]| Tensor::new("", Dtype::F16, &[1, 3], vaccel_plugin::bytes_of(&bits));
    let y = session
        .run(0, &[halves([0x3e00, 0xc000, 0])], &[""])
        .unwrap();
    assert_eq!(y[0].dtype, Dtype::F16);
    assert_eq!(y[0].bytes, halves([0x4300, 0xc300, 0x3800]).bytes);
    let session = loaded("not.onnx");
    let y = session
        .run(
            0,
            &[Tensor::new("x", Dtype::Bool, &[3], &[0, 1, 7])],
            &["y"],
        )
        .unwrap();
    assert_eq!(y[0].bytes, [1, 0, 0]);
}

#[test]
fn a_number_beyond_the_engine_is_out_of_range_and_not_cut_off() {
    let session = loaded("identity-i64.onnx");
    let x = Tensor::of("x", &[1, 2], &[5_i64, 1 << 40]);
    let (code, text) = session.run(0, &[x], &["y"]).unwrap_err();
    assert_eq!(code, ERANGE);
    assert!(
        text.contains("input `x`: element 1 is 1099511627776"),
        "{text}"
    );
    let session = loaded("identity-f64.onnx");
    let (code, text) = session
        .run(0, &[Tensor::of("x", &[1, 2], &[0.0, 1e300])], &["y"])
        .unwrap_err();
    assert_eq!(code, ERANGE, "{text}");
}

#[test]
fn tensors_are_found_by_name_and_by_position_and_computed_only_when_asked_for() {
    let session = loaded("many.onnx");
    let left = [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0];
    let right = [1.0_f32, 0.0, 1.0];
    let named = [
        Tensor::of("right", &[3, 1], &right),
        Tensor::of("left", &[2, 3], &left),
    ];
    let out = session
        .run(0, &named, &["size", "total", "product", "total"])
        .unwrap();
    assert_eq!(out[0].values::<i64>(), [2, 1]);
    assert_eq!(
        (out[1].values::<f32>(), &out[1].shape),
        (vec![14.0], &vec![])
    );
    assert_eq!(out[2].values::<f32>(), [4.0, 10.0]);
    assert_eq!(out[3].values::<f32>(), [14.0]);
    let nameless = [
        Tensor::of("", &[2, 3], &left),
        Tensor::of("", &[3, 1], &right),
    ];
    let out = session.run(0, &nameless, &["", ""]).unwrap();
    assert_eq!(out[0].values::<f32>(), [4.0, 10.0]);
    assert_eq!(out[1].values::<f32>(), [14.0]);
    assert!(session.run(0, &named, &[]).unwrap().is_empty());
}

#[test]
fn outputs_of_other_strides_and_those_that_pass_through_are_right() {
    let session = loaded("transpose.onnx");
    let y = session.run(
        0,
        &[Tensor::of(
            "x",
            &[2, 3],
            &[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0],
        )],
        &["y"],
    );
    let y = y.unwrap();
    assert_eq!(y[0].shape, [3, 2]);
    assert_eq!(y[0].values::<f32>(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    let session = loaded("through.onnx");
    let out = session
        .run(
            0,
            &[Tensor::of("x", &[2], &[1.0_f32, -2.0])],
            &["w", "x", "y"],
        )
        .unwrap();
    assert_eq!(out[0].values::<f32>(), [1.0, 2.0, 3.0]);
    assert_eq!(out[1].values::<f32>(), [1.0, -2.0]);
    assert_eq!(out[2].values::<f32>(), [-1.0, 2.0]);
}

#[test]
fn an_empty_batch_gives_an_empty_result() {
    let session = loaded("identity-f32.onnx");
    let y = session
        .run(0, &[Tensor::of::<f32>("x", &[0, 2], &[])], &["y"])
        .unwrap();
    assert_eq!(y[0].shape, [0, 2]);
    assert!(y[0].bytes.is_empty());
}

#[test]
fn branches_inside_the_graph_are_taken() {
    let session = loaded("if.onnx");
    for (condition, wanted) in [(1, [-3.0, 4.0]), (0, [3.0, 4.0])] {
        let inputs = [
            Tensor::new("c", Dtype::Bool, &[], &[condition]),
            Tensor::of("x", &[2], &[3.0_f32, -4.0]),
        ];
        assert_eq!(
            session.run(0, &inputs, &["y"]).unwrap()[0].values::<f32>(),
            wanted
        );
    }
}

#[test]
fn a_weight_that_is_listed_as_an_input_is_none() {
    let session = loaded("weight-as-input.onnx");
    assert_eq!(session.info(0).unwrap().inputs, ["x: f32 [3]"]);
    let y = session
        .run(0, &[Tensor::of("x", &[3], &[1.0_f32; 3])], &["y"])
        .unwrap();
    assert_eq!(y[0].values::<f32>(), [2.0, 3.0, 4.0]);
}

#[test]
fn errors_name_the_tensor_what_was_expected_and_what_came() {
    let session = loaded("fixed.onnx");
    let ok = || Tensor::of("x", &[1, 1, 8, 8], &[0.0_f32; 64]);
    let cases: [(Vec<Tensor>, &str, &str); 8] = [
        (
            vec![Tensor::of("x", &[1, 3, 2, 2], &[0.0_f32; 12])],
            "y",
            "input `x`: expected f32 [N,1,8,8], got f32 [1,3,2,2]",
        ),
        (
            vec![Tensor::of("x", &[1, 1, 8, 8], &[0_i32; 64])],
            "y",
            "input `x`: expected f32 [N,1,8,8], got i32 [1,1,8,8]",
        ),
        (
            vec![Tensor::of("x", &[64], &[0.0_f32; 64])],
            "y",
            "got f32 [64]",
        ),
        (vec![], "y", "input `x` (f32 [N,1,8,8]) is missing"),
        (vec![ok(), ok()], "y", "input `x` is given twice"),
        (
            vec![Tensor::of("z", &[1], &[0.0_f32])],
            "y",
            "no input `z`; there are: x",
        ),
        (vec![ok()], "z", "no output `z`; there are: y"),
        (
            vec![ok(), Tensor::of("", &[1], &[0.0_f32])],
            "y",
            "input number 1",
        ),
    ];
    for (inputs, output, wanted) in cases {
        let (code, text) = session.run(0, &inputs, &[output]).unwrap_err();
        assert_eq!(code, EINVAL, "{text}");
        assert!(text.contains(wanted), "{text} / {wanted}");
    }
    // Shapes that are all right one by one and do not go together.
    let session = loaded("broadcast.onnx");
    let inputs = [
        Tensor::of("a", &[2], &[0.0_f32; 2]),
        Tensor::of("b", &[3], &[0.0_f32; 3]),
    ];
    let (code, text) = session.run(0, &inputs, &["y"]).unwrap_err();
    assert_eq!(code, EINVAL);
    assert!(text.contains("broadcast.onnx"), "{text}");
}

#[test]
fn a_buffer_that_is_too_small_is_told_the_size_and_one_that_fits_is_used() {
    let session = loaded("many.onnx");
    let inputs = || {
        [
            Tensor::of("", &[2, 3], &[1.0_f32; 6]),
            Tensor::of("", &[3, 2], &[1.0_f32; 6]),
        ]
    };
    let mut out = [Out::with_room("product", 15)];
    let (code, text) = session.run_into(0, &inputs(), &mut out).unwrap_err();
    assert_eq!((code, out[0].raw.size), (ERANGE, 16), "{text}");
    let mut out = [Out::with_room("product", 99), Out::with_room("size", 16)];
    session.run_into(0, &inputs(), &mut out).unwrap();
    assert_eq!(out[0].tensor().values::<f32>(), [3.0; 4]);
    assert_eq!(out[1].tensor().values::<i64>(), [2, 2]);
    // The size of this one is known before the run.
    let mut out = [Out::with_room("size", 8)];
    let (code, _) = session.run_into(0, &inputs(), &mut out).unwrap_err();
    assert_eq!((code, out[0].raw.size), (ERANGE, 16));
    // Another type than the output's is refused.
    let mut out = [Out::allocated("product")];
    out[0].raw.dtype = Dtype::F64.code().unwrap();
    assert_eq!(
        session.run_into(0, &inputs(), &mut out).unwrap_err().0,
        EINVAL
    );
}

#[test]
fn models_that_this_backend_cannot_run_are_refused_with_the_reason() {
    let cases = [
        (
            "identity-string.onnx",
            ENOTSUP,
            "input `x` is string; this backend takes f32",
        ),
        ("identity-u16.onnx", ENOTSUP, "input `x` is u16"),
        ("identity-bf16.onnx", ENOTSUP, "input `x` is bf16"),
        ("no-such-operator.onnx", ENOTSUP, "Frobnicate"),
    ];
    for (name, wanted, reason) in cases {
        let mut session = Session::new();
        session.add_files(&[&data(name)]);
        let (code, text) = session.load(0, "").unwrap_err();
        assert_eq!(code, wanted, "{text}");
        assert!(
            text.contains(reason) && text.contains(name),
            "{text} / {reason}"
        );
        let (code, _) = session.run(0, &[], &[]).unwrap_err();
        assert_eq!(code, ENOENT, "nothing is loaded");
    }
}

#[test]
fn operators_with_other_results_are_refused_unless_the_caller_says_it_does_not_matter() {
    for (name, reason) in [
        (
            "resize-cubic.onnx",
            "Resize in cubic mode interpolates linearly",
        ),
        ("sign.onnx", "Sign of 0.0 is 1"),
    ] {
        let mut session = Session::new();
        session.add_files(&[&data(name)]);
        let (code, text) = session.load(0, "").unwrap_err();
        assert_eq!(code, ENOTSUP);
        assert!(
            text.contains(reason) && text.contains("approximate=1"),
            "{text}"
        );
        session.load(0, "approximate=1").unwrap();
        assert_eq!(session.info(0).unwrap().metadata["differs"][0], reason);
    }
}

#[test]
fn options_set_the_threads_and_unknown_ones_are_refused() {
    let mut session = Session::new();
    session.add_files(&[&data("fixed.onnx")]);
    for (options, wanted) in [
        ("threads=0", "0 is not 1 to 256"),
        ("threads=many", "many"),
        ("speed=1", "option `speed` is not known; there are: threads"),
    ] {
        let (code, text) = session.load(0, options).unwrap_err();
        assert_eq!(code, EINVAL);
        assert!(text.contains(wanted), "{text}");
    }
    session.load(0, "threads=3").unwrap();
    assert_eq!(session.info(0).unwrap().metadata["threads"], 3);
    session.unload(0).unwrap();
    assert_eq!(session.info(0).unwrap_err().0, ENOENT);
}

#[test]
fn a_trained_network_gives_the_numbers_it_was_trained_to() {
    let mut session = Session::new();
    session.add_folder(&trained("digits-8x8"));
    session.load(0, "threads=1").unwrap();
    let info = session.info(0).unwrap();
    assert_eq!(
        (info.format.as_str(), info.backend.as_str()),
        ("onnx", "onnx")
    );
    assert_eq!(info.inputs, ["input: f32 [-1, 1, 8, 8]"]);
    assert_eq!(info.outputs, ["logits: f32 [-1, 10]"]);
    assert_eq!(info.metadata["producer"], "pytorch");
    assert_eq!(info.metadata["opset"], 17);
    assert!(info.metadata["parameters"].as_u64().unwrap() > 10_000);
    assert!(info.metadata["nodes"].as_u64().unwrap() > 3);
    assert_eq!(info.metadata["description"]["name"], "digits-8x8");
    assert_eq!(info.metadata["description"]["task"], "classify");
    let logits = session.run(
        0,
        &[Tensor::of("input", &[2, 1, 8, 8], &[0.0_f32; 128])],
        &["logits"],
    );
    let logits = logits.unwrap().remove(0);
    assert_eq!(logits.shape, [2, 10]);
    assert!(logits.values::<f32>().iter().all(|v| v.is_finite()));
}
