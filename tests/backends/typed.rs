//! The calls of the frameworks themselves, with real models: `vaccel_torch_model_*`,
//! `vaccel_tf_model_*`, `vaccel_tflite_model_*` give what the neutral API gives.
//!
//! The plugins `torch`, `tf` and `tflite` have this file among their tests.
#![allow(clippy::unwrap_used)]

#[path = "../../plugins/onnx/tests/support/mod.rs"]
mod support;

use std::ffi::{CStr, CString};
use std::ptr::{null, null_mut};

use support::{PLUGIN, Session, Tensor, trained};
use vaccel_plugin::Op;
use vaccel_plugin::abi::op::{ModelFn, TfModelFn, TfModelRunFn, TfliteModelRunFn, TorchModelRunFn};
use vaccel_plugin::abi::tensor::{
    TF_FLOAT, TFLITE_FLOAT32, TORCH_FLOAT, vaccel_tf_node, vaccel_tf_status, vaccel_tf_tensor,
    vaccel_tflite_tensor, vaccel_torch_tensor,
};
use vaccel_plugin::testing::{
    free_tf_tensor, free_tflite_tensor, free_torch_tensor, is_required, skipped,
};

const PICTURE: [f32; 64] = [0.25; 64];

/// A session with the model of a place, which is not loaded yet; `None` without a runtime.
fn session(place: &str) -> Option<Session> {
    let about = PLUGIN.describe();
    if about["ready"] != true {
        let reason = about["missing"].to_string();
        assert!(!is_required(PLUGIN.name()), "{reason}");
        skipped(PLUGIN.name(), &reason);
        return None;
    }
    let path = trained("digits-8x8").join(place);
    let mut session = Session::new();
    if path.is_dir() {
        session.add_folder(&path);
    } else {
        session.add_files(&[&path]);
    }
    Some(session)
}

/// What the neutral API gives for the loaded model.
fn neutral(session: &Session) -> Vec<f32> {
    let info = session.info(0).unwrap();
    let name = |text: &str| text.rsplit_once(": ").unwrap().0.to_owned();
    let picture = Tensor::of(&name(&info.inputs[0]), &[1, 1, 8, 8], &PICTURE);
    let outputs = session.run(0, &[picture], &[&name(&info.outputs[0])]);
    outputs.unwrap().remove(0).values()
}

#[test]
fn a_typed_call_gives_what_the_neutral_one_gives() {
    match PLUGIN.name() {
        "torch" => torch(),
        "tf" => {
            tf(
                "savedmodel",
                "serving_default_input",
                "StatefulPartitionedCall",
            );
        }
        "tflite" => tflite(),
        other => panic!("{other} has no calls of a framework"),
    }
}

fn torch() {
    let Some(session) = session("torchscript/model.pt") else {
        return;
    };
    let (load, run): (ModelFn, TorchModelRunFn) =
        (PLUGIN.op(Op::TorchModelLoad), PLUGIN.op(Op::TorchModelRun));
    let (s, m) = (session.raw.as_ptr(), session.resources[0].as_ptr());
    let (mut values, mut dims) = (PICTURE, [1_i64, 1, 8, 8]);
    let mut input = vaccel_torch_tensor {
        data: values.as_mut_ptr().cast(),
        size: 256,
        owned: false,
        nr_dims: 4,
        dims: dims.as_mut_ptr(),
        data_type: TORCH_FLOAT,
    };
    let mut out = [null_mut::<vaccel_torch_tensor>()];
    // SAFETY: live structures; the result comes from malloc and is freed once.
    unsafe {
        assert_eq!(load(s, m), 0);
        let inputs = [&raw mut input];
        assert_eq!(
            run(s, m, null(), inputs.as_ptr(), 1, out.as_mut_ptr(), 1),
            0
        );
        let got = &*out[0];
        assert_eq!((got.nr_dims, got.size, got.data_type), (2, 40, TORCH_FLOAT));
        let got = std::slice::from_raw_parts(got.data.cast::<f32>(), 10).to_vec();
        free_torch_tensor(out[0]);
        assert_eq!(got, neutral(&session));
    }
}

