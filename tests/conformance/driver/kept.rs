//! Tensors that stay where they were computed.

use crate::case::{Case, expect, noise, summary};
use crate::models::load;
use serde_json::{Value, json};
use vaccel::{Dtype, Feed, KeptTensor, Result, Session, Tensor};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("kept/a chain of three models", |s| chain(s, &[512, 513], 3)),
        Case::new("kept/a chain with a single number", |s| chain(s, &[], 3)),
        Case::new("kept/a chain with nothing in it", |s| chain(s, &[3, 0], 2)),
        Case::new("kept/every type", |s| {
            for name in ["f64", "bf16", "u8", "i64", "bool", "i4"] {
                let dtype = Dtype::from_name(name).map_or(Dtype::F32, |dtype| dtype);
                let mut bytes = noise(dtype.bytes(&[33]).unwrap_or_default(), 3);
                bytes.iter_mut().for_each(|b| *b &= 1);
                let tensor = Tensor::from_bytes(dtype, &[33], bytes)?;
                let kept = tensor.keep(s)?;
                expect(&(kept.dtype(), kept.shape()), &(Some(dtype), &[33][..]))?;
                expect(&(kept.fetch()? == tensor), &true)?;
            }
            Ok(json!(6))
        }),
        Case::new("kept/beside tensors that are sent", |s| {
            let model = load(s, b"file", "count=2")?;
            let sent = Tensor::from_slice(&[4], &[1i32, 2, 3, 4])?;
            let kept = floats(100_000)?.keep(s)?;
            let inputs: [(&str, &dyn Feed); 2] = [("t0", &sent), ("t1", &kept)];
            let got = model.run(&inputs)?;
            expect(&(got[0] == sent), &true)?;
            Ok(summary(got[1].bytes()))
        }),
        Case::new("kept/sent once and used a hundred times", |s| {
            let model = load(s, b"file", "")?;
            let tensor = floats(70_000)?;
            let kept = tensor.keep(s)?;
            for _ in 0..100 {
                model.run_kept(&[("t0", &kept)])?;
            }
            expect(&(kept.fetch()? == tensor), &true)?;
            Ok(json!(100))
        }),
        Case::new("kept/of another session is refused", |s| {
            let other = Session::new()?;
            let kept = floats(10)?.keep(&other)?;
            let code = load(s, b"file", "")?.run(&[("t0", &kept)]).map(drop);
            Ok(json!(code.map_err(|e| e.name).err()))
        }),
        Case::new("kept/a shape that is broken is refused", |s| {
            let mut raw = vaccel_abi::model::vaccel_tensor::empty();
            (raw.dtype, raw.rank, raw.dims[0]) = (1, 1, 3);
            // SAFETY: no data and no size.
            let code = unsafe { KeptTensor::of_raw(s, &raw) }.map(drop);
            Ok(json!(code.map_err(|e| e.name).err()))
        }),
        Case::new("kept/a model that is broken leaves them", |s| {
            let kept = floats(1000)?.keep(s)?;
            let failed = load(s, b"file", "count=2")?.run_named(&[("t0", &kept)], &["t1"]);
            let one = failed.map(|all| all.len()).map_err(|e| e.name);
            Ok(json!([format!("{one:?}"), summary(kept.fetch()?.bytes())]))
        }),
    ]
}

fn floats(count: usize) -> Result<Tensor> {
    // Small whole numbers: the same on every machine, and no NaN among them.
    let values: Vec<f32> = noise(count, 5).into_iter().map(f32::from).collect();
    Tensor::new(&[count], values)
}

/// The tensor goes through so many models and is read only at the end.
fn chain(session: &Session, shape: &[usize], length: usize) -> Result<Value> {
    let model = load(session, b"file", "")?;
    let count = shape.iter().product();
    let first = Tensor::new(shape, floats(count)?.as_slice::<f32>()?.to_vec())?;
    let mut last = one(model.run_kept(&[("t0", &first)])?)?;
    for _ in 1..length {
        last = one(model.run_kept(&[("t0", &last)])?)?;
    }
    let back = last.fetch()?;
    expect(&(back == first), &true)?;
    // And once more as the input of a run whose output is sent.
    let sent = model.run(&[("t0", &last)])?;
    expect(&(sent[0] == first), &true)?;
    Ok(summary(back.bytes()))
}

fn one(mut all: Vec<KeptTensor>) -> Result<KeptTensor> {
    expect(&all.len(), &1)?;
    all.pop()
        .ok_or_else(|| vaccel::Error::new(vaccel::code::EIO, "WRONG: no output"))
}

/// One tensor of 4 MiB through so many models, for those who count what is sent.
pub(crate) fn links(count: usize) -> Vec<Case> {
    vec![Case::new(format!("links/{count}"), move |s| {
        chain(s, &[1 << 20], count)
    })]
}
