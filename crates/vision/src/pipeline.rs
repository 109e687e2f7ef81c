//! From an encoded picture to the tensor, and from the model's tensors to the answer.

use std::sync::Arc;

use crate::decode::{self, Limits};
use crate::description::Description;
use crate::draw;
use crate::error::{Error, Result};
use crate::geometry::Transform;
use crate::map::Map;
use crate::picture::Picture;
use crate::postprocess::{self, Layer, Scene};
use crate::preprocess::Preprocess;
use crate::result::Outcome;
use crate::tensor::{ElementType, InputTensor, TensorShape, TensorView};
use crate::validate::MAX_SIDE;
use crate::words::Layout;

/// A model's description made fit for use: checked, and completed from the model's input tensor.
#[derive(Debug, Clone)]
pub struct Vision {
    description: Arc<Description>,
    preprocess: Preprocess,
    input_name: Option<String>,
    input_shape: Vec<usize>,
    limits: Limits,
}

/// A picture made ready for the model.
#[derive(Debug)]
pub struct Prepared {
    /// The tensor to run the model with.
    pub input: InputTensor,
    /// What [`Vision::finish`] needs to know of the picture.
    pub frame: Frame,
}

/// A decoded picture and where it lies in the input tensor.
#[derive(Debug)]
pub struct Frame {
    picture: Picture,
    transform: Transform,
}

impl Frame {
    /// The decoded picture.
    #[must_use]
    pub fn picture(&self) -> &Picture {
        &self.picture
    }

    /// Where the picture lies in the input tensor.
    #[must_use]
    pub fn transform(&self) -> Transform {
        self.transform
    }
}

impl Vision {
    /// Completes a description from the model's inputs.
    ///
    /// `inputs` are the model's input tensors in their order, with `None` for open
    /// dimensions. A backend that cannot tell them gives an empty slice; the
    /// description must then have `width` and `height`, and elements are `f32`.
    ///
    /// # Errors
    /// A description that is out of range or whose label file was not read, and one
    /// that contradicts the model: no tensor of that name, another size, other channels.
    pub fn new(description: Description, inputs: &[TensorShape]) -> Result<Self> {
        description.validate("model.toml")?;
        if let Some(file) = description.label_file() {
            return Err(Error::Labels(format!(
                "{file} was not read; use Description::from_file or set_labels"
            )));
        }
        let tensor = pick_input(&description, inputs)?;
        let element = tensor.map_or(ElementType::F32, |tensor| tensor.element);
        if element == ElementType::Other {
            return Err(Error::Input(
                "its elements are neither f32, f16 nor u8, no picture can be written into it"
                    .to_owned(),
            ));
        }
        let dims = tensor.map_or(&[None; 4][..], |tensor| &tensor.dims);
        let layout = description
            .input
            .layout
            .or_else(|| told_layout(dims, description.input.channels.count()))
            .unwrap_or(Layout::Nchw);
        let size = input_size(&description, dims, layout)?;
        let preprocess = Preprocess::new(&description, size, layout, element);
        let (width, height) = (size.0 as usize, size.1 as usize);
        let channels = description.input.channels.count();
        let mut input_shape = match layout {
            Layout::Nchw => vec![1, channels, height, width],
            Layout::Nhwc => vec![1, height, width, channels],
        };
        if dims.len() == 3 {
            input_shape.remove(0);
        }
        Ok(Self {
            input_name: tensor
                .map(|tensor| tensor.name.clone())
                .or(description.input.name.clone()),
            description: Arc::new(description),
            preprocess,
            input_shape,
            limits: Limits::default(),
        })
    }

    /// Sets how large a picture may be.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The description, as it was given.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Shape of the tensor that [`prepare`](Self::prepare) makes, such as `[1, 3, 224, 224]`.
    #[must_use]
    pub fn input_shape(&self) -> &[usize] {
        &self.input_shape
    }

    /// The steps from a picture to the tensor, for callers with memory of their own.
    #[must_use]
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Decodes a picture and makes the input tensor of it.
    ///
    /// # Errors
    /// Bytes that are no picture, or one that is over the limits.
    pub fn prepare(&self, encoded: &[u8]) -> Result<Prepared> {
        self.prepare_picture(decode::decode(encoded, &self.limits)?)
    }

    /// Makes the input tensor of a picture that is decoded already.
    ///
    /// # Errors
    /// A picture that cannot be resized.
    pub fn prepare_picture(&self, picture: Picture) -> Result<Prepared> {
        let (data, transform) = self.preprocess.run(&picture)?;
        Ok(Prepared {
            input: InputTensor {
                name: self.input_name.clone(),
                shape: self.input_shape.clone(),
                data,
            },
            frame: Frame { picture, transform },
        })
    }

