//! Tensors that a described model has beside its own: an encoded picture in, the
//! answer out. `docs/model-description.md` lists them.

use vaccel_plugin::{Dtype, Error, Result, Shape, TensorOut, TensorView, bail, err};
use vaccel_vision::{Answer, Frame, InputData, InputTensor, MapData, Prepared, Vision, f16_value};

use crate::graph::{Graph, Input, Output};
use crate::model::{Loaded, VIRTUAL, check_room};

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
pub(crate) fn run<G: Graph>(
    model: &Loaded<G>,
    inputs: &[TensorView<'_>],
    outputs: &mut [TensorOut<'_>],
) -> Result<()> {
    let vision = model.vision()?;
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
    let Prepared { input, frame } = vision.prepare(image.bytes()).map_err(from_vision)?;
    let mut bound = model.bind(own)?;
    bind_picture(model, &input, &mut bound)?;
    model.check_complete(&bound)?;

    let is_virtual = |target: &Target| matches!(target, Target::Virtual(_));
    let read = if targets.iter().any(is_virtual) {
        needed(model, vision)
    } else {
        Vec::new()
    };
    let mut kept: Vec<TensorOut<'_>> = read.iter().map(|_| TensorOut::allocating(None)).collect();
    let mut wanted: Vec<Output<'_, '_>> = Vec::new();
    for (&port, to) in read.iter().zip(&mut kept) {
        wanted.push(Output { port, to });
    }
    for (target, to) in targets.iter().zip(outputs.iter_mut()) {
        if let Target::Own(port) = *target {
            wanted.push(Output { port, to });
        }
    }
    model.compute(&[], &bound, &mut wanted)?;
    if read.is_empty() {
        return Ok(());
    }
    let answer = finish(model, vision, frame, &read, &kept)?;
    for (target, out) in targets.iter().zip(outputs) {
        if let Target::Virtual(name) = *target {
            write_virtual(&answer, name, out)?;
        }
    }
    Ok(())
}

/// From an encoded picture to the answer.
///
/// # Errors
/// `EINVAL` for bytes that are no picture and for a model that needs more than one input.
pub(crate) fn answer<G: Graph>(model: &Loaded<G>, encoded: &[u8]) -> Result<Answer> {
    let vision = model.vision()?;
    let Prepared { input, frame } = vision.prepare(encoded).map_err(from_vision)?;
    let mut bound = Vec::with_capacity(1);
    bind_picture(model, &input, &mut bound)?;
    model.check_complete(&bound)?;
    let read = needed(model, vision);
    let mut kept: Vec<TensorOut<'_>> = read.iter().map(|_| TensorOut::allocating(None)).collect();
    let mut wanted: Vec<Output<'_, '_>> = read
        .iter()
        .zip(&mut kept)
        .map(|(&port, to)| Output { port, to })
        .collect();
    model.compute(&[], &bound, &mut wanted)?;
    finish(model, vision, frame, &read, &kept)
}

/// Where an output comes from.
enum Target {
    /// The model's output of that number.
    Own(usize),
    Virtual(&'static str),
}

fn targets<G: Graph>(model: &Loaded<G>, outputs: &mut [TensorOut<'_>]) -> Result<Vec<Target>> {
    let ports = model.graph.outputs();
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
                let at = model.find(false, name, position)?;
                check_room(&ports[at], out)?;
                Target::Own(at)
            }
        });
    }
    Ok(targets)
}

/// Gives the tensor made of the picture to the input that the description means.
fn bind_picture<'a, G: Graph>(
    model: &Loaded<G>,
    input: &'a InputTensor,
    bound: &mut Vec<Input<'a>>,
) -> Result<()> {
    let ports = model.graph.inputs();
    let port = match &input.name {
        Some(name) => ports.iter().position(|port| port.name == *name),
        None => (!ports.is_empty()).then_some(0),
    };
    // The description was compared with the inputs when the model was loaded.
    let Some(port) = port else {
        bail!(EINVAL, "{} has no input for a picture", model.name);
    };
    if bound.iter().any(|input| input.port == port) {
        bail!(
            EINVAL,
            "input `{}` is given beside `{IMAGE}`",
            ports[port].name
        );
    }
    let shape: Result<Vec<i64>, _> = input.shape.iter().map(|&d| i64::try_from(d)).collect();
    let shape = shape.map_err(|_| err!(ERANGE, "the tensor of the picture is too large"))?;
    let (dtype, bytes) = input_bytes(&input.data);
    bound.push(Input {
        port,
        dtype,
        shape: Shape::new(&shape)?,
        bytes,
    });
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
fn needed<G: Graph>(model: &Loaded<G>, vision: &Vision) -> Vec<usize> {
    let named = vision.description().output.tensor_names();
    let ports = model.graph.outputs().iter().enumerate();
    ports
        .filter(|(_, port)| named.is_empty() || named.contains(&port.name))
        .map(|(at, _)| at)
        .collect()
}

/// An output in the types that the formats are read in.
enum Read {
    F32(Vec<f32>),
    I64(Vec<i64>),
}

fn finish<G: Graph>(
    model: &Loaded<G>,
    vision: &Vision,
    frame: Frame,
    read: &[usize],
    kept: &[TensorOut<'_>],
) -> Result<Answer> {
    let ports = model.graph.outputs();
    let mut tensors = Vec::with_capacity(read.len());
    for (&port, out) in read.iter().zip(kept) {
        let view = out.view()?;
        let shape: Vec<usize> = view
            .shape()
            .iter()
            .map(|&d| usize::try_from(d).unwrap_or(0))
            .collect();
        let Some(data) = numbers(&view) else {
            bail!(
                ENOTSUP,
                "output `{}` is {}, which no answer is read from",
                ports[port].name,
                view.dtype()
            );
        };
        tensors.push((ports[port].name.as_str(), shape, data));
    }
    let views: Vec<vaccel_vision::TensorView> = tensors
        .iter()
        .map(|(name, shape, data)| match data {
            Read::F32(values) => vaccel_vision::TensorView::f32(name, shape, values),
            Read::I64(values) => vaccel_vision::TensorView::i64(name, shape, values),
        })
        .collect();
    let answer = vision.finish(frame, &views).map_err(from_vision);
    answer.map_err(|e| e.context(&model.name))
}

/// The elements in one of the two types that answers are read in; `None` for others.
fn numbers(view: &TensorView<'_>) -> Option<Read> {
    fn read<const N: usize, T>(bytes: &[u8], f: impl Fn([u8; N]) -> T) -> Vec<T> {
        bytes.as_chunks::<N>().0.iter().map(|&b| f(b)).collect()
    }
    let bytes = view.bytes();
    Some(match view.dtype() {
        Dtype::F32 => Read::F32(read(bytes, f32::from_ne_bytes)),
        Dtype::F64 => Read::F32(read(bytes, |b| f64::from_ne_bytes(b) as f32)),
        Dtype::F16 => Read::F32(read(bytes, |b| f16_value(u16::from_ne_bytes(b)))),
        Dtype::I64 => Read::I64(read(bytes, i64::from_ne_bytes)),
        Dtype::I32 => Read::I64(read(bytes, |b| i64::from(i32::from_ne_bytes(b)))),
        Dtype::U8 | Dtype::Bool => Read::I64(read(bytes, |[b]| i64::from(b))),
        Dtype::I8 => Read::I64(read(bytes, |b| i64::from(i8::from_ne_bytes(b)))),
        _ => return None,
    })
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
