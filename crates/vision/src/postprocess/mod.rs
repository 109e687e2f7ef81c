//! Output tensors become findings; one file for each task.

mod best;
mod classify;
mod depth;
mod detect;
mod mask;
mod nms;
mod pose;
mod segment;

pub(crate) use depth::DepthGrid;
pub(crate) use mask::Mask;
pub(crate) use segment::ClassGrid;

use crate::description::Description;
use crate::error::{Error, Result};
use crate::geometry::{Axis, Transform};
use crate::map::{Map, MapData};
use crate::result::Findings;
use crate::tensor::{TensorData, TensorView};
use crate::words::{Coordinates, Format, Layout};

/// What is known when the tensors of one picture are read.
pub(crate) struct Scene<'a> {
    pub(crate) description: &'a Description,
    /// Layout of maps among the outputs.
    pub(crate) layout: Layout,
    /// Width and height of the input tensor.
    pub(crate) input: (u32, u32),
    /// Width and height of the picture.
    pub(crate) picture: (u32, u32),
    pub(crate) transform: Transform,
}

/// What covers the whole picture and is too large for the findings.
#[derive(Debug)]
pub(crate) enum Layer {
    Nothing,
    Classes(ClassGrid),
    Masks {
        masks: Vec<Mask>,
        picture: (u32, u32),
    },
    Depth(DepthGrid),
}

impl Layer {
    /// The layer at the size of the picture.
    pub(crate) fn map(&self) -> Result<Option<Map>> {
        let (width, height, data) = match self {
            Self::Nothing => return Ok(None),
            Self::Classes(grid) => {
                let (width, height) = grid.picture();
                (width, height, MapData::U8(grid.at_picture()))
            }
            Self::Masks { masks, picture } => {
                let classes = mask::class_map(masks, *picture)?;
                (picture.0, picture.1, MapData::U8(classes))
            }
            Self::Depth(grid) => {
                let (width, height) = grid.picture();
                (width, height, MapData::F32(grid.at_picture()))
            }
        };
        Ok(Some(Map {
            width,
            height,
            data,
        }))
    }
}

/// Reads the outputs in the description's format.
pub(crate) fn read(scene: &Scene<'_>, outputs: &[TensorView<'_>]) -> Result<(Findings, Layer)> {
    let tensors = scene.select(outputs)?;
    for tensor in &tensors {
        tensor.check()?;
    }
    let first = tensors[0]; // `select` gives at least one
    match scene.format() {
        Format::Logits => Ok((classify::read(scene, first, true)?, Layer::Nothing)),
        Format::Probabilities => Ok((classify::read(scene, first, false)?, Layer::Nothing)),
        Format::Yolov8 | Format::Yolov5 | Format::End2end | Format::BoxesScores => {
            Ok((detect::read(scene, &tensors)?, Layer::Nothing))
        }
        Format::ClassMap => segment::read_class_map(scene, first),
        Format::Yolov8Seg => segment::read_yolov8(scene, &tensors),
        Format::Heatmap => Ok((pose::read_heatmap(scene, first)?, Layer::Nothing)),
        Format::Yolov8Pose => Ok((pose::read_yolov8(scene, first)?, Layer::Nothing)),
        Format::DepthMap => depth::read(scene, first),
    }
}

impl<'t> Scene<'_> {
    fn format(&self) -> Format {
        self.description.output.format
    }