    /// Reads the model's output tensors, given in the model's order.
    ///
    /// # Errors
    /// Tensors that are missing, have another shape than the format, or hold no number.
    pub fn finish(&self, frame: Frame, outputs: &[TensorView<'_>]) -> Result<Answer> {
        let picture = &frame.picture;
        let scene = Scene {
            description: &self.description,
            layout: self
                .description
                .output
                .layout
                .unwrap_or(self.preprocess.layout),
            input: (self.preprocess.width, self.preprocess.height),
            picture: (picture.width(), picture.height()),
            transform: frame.transform,
        };
        let (findings, layer) = postprocess::read(&scene, outputs)?;
        Ok(Answer {
            outcome: Outcome {
                task: self.description.model.task,
                model: self.description.model.name.clone(),
                image: crate::result::Size {
                    width: picture.width(),
                    height: picture.height(),
                },
                findings,
            },
            description: Arc::clone(&self.description),
            picture: frame.picture,
            layer,
        })
    }
}

/// The answer to one picture, in all the forms that can be asked for.
#[derive(Debug)]
pub struct Answer {
    outcome: Outcome,
    description: Arc<Description>,
    picture: Picture,
    layer: Layer,
}

impl Answer {
    /// The structured result; has `to_json` and `to_text`.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// The annotated picture, drawn anew at each call.
    #[must_use]
    pub fn picture(&self) -> Picture {
        draw::annotate(
            &self.picture,
            &self.outcome,
            &self.layer,
            &self.description.output,
        )
    }

    /// The annotated picture as a PNG file.
    ///
    /// # Errors
    /// A picture that the encoder refuses.
    pub fn picture_png(&self) -> Result<Vec<u8>> {
        draw::encode_png(&self.picture())
    }

    /// Depth values or class numbers at the size of the picture; `None` for tasks that have none.
    ///
    /// Depth of pixels that the model did not see is NaN. Such pixels of a class map
    /// have the background class. In the map of a `yolov8-seg` model, 255 is no object.
    ///
    /// # Errors
    /// Class numbers that do not fit a byte.
    pub fn map(&self) -> Result<Option<Map>> {
        self.layer.map()
    }
}

/// The tensor that takes the picture; `None` where the backend cannot tell its inputs.
fn pick_input<'a>(
    description: &Description,
    inputs: &'a [TensorShape],
) -> Result<Option<&'a TensorShape>> {
    let Some(name) = &description.input.name else {
        return Ok(inputs.first());
    };
    let found = inputs.iter().find(|input| input.name == *name);
    if found.is_none() && !inputs.is_empty() {
        let there: Vec<_> = inputs.iter().map(|input| input.name.as_str()).collect();
        return Err(Error::Input(format!(
            "the description names `{name}`, the model has: {}",
            there.join(", ")
        )));
    }
    Ok(found)
}

/// The layout that a shape can only have, judged by where the channels are.
pub(crate) fn told_layout(dims: &[Option<usize>], channels: usize) -> Option<Layout> {
    let &[.., first, _, last] = dims else {
        return None;
    };
    match (first == Some(channels), last == Some(channels)) {
        (true, false) => Some(Layout::Nchw),
        (false, true) => Some(Layout::Nhwc),
        _ => None,
    }
}

/// Width and height of the tensor, from the description and the tensor's own shape.
fn input_size(
    description: &Description,
    dims: &[Option<usize>],
    layout: Layout,
) -> Result<(u32, u32)> {
    let input = &description.input;
    let wrong = |reason: String| Err(Error::Input(reason));
    let (batch, dims) = match dims {
        [batch, rest @ ..] if rest.len() == 3 => (*batch, rest),
        rest if rest.len() == 3 => (Some(1), rest),
        _ => {
            return wrong(format!(
                "has {} dimensions, a picture takes 3 or 4",
                dims.len()
            ));
        }
    };
    if batch.is_some_and(|batch| batch != 1) {
        return wrong(format!(
            "takes {} pictures at once, export the model with a batch of 1",
            batch.unwrap_or(0)
        ));
    }
    let (channels, height, width) = match layout {
        Layout::Nchw => (dims[0], dims[1], dims[2]),
        Layout::Nhwc => (dims[2], dims[0], dims[1]),
    };
    let count = input.channels.count();
    if channels.is_some_and(|channels| channels != count) {
        return wrong(format!(
            "takes {} channels, `input.channels` and `input.layout` make it {count}",
            channels.unwrap_or(0)
        ));
    }
    let side = |key: &str, said: Option<u32>, own: Option<usize>| match (said, own) {
        (Some(said), Some(own)) if said as usize != own => Err(Error::Input(format!(
            "`input.{key}` is {said}, the model takes {own}"
        ))),
        (Some(said), _) => Ok(said),
        (None, Some(own)) => u32::try_from(own)
            .ok()
            .filter(|side| (1..=MAX_SIDE).contains(side))
            .ok_or_else(|| Error::Input(format!("{key} {own} is not 1 to {MAX_SIDE} pixels"))),
        (None, None) => Err(Error::Input(format!(
            "the model leaves its {key} open, set `input.{key}`"
        ))),
    };
    let size = (
        side("width", input.width, width)?,
        side("height", input.height, height)?,
    );
    match input.resize_to {
        Some(to) if to < size.0.max(size.1) => wrong(format!(
            "`input.resize_to` is {to}, smaller than the {} x {} pixels that are cut out",
            size.0, size.1
        )),
        _ => Ok(size),
    }
}
