//! Every type of elements and every number of dimensions that a backend has, there and back.

use std::path::{Path, PathBuf};

use vaccel_plugin::Dtype::{self, Bf16, Bool, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};

use super::ready;
use super::support::builder::{echo, echo_graph};
use super::support::{PLUGIN, Session, Tensor};

/// Elements of every tensor here.
const COUNT: usize = 24;
/// A shape for each number of dimensions.
const SHAPES: [&[i64]; 6] = [
    &[24],
    &[4, 6],
    &[2, 3, 4],
    &[1, 2, 3, 4],
    &[1, 2, 3, 2, 2],
    &[1, 1, 2, 3, 2, 2],
];
/// Types with their numbers in `TensorProto.DataType` of ONNX and `DataType` of TensorFlow.
const TYPES: [(Dtype, u64, u64); 13] = [
    (F32, 1, 1),
    (F64, 11, 2),
    (F16, 10, 19),
    (Bf16, 16, 14),
    (I8, 3, 6),
    (U8, 2, 4),
    (I16, 5, 5),
    (U16, 4, 17),
    (I32, 6, 3),
    (U32, 12, 22),
    (I64, 7, 9),
    (U64, 13, 23),
    (Bool, 9, 10),
];

/// What a backend does not have, by the format of the file; all other types it has.
fn without(plugin: &str, format: &str) -> &'static [Dtype] {
    match (plugin, format) {
        // It computes in f32 and i32.
        ("onnx", _) => &[Bf16, I16, U16, U32, U64],
        ("torch", _) => &[U16, U32, U64],
        _ => &[],
    }
}

/// The numbers 0, 1, 2 and so on as elements of a type; 0 and 1 of bool.
fn elements(dtype: Dtype) -> Vec<u8> {
    let half = |k: u16| match k.checked_ilog2() {
        None => 0,
        Some(exponent) => ((exponent as u16 + 15) << 10) | ((k << (10 - exponent)) & 0x3ff),
    };
    let element = |k: u16| -> Vec<u8> {
        match dtype {
            F32 => f32::from(k).to_ne_bytes().to_vec(),
            F64 => f64::from(k).to_ne_bytes().to_vec(),
            F16 => half(k).to_ne_bytes().to_vec(),
            Bf16 => ((f32::from(k).to_bits() >> 16) as u16)
                .to_ne_bytes()
                .to_vec(),
            Bool => vec![(k % 2) as u8],
            I8 | U8 => vec![k as u8],
            I16 | U16 => k.to_ne_bytes().to_vec(),
            I32 | U32 => u32::from(k).to_ne_bytes().to_vec(),
            _ => u64::from(k).to_ne_bytes().to_vec(),
        }
    };
    (0..COUNT as u16).flat_map(element).collect()
}

/// The model that gives back a tensor of this type and shape, in a format; `None` where there is none.
fn model(
    format: &str,
    (dtype, onnx, tensorflow): (Dtype, u64, u64),
    dims: &[i64],
    folder: &Path,
) -> Option<PathBuf> {
    let ready_made = |name: String| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/backends/echo");
        Some(path.join(name)).filter(|path| path.exists())
    };
    let made = |name: &str, bytes: Vec<u8>| {
        let path = folder.join(format!("{}-{}-{name}", dtype.name(), dims.len()));
        std::fs::write(&path, bytes).unwrap();
        Some(path)
    };
    match format {
        "onnx" => made("model.onnx", echo(onnx, dims)),
        "graphdef" => made("model.pb", echo_graph(tensorflow, dims)),
        "torchscript" => ready_made("any.pt".into()),
        "tflite" if dtype == F32 => ready_made(format!("f32-{}.tflite", dims.len())),
        "tflite" if dims == SHAPES[2] => ready_made(format!("{}.tflite", dtype.name())),
        _ => None,
    }
}

/// Sends a tensor through; what is wrong with what came back.
fn sent(path: &Path, dtype: Dtype, dims: &[i64]) -> Result<(), String> {
    let mut session = Session::new();
    session.add_files(&[path]);
    session.load(0, "").map_err(|(_, text)| text)?;
    let input = Tensor::new("input", dtype, dims, &elements(dtype));
    let output = {
        let info = session.info(0).map_err(|(_, text)| text)?;
        info.outputs[0].rsplit_once(": ").unwrap().0.to_owned()
    };
    let outputs = session.run(0, std::slice::from_ref(&input), &[&output]);
    let found = outputs.map_err(|(_, text)| text)?.remove(0);
    // From here on it is no refusal any more.
    assert_eq!(found.dtype, dtype, "{}", path.display());
    assert_eq!(found.bytes, input.bytes, "{}", path.display());
    let count: i64 = found.shape.iter().product();
    assert_eq!(count, COUNT as i64, "{}", path.display());
    Ok(())
}

#[test]
fn every_type_and_rank_comes_back_as_it_went_in() {
    if !ready() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let about = PLUGIN.describe();
    let mut tried = 0;
    let mut wrong = Vec::new();
    for format in about["formats"].as_array().unwrap() {
        let format = format.as_str().unwrap();
        let without = without(PLUGIN.name(), format);
        for type_ in TYPES {
            for dims in SHAPES {
                let Some(path) = model(format, type_, dims, folder.path()) else {
                    continue;
                };
                tried += 1;
                let (dtype, case) = (type_.0, format!("{format}, {} {dims:?}", type_.0.name()));
                match (sent(&path, dtype, dims), without.contains(&dtype)) {
                    (Ok(()), false) => {}
                    (Err(text), true) => assert!(!text.is_empty(), "{case}"),
                    (Ok(()), true) => wrong.push(format!("{case}: it has this type after all")),
                    (Err(text), false) => wrong.push(format!("{case}: {text}")),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // Compiled models are of one type and shape each: there are none here.
    assert!(tried >= 16 || PLUGIN.name() == "tvm", "{tried}");
}
