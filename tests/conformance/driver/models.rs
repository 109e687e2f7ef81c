//! The neutral model calls, with every element type and shape.

use crate::case::{Case, expect, noise, summary};
use serde_json::{Value, json};
use vaccel::{Dtype, Model, Resource, ResourceType, Result, Session, Tensor};

const DTYPES: [&str; 15] = [
    "f32", "f64", "f16", "bf16", "i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64", "bool",
    "i4", "u4",
];

const SHAPES: [&[usize]; 9] = [
    &[],
    &[1],
    &[7],
    &[0],
    &[3, 0, 2],
    &[2, 3, 5],
    &[1, 3, 33, 31],
    &[2, 1, 2, 1, 2, 1, 2, 3],
    &[512, 1025],
];

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for name in DTYPES {
        for shape in SHAPES {
            cases.push(Case::new(format!("model/{name} {shape:?}"), move |s| {
                same_back(s, name, shape)
            }));
        }
    }
    cases.extend([
        Case::new("model/several, by name and by position", several),
        Case::new("model/info", |s| {
            let info = load(s, b"file", "count=3")?.info()?;
            Ok(serde_json::to_value(&info).unwrap_or(Value::Null))
        }),
        Case::new("model/broken", |s| {
            load(s, b"broken file", "").map(|_| json!(null))
        }),
        Case::new("model/unknown option", |s| {
            load(s, b"file", "colour=red").map(|_| json!(null))
        }),
        Case::new("model/no input for an output", |s| {
            let model = load(s, b"file", "count=2")?;
            let one = Tensor::from_slice(&[1], &[1.0f32])?;
            model.run(&[("t0", one)])?;
            Ok(json!(null))
        }),
        Case::new("model/load, run and unload 50 times", |s| {
            for i in 0..50u64 {
                let model = load(s, &noise(100, i), "")?;
                let input = Tensor::from_slice(&[1], &[i])?;
                expect(
                    &model.run(&[("t0", input)])?[0].as_slice::<u64>()?,
                    &[i].as_slice(),
                )?;
            }
            Ok(json!(50))
        }),
    ]);
    cases
}

pub(crate) fn load(session: &Session, file: &[u8], options: &str) -> Result<Model> {
    let resource = Resource::from_bytes(file.to_vec(), ResourceType::Model, "model.echo")?;
    Model::load(session, &resource, options)
}

fn same_back(session: &Session, name: &str, shape: &[usize]) -> Result<Value> {
    let wrong = || vaccel::Error::new(vaccel::code::EIO, format!("WRONG: no dtype {name}"));
    let dtype = Dtype::from_name(name).ok_or_else(wrong)?;
    let mut bytes = noise(dtype.bytes(shape).ok_or_else(wrong)?, 9);
    if dtype == Dtype::Bool {
        bytes.iter_mut().for_each(|b| *b &= 1);
    }
    let model = load(session, b"file", "")?;
    let input = Tensor::from_bytes(dtype, shape, bytes.clone())?;
    let outputs = model.run(&[("t0", input)])?;
    expect(&outputs.len(), &1)?;
    expect(&outputs[0].dtype(), &dtype)?;
    expect(&outputs[0].shape(), &shape)?;
    expect(&(outputs[0].bytes() == bytes), &true)?;
    Ok(summary(outputs[0].bytes()))
}

fn several(session: &Session) -> Result<Value> {
    let model = load(session, b"file", "count=3")?;
    let tensors = [
        Tensor::from_slice(&[2], &[1.5f32, 2.5])?,
        Tensor::from_slice(&[1, 1], &[-3i64])?,
        Tensor::from_bools(&[3], &[true, false, true])?,
    ];
    let all = model.run(&[
        ("t0", &tensors[0]),
        ("t1", &tensors[1]),
        ("t2", &tensors[2]),
    ])?;
    let some = model.run_named(
        &[
            ("t0", &tensors[0]),
            ("t1", &tensors[1]),
            ("t2", &tensors[2]),
        ],
        &["t2", "t0"],
    )?;
    for (got, wanted) in all.iter().chain(&some).zip([0, 1, 2, 2, 0]) {
        expect(
            &(got.dtype(), got.bytes()),
            &(tensors[wanted].dtype(), tensors[wanted].bytes()),
        )?;
    }
    Ok(json!([all.len(), some.len()]))
}