fn tflite() {
    let Some(session) = session("tflite/model.tflite") else {
        return;
    };
    let (load, run): (ModelFn, TfliteModelRunFn) = (
        PLUGIN.op(Op::TfliteModelLoad),
        PLUGIN.op(Op::TfliteModelRun),
    );
    let (s, m) = (session.raw.as_ptr(), session.resources[0].as_ptr());
    let (mut values, mut dims) = (PICTURE, [1_i32, 1, 8, 8]);
    let mut input = vaccel_tflite_tensor {
        data: values.as_mut_ptr().cast(),
        size: 256,
        owned: false,
        nr_dims: 4,
        dims: dims.as_mut_ptr(),
        data_type: TFLITE_FLOAT32,
    };
    let (mut out, mut status) = ([null_mut::<vaccel_tflite_tensor>()], 9_u8);
    // SAFETY: as above.
    unsafe {
        assert_eq!(load(s, m), 0);
        let (inputs, to) = ([&raw mut input], out.as_mut_ptr());
        assert_eq!(run(s, m, inputs.as_ptr(), 1, to, 1, &raw mut status), 0);
        let got = &*out[0];
        assert_eq!((status, got.nr_dims, got.size), (0, 2, 40));
        let got = std::slice::from_raw_parts(got.data.cast::<f32>(), 10).to_vec();
        free_tflite_tensor(out[0]);
        assert_eq!(got, neutral(&session));
    }
}

fn tf(place: &str, input_node: &str, output_node: &str) {
    let Some(session) = session(place) else {
        return;
    };
    let (load, run): (TfModelFn, TfModelRunFn) =
        (PLUGIN.op(Op::TfModelLoad), PLUGIN.op(Op::TfModelRun));
    let (s, m) = (session.raw.as_ptr(), session.resources[0].as_ptr());
    let (mut values, mut dims) = (PICTURE, [1_i64, 1, 8, 8]);
    let mut input = vaccel_tf_tensor {
        data: values.as_mut_ptr().cast(),
        size: 256,
        owned: false,
        nr_dims: 4,
        dims: dims.as_mut_ptr(),
        data_type: TF_FLOAT,
    };
    let (from, to) = (
        CString::new(input_node).unwrap(),
        CString::new(output_node).unwrap(),
    );
    let node = |name: &CStr| vaccel_tf_node {
        name: name.as_ptr().cast_mut(),
        id: 0,
    };
    let (from, to) = (node(&from), node(&to));
    let mut status = vaccel_tf_status {
        code: 99,
        message: null_mut(),
    };
    let st = &raw mut status;
    let mut out = [null_mut::<vaccel_tf_tensor>()];
    // SAFETY: as above.
    unsafe {
        let inputs = [&raw mut input];
        assert_eq!(load(s, m, st), 0);
        libc_free((*st).message.cast());
        let o = out.as_mut_ptr();
        let ran = run(
            s,
            m,
            null(),
            &raw const from,
            inputs.as_ptr(),
            1,
            &raw const to,
            o,
            1,
            st,
        );
        let said = CStr::from_ptr((*st).message).to_string_lossy().into_owned();
        libc_free((*st).message.cast());
        assert_eq!((ran, (*st).code), (0, 0), "{said}");
        let got = &*out[0];
        assert_eq!((got.nr_dims, got.size, got.data_type), (2, 40, TF_FLOAT));
        let got = std::slice::from_raw_parts(got.data.cast::<f32>(), 10).to_vec();
        free_tf_tensor(out[0]);
        assert_eq!(got, neutral(&session));
    }
}

/// Frees what a plugin allocated.
///
/// # Safety
/// Null or memory of malloc's, not freed yet.
unsafe fn libc_free(p: *mut std::ffi::c_void) {
    unsafe extern "C" {
        fn free(p: *mut std::ffi::c_void);
    }
    // SAFETY: promised by the caller.
    unsafe { free(p) }
}