    /// The tensors that the format reads, in its order; never none.
    fn select<'v>(&self, outputs: &[TensorView<'v>]) -> Result<Vec<TensorView<'v>>> {
        let names = self.description.output.tensor_names();
        if !names.is_empty() {
            let by_name = |name: &String| {
                let found = outputs.iter().find(|output| output.name == name);
                found
                    .copied()
                    .ok_or_else(|| self.missing(&format!("`{name}`"), outputs))
            };
            return names.iter().map(by_name).collect();
        }
        let first = *outputs
            .first()
            .ok_or_else(|| self.missing("of any kind", outputs))?;
        // File order says nothing of roles, and exporters differ. Shapes do.
        let with = |role: &str, fits: &dyn Fn(&[usize]) -> bool| {
            let found = outputs.iter().position(|output| fits(output.shape));
            found.ok_or_else(|| self.missing(role, outputs))
        };
        let (a, b) = match self.format() {
            Format::Yolov8Seg => (
                with("of boxes, [1, 4 + C + M, N]", &|shape| shape.len() == 3)?,
                with("of prototypes, [1, M, H, W]", &|shape| shape.len() == 4)?,
            ),
            Format::BoxesScores => {
                let boxes = with("of boxes, [1, N, 4]", &|shape| matches!(shape, [_, _, 4]))?;
                let other =
                    (0..outputs.len()).find(|&at| at != boxes && outputs[at].shape.len() == 3);
                (
                    boxes,
                    other.ok_or_else(|| self.missing("of scores, [1, N, C]", outputs))?,
                )
            }
            _ => return Ok(vec![first]),
        };
        Ok(vec![outputs[a], outputs[b]])
    }

    fn missing(&self, wanted: &str, outputs: &[TensorView<'_>]) -> Error {
        let there: Vec<_> = outputs
            .iter()
            .map(|output| format!("`{}` {:?}", output.name, output.shape))
            .collect();
        Error::MissingOutput {
            format: self.format().as_str(),
            wanted: wanted.to_owned(),
            available: if there.is_empty() {
                "nothing".to_owned()
            } else {
                there.join(", ")
            },
        }
    }

    /// An error that says what shape the format has.
    fn shape_error(&self, tensor: TensorView<'_>, expected: impl Into<String>) -> Error {
        Error::Shape {
            tensor: tensor.name.to_owned(),
            format: self.format().as_str(),
            expected: expected.into(),
            actual: tensor.shape.to_vec(),
        }
    }

    /// The dimensions after a batch of 1, if there are `N` of them.
    fn dims<const N: usize>(&self, tensor: TensorView<'_>, expected: &str) -> Result<[usize; N]> {
        match tensor.shape {
            [1, rest @ ..] => rest.try_into().ok(),
            _ => None,
        }
        .ok_or_else(|| self.shape_error(tensor, expected))
    }

    fn floats(&self, tensor: TensorView<'t>) -> Result<&'t [f32]> {
        match tensor.data {
            TensorData::F32(data) => Ok(data),
            TensorData::I64(_) => Err(Error::Integers {
                tensor: tensor.name.to_owned(),
                format: self.format().as_str(),
            }),
        }
    }

    /// Names of the classes; empty where the description has none.
    fn names(&self, classes: Option<usize>, background: bool) -> Result<Vec<&str>> {
        match &self.description.output.labels {
            Some(labels) => labels.names(classes, background),
            None => Ok(Vec::new()),
        }
    }

    /// What coordinates of boxes are multiplied by to become pixels of the input tensor.
    fn box_scale(&self, usual: Coordinates) -> (f32, f32) {
        match self.description.output.coordinates.unwrap_or(usual) {
            Coordinates::Pixels => (1.0, 1.0),
            Coordinates::Relative => (self.input.0 as f32, self.input.1 as f32),
        }
    }

    /// A point of the input tensor in the picture, moved to its edge if it lies outside.
    fn point(&self, x: f32, y: f32) -> (f32, f32) {
        let (x, y) = self.transform.to_picture(f64::from(x), f64::from(y));
        (
            x.clamp(0.0, f64::from(self.picture.0)) as f32,
            y.clamp(0.0, f64::from(self.picture.1)) as f32,
        )
    }

    /// How the columns of a map lie over the picture.
    fn columns(&self, cells: usize) -> Axis {
        let t = &self.transform;
        Axis::new(self.picture.0, self.input.0, cells, t.scale_x, t.offset_x)
    }

    /// How the rows of a map lie over the picture.
    fn rows(&self, cells: usize) -> Axis {
        let t = &self.transform;
        Axis::new(self.picture.1, self.input.1, cells, t.scale_y, t.offset_y)
    }
}

/// The name of a class, or its number where it has none.
fn label(names: &[&str], index: usize) -> String {
    match names.get(index) {
        Some(name) if !name.is_empty() => (*name).to_owned(),
        _ => index.to_string(),
    }
}

/// Maps of a tensor in either layout.
#[derive(Clone, Copy)]
struct Planes<'a> {
    data: &'a [f32],
    count: usize,
    height: usize,
    width: usize,
    layout: Layout,
}

impl<'a> Planes<'a> {
    /// Takes the three dimensions after the batch.
    fn new(layout: Layout, dims: [usize; 3], data: &'a [f32]) -> Self {
        let [count, height, width] = match layout {
            Layout::Nchw => dims,
            Layout::Nhwc => [dims[2], dims[0], dims[1]],
        };
        Self {
            data,
            count,
            height,
            width,
            layout,
        }
    }

    fn cells(&self) -> usize {
        self.height * self.width
    }

    /// The value of one plane at a cell, counted row after row.
    fn get(&self, plane: usize, cell: usize) -> f32 {
        match self.layout {
            Layout::Nchw => self.data[plane * self.cells() + cell],
            Layout::Nhwc => self.data[cell * self.count + plane],
        }
    }

    /// The layout in the words of the reference.
    fn words(layout: Layout, planes: &str) -> String {
        match layout {
            Layout::Nchw => format!("[1, {planes}, H, W]"),
            Layout::Nhwc => format!("[1, H, W, {planes}]"),
        }
    }
}
