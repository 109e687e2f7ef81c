//! Tensors that a described model has beside its own: an encoded picture in, the
//! answer out. `docs/model-description.md` lists them.

use rten::{NodeId, Value, ValueOrView};
use rten_tensor::prelude::*;
use vaccel_plugin::{Dtype, Error, Result, TensorOut, TensorView, bail, err, find_tensor};
use vaccel_vision::{Answer, InputData, InputTensor, MapData, Prepared, Vision};

use crate::dtype::to_engine;
use crate::model::{OnnxModel, VIRTUAL, write};
use crate::network::Slot;

const IMAGE: &str = "vaccel.image";
const OUTPUTS: [&str; 4] = [
    "vaccel.result",
    "vaccel.text",
    "vaccel.picture",
    "vaccel.map",
];

/// Runs a model of which virtual tensors are given or asked for.
///
/// # Errors
/// As a run, and `EINVAL` for a model without description or bytes that are no picture.
pub(crate) fn run(
    model: &OnnxModel,
    inputs: &[TensorView<'_>],
    outputs: &mut [TensorOut<'_>],
) -> Result<()> {
    let vision = model.network().vision()?;
    let is_image = |tensor: &&TensorView| tensor.name() == Some(IMAGE);
    let Some(image) = inputs.iter().find(is_image) else {
        bail!(
            EINVAL,
            "outputs named {VIRTUAL}* need the input `{IMAGE}`, an encoded picture"
        );
    };
    if inputs.iter().filter(is_image).count() > 1 {
        bail!(EINVAL, "input `{IMAGE}` is given twice");
    }
    image.expect(Dtype::U8)?;
    let own = inputs.iter().filter(|tensor| !is_image(tensor));
    if let Some(nameless) = own.clone().find(|tensor| tensor.name().is_none()) {
        bail!(
            EINVAL,
            "beside `{IMAGE}`, inputs go by name; one of {:?} has none",
            nameless.shape()
        );
    }
    let targets = targets(model, outputs)?;
    let prepared = vision.prepare(image.bytes()).map_err(from_vision)?;
    let Prepared { input, frame } = prepared;
    let bytes = input_bytes(&input.data);
    let mut bound = model.bind(own)?;
    bind_picture(model, &input, bytes, &mut bound)?;
    model.check_complete(&bound)?;

    let mut nodes = needed(model, vision);
    for target in &targets {
        if let Target::Own(slot) = target
            && !nodes.contains(&slot.node)
        {
            nodes.push(slot.node);
        }
    }
    let values = model.compute(bound, &nodes)?;
    for (target, out) in targets.iter().zip(outputs.iter_mut()) {
        if let Target::Own(slot) = target
            && let Some(at) = nodes.iter().position(|node| *node == slot.node)
        {
            write(slot, &values[at], out)?;
        }
    }
    if targets
        .iter()
        .all(|target| matches!(target, Target::Own(_)))
    {
        return Ok(());
    }
    let answer = finish(model, vision, frame, &nodes, values)?;
    for (target, out) in targets.iter().zip(outputs) {
        match *target {
            Target::Own(_) => {}
            Target::Virtual(name) => write_virtual(&answer, name, out)?,
        }
    }
    Ok(())
}

/// From an encoded picture to the answer.
///
/// # Errors
/// `EINVAL` for bytes that are no picture and for a model that needs more than one input.
pub(crate) fn answer(model: &OnnxModel, encoded: &[u8]) -> Result<Answer> {
    let vision = model.network().vision()?;
    let Prepared { input, frame } = vision.prepare(encoded).map_err(from_vision)?;
    let mut bound = Vec::with_capacity(1);
    bind_picture(model, &input, input_bytes(&input.data), &mut bound)?;
    model.check_complete(&bound)?;
    let nodes = needed(model, vision);
    let values = model.compute(bound, &nodes)?;
    finish(model, vision, frame, &nodes, values)
}

/// Where an output comes from.
enum Target<'a> {
    Own(&'a Slot),
    Virtual(&'static str),
}

fn targets<'a>(model: &'a OnnxModel, outputs: &mut [TensorOut<'_>]) -> Result<Vec<Target<'a>>> {
    let slots = &model.network().outputs;
    let mut targets = Vec::with_capacity(outputs.len());
    for (position, out) in outputs.iter_mut().enumerate() {
        let known = OUTPUTS.into_iter().find(|name| out.name() == Some(name));
        targets.push(match (known, out.name()) {
            (Some(name), _) => Target::Virtual(name),
            (None, Some(name)) if name.starts_with(VIRTUAL) => bail!(
                EINVAL,
                "there is no output `{name}`; there are: {}",
                OUTPUTS.join(", ")
            ),
            (None, name) => {
                let infos: Vec<_> = slots.iter().map(Slot::info).collect();
                let slot = &slots[find_tensor("output", &infos, name, position)?];
                model.check_room(slot, out)?;
                Target::Own(slot)
            }
        });
    }
    Ok(targets)
}

/// Gives the tensor made of the picture to the input that the description means.
fn bind_picture<'a>(
    model: &OnnxModel,
    input: &InputTensor,
    (dtype, bytes): (Dtype, &'a [u8]),
    bound: &mut Vec<(NodeId, ValueOrView<'a>)>,
) -> Result<()> {
    let slots = &model.network().inputs;
    let slot = match &input.name {
        Some(name) => slots.iter().find(|slot| slot.port.name == *name),
        None => slots.first(),
    };
    // The description was compared with the inputs when the model was loaded.
    let Some(slot) = slot else {
        bail!(
            EINVAL,
            "{} has no input for a picture",
            model.network().name
        );
    };
    if bound.iter().any(|(node, _)| *node == slot.node) {
        bail!(
            EINVAL,
            "input `{}` is given beside `{IMAGE}`",
            slot.port.name
        );
    }
    bound.push((
        slot.node,
        to_engine(&slot.port.name, dtype, &input.shape, bytes)?,
    ));
    Ok(())
}

fn input_bytes(data: &InputData) -> (Dtype, &[u8]) {
    match data {
        InputData::F32(values) => (Dtype::F32, vaccel_plugin::bytes_of(values)),
        InputData::F16(values) => (Dtype::F16, vaccel_plugin::bytes_of(values)),
        InputData::U8(values) => (Dtype::U8, values),
    }
}

/// The outputs that the description reads, in the model's order.
fn needed(model: &OnnxModel, vision: &Vision) -> Vec<NodeId> {
    let named = vision.description().output.tensor_names();
    let mut nodes = Vec::new();
    for slot in &model.network().outputs {
        let wanted = named.is_empty() || named.contains(&slot.port.name);
        if wanted && !nodes.contains(&slot.node) {
            nodes.push(slot.node);
        }
    }
    nodes
}

/// An output in the types that the formats are read in.
enum Read {
    F32(Vec<f32>),
    I64(Vec<i64>),
}

fn finish(
    model: &OnnxModel,
    vision: &Vision,
    frame: vaccel_vision::Frame,
    nodes: &[NodeId],
    values: Vec<Value>,
) -> Result<Answer> {
    let mut tensors = Vec::with_capacity(nodes.len());
    for (node, value) in nodes.iter().zip(values) {
        let slot = model
            .network()
            .outputs
            .iter()
            .find(|slot| slot.node == *node);
        // Nodes come from the outputs.
        let Some(slot) = slot else { continue };
        let shape = value.shape().to_vec();
        let widened = |values: &mut dyn Iterator<Item = i64>| Read::I64(values.collect());
        let data = match value {
            Value::FloatTensor(t) => Read::F32(t.into_data()),
            Value::Int32Tensor(t) => widened(&mut t.iter().map(|&v| i64::from(v))),
            Value::UInt8Tensor(t) => widened(&mut t.iter().map(|&v| i64::from(v))),
            Value::Int8Tensor(t) => widened(&mut t.iter().map(|&v| i64::from(v))),
            _ => bail!(ENOTSUP, "output `{}` is not a tensor", slot.port.name),
        };
        tensors.push((slot.port.name.as_str(), shape, data));
    }
    let views: Vec<vaccel_vision::TensorView> = tensors
        .iter()
        .map(|(name, shape, data)| match data {
            Read::F32(values) => vaccel_vision::TensorView::f32(name, shape, values),
            Read::I64(values) => vaccel_vision::TensorView::i64(name, shape, values),
        })
        .collect();
    let answer = vision.finish(frame, &views).map_err(from_vision);
    answer.map_err(|e| e.context(&model.network().name))
}

fn write_virtual(answer: &Answer, name: &str, out: &mut TensorOut<'_>) -> Result<()> {
    let bytes = match name {
        "vaccel.result" => answer.outcome().to_json().into_bytes(),
        "vaccel.text" => answer.outcome().to_text().into_bytes(),
        "vaccel.picture" => answer.picture_png().map_err(from_vision)?,
        _ => return write_map(answer, out),
    };
    let length = i64::try_from(bytes.len()).map_err(|_| err!(ERANGE, "`{name}` is too large"))?;
    out.write(Dtype::U8, &[length], &bytes)
}

fn write_map(answer: &Answer, out: &mut TensorOut<'_>) -> Result<()> {
    let Some(map) = answer.map().map_err(from_vision)? else {
        let task = answer.outcome().task;
        bail!(
            EINVAL,
            "`vaccel.map`: a model of the task {task} has none; segment and depth do"
        );
    };
    let shape = [i64::from(map.height), i64::from(map.width)];
    match map.data {
        MapData::F32(values) => out.write_slice(&shape, &values),
        MapData::U8(values) => out.write_slice(&shape, &values),
    }
}

/// Whatever is wrong with a picture, a description or their tensors is the
/// caller's; only files that cannot be read have a code of their own.
pub(crate) fn from_vision(e: vaccel_vision::Error) -> Error {
    match e {
        vaccel_vision::Error::Read { path, source } => {
            Error::from(source).context(format_args!("cannot read {}", path.display()))
        }
        other => Error::invalid(other.to_string()),
    }
}
