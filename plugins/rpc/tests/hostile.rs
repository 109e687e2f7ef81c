//! Agents whose answers are wrong, by mistake or on purpose.
#![allow(clippy::unwrap_used)]

mod common;
use common::liar::{Liar, answer, flat, honest, torch_sgemm};
use common::{Rpc, last_error, remote_id};
use std::ptr::null_mut;
use vaccel_plugin::abi::arg::ARG_BUFFER;
use vaccel_plugin::abi::model::vaccel_model_info;
use vaccel_plugin::abi::op::*;
use vaccel_plugin::abi::tensor::TORCH_FLOAT;
use vaccel_plugin::testing::{TestResource, free_torch_tensor};
use vaccel_plugin::{Op, ResourceType, code};
use vaccel_wire::TensorMeta;

#[test]
fn numbers_that_are_not_positive_are_refused() {
    let liar = Liar::start(honest());
    let rpc = Rpc::start(&liar.address, &[]);
    for number in [0_i64, -1, i64::MIN] {
        liar.now(answer(256, move |header, buffer| {
            let mut builder = buffer.reply(header);
            builder.write_scalar(number);
            flat(&builder.finish().unwrap())
        }));
        assert_eq!(rpc.open(1).err(), Some(code::EREMOTEIO));
        assert!(
            last_error().contains("numbers are positive"),
            "{}",
            last_error()
        );
    }
    liar.now(answer(259, |header, buffer| {
        let mut builder = buffer.reply(header);
        builder.write_scalar(0_i64).write_scalar(0_u8);
        flat(&builder.finish().unwrap())
    }));
    let session = rpc.session();
    let resource = TestResource::from_memory(3, ResourceType::Data, "d", b"data");
    assert_eq!(session.register(&resource), code::EREMOTEIO);
    assert_eq!(remote_id(&resource), 0);
}

#[test]
fn tensors_that_cannot_be_are_refused_and_nothing_is_made() {
    let liar = Liar::start(honest());
    let rpc = Rpc::start(&liar.address, &[]);
    let session = rpc.session();
    let mut out = null_mut();
    assert_eq!(torch_sgemm(&rpc, &session, &mut out), 0, "{}", last_error());
    // SAFETY: made by the plugin.
    unsafe { free_torch_tensor(out) };
    let cases: [(u16, &[i64], usize, &str); 6] = [
        (TORCH_FLOAT as u16, &[2, 2], 12, "instead of 16"),
        (TORCH_FLOAT as u16, &[2, 2], 100_000, "instead of 16"),
        (TORCH_FLOAT as u16, &[2, -2], 16, "negative"),
        (TORCH_FLOAT as u16, &[i64::MAX, i64::MAX], 16, "cannot be"),
        (TORCH_FLOAT as u16, &[], 0, "instead of 4"),
        (TORCH_FLOAT as u16, &[0, i64::MAX], 16, "instead of 0"),
    ];
    for (dtype, dims, size, words) in cases {
        liar.now(answer(OP_TORCH_SGEMM, move |header, buffer| {
            let bytes = vec![7; size];
            let mut builder = buffer.reply(header);
            let meta = TensorMeta {
                dtype,
                dims,
                name: None,
            };
            builder.write_tensor_data(&meta, &bytes);
            flat(&builder.finish().unwrap())
        }));
        let mut out = null_mut();
        assert_eq!(
            torch_sgemm(&rpc, &session, &mut out),
            code::EREMOTEIO,
            "{dims:?}"
        );
        assert!(
            out.is_null() && last_error().contains(words),
            "{}",
            last_error()
        );
    }
    liar.now(answer(OP_TORCH_SGEMM, |header, buffer| {
        let mut builder = buffer.reply(header);
        builder.write_bytes(ARG_BUFFER, 0, &[1; 16]);
        flat(&builder.finish().unwrap())
    }));
    assert_eq!(torch_sgemm(&rpc, &session, &mut out), code::EREMOTEIO);
    assert!(last_error().contains("not a tensor"), "{}", last_error());
    liar.now(|_, _| false);
    assert_eq!(session.noop(), 0);
}

#[test]
fn arrays_of_the_wrong_size_are_refused() {
    let liar = Liar::start(honest());
    let rpc = Rpc::start(&liar.address, &[]);
    let session = rpc.session();
    let copy: FpgaArraycopyFn = rpc.plugin.op(Op::FpgaArraycopy);
    let mut data = [1, 2, 3, 4];
    for size in [0, 12, 20, 200_000] {
        liar.now(answer(OP_FPGA_ARRAYCOPY, move |header, buffer| {
            let bytes = vec![9; size];
            let mut builder = buffer.reply(header);
            builder.write_bytes(6, 0, &bytes);
            flat(&builder.finish().unwrap())
        }));
        let mut out = [5; 4];
        // SAFETY: arrays of that length.
        let code = unsafe { copy(session.as_ptr(), data.as_mut_ptr(), out.as_mut_ptr(), 4) };
        assert_eq!((code, out), (code::EREMOTEIO, [5; 4]), "{size}");
        assert!(last_error().contains("not 16"), "{}", last_error());
    }
}

#[test]
fn descriptions_that_are_no_json_are_refused() {
    let liar = Liar::start(honest());
    let rpc = Rpc::start(&liar.address, &[]);
    let session = rpc.session();
    let model = TestResource::from_memory(3, ResourceType::Model, "m", b"m");
    assert_eq!(session.register(&model), 0);
    let texts = [
        "",
        "{",
        "\u{0}",
        r#"{"inputs":[{"dims":[1,1,1,1,1,1,1,1,1]}]}"#,
        r#"{"inputs":[{"name":"a"},{"name":"b\u0000c"}]}"#,
    ];
    for text in texts {
        liar.now(answer(OP_MODEL_INFO, move |header, buffer| {
            let mut builder = buffer.reply(header);
            let meta = TensorMeta {
                dtype: 6,
                dims: &[text.len() as i64],
                name: None,
            };
            builder.write_tensor_data(&meta, text.as_bytes());
            flat(&builder.finish().unwrap())
        }));
        let mut info = vaccel_model_info::empty();
        let ask = rpc.plugin.ext().model_info.unwrap();
        // SAFETY: live structures.
        let code = unsafe { ask(session.as_ptr(), model.as_ptr(), &raw mut info) };
        assert_eq!(code, code::EREMOTEIO, "{text}");
        assert!(info.inputs.is_null() && info.nr_inputs == 0 && info.format.is_null());
    }
    liar.now(answer(265, |header, buffer| {
        let mut builder = buffer.reply(header);
        builder.write_bytes(ARG_BUFFER, 0, b"not json");
        flat(&builder.finish().unwrap())
    }));
    let about = rpc.plugin.describe();
    assert!(about["error"].as_str().unwrap().contains("bad JSON"));
}
