//! `model.toml`: what a model file does not say of itself.
//!
//! The reference of all keys is `docs/model-description.md`. This file holds the
//! sections as they are written; [`validate`](Description::validate) holds the rules.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

use crate::error::{Error, Result};
use crate::labels::Labels;
use crate::words::{Channels, Colormap, Coordinates, Filter, Format, Layout, Resize, Task};

/// A description longer than this is not one.
const MAX_BYTES: u64 = 1 << 20;

/// How a model takes a picture and what its outputs mean.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// What the model is.
    pub model: ModelSection,
    /// How a picture becomes the input tensor.
    #[serde(default)]
    pub input: InputSection,
    /// How output tensors become an answer.
    pub output: OutputSection,
    /// How a backend runs it.
    #[serde(default)]
    pub run: RunSection,
    /// The folder of the description; `None` when it came from memory.
    #[serde(skip)]
    pub folder: Option<PathBuf>,
}

/// The section `[model]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSection {
    /// Free text, shown to people and given in results.
    pub name: String,
    /// What the model does.
    pub task: Task,
    /// The model file, relative to the description.
    pub file: Option<String>,
    /// A sentence for people.
    pub description: Option<String>,
    /// Licence of the weights.
    pub license: Option<String>,
}

/// The section `[run]`; every key may be left out. A backend checks the values.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunSection {
    /// Threads that one run uses; `None`: as many as there are processors.
    pub threads: Option<u32>,
    /// Device as backends name it: `cpu`, `gpu`, `cuda:0`.
    pub device: Option<String>,
    /// `f32`, `f16` or `bf16`.
    pub precision: Option<String>,
    /// Length of an open first dimension.
    pub batch: Option<u32>,
    /// Rows of requests that may run together; `None`: each request runs by itself.
    pub max_batch: Option<u32>,
    /// Microseconds that a request waits for others at most.
    pub batch_window_us: Option<u32>,
    /// The backend that is to run it, where there is a choice (`VACCEL_PLUGINS=auto`).
    pub backend: Option<String>,
}

/// The section `[input]`; every key may be left out.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InputSection {
    /// Tensor that takes the picture; `None`: the first input.
    pub name: Option<String>,
    /// Width of the tensor in pixels; `None`: the tensor's own.
    pub width: Option<u32>,
    /// Height of the tensor in pixels; `None`: the tensor's own.
    pub height: Option<u32>,
    /// Order of the dimensions; `None`: as the tensor's shape tells, else nchw.
    pub layout: Option<Layout>,
    /// Order of the colours.
    pub channels: Channels,
    /// How the picture is made to fit.
    pub resize: Resize,
    /// Center crop only: length of the shorter side before the crop.
    pub resize_to: Option<u32>,
    /// Resampling filter.
    pub filter: Filter,
    /// Letterbox only: value of the pixels around the picture; `None`: 114.
    pub pad: Option<u8>,
    /// `value = (pixel * scale - mean) / std`; `None`: 1/255, or 1 for a tensor of bytes.
    pub scale: Option<f64>,
    /// Subtracted, one for all channels or one for each; `None`: 0.
    pub mean: Option<PerChannel>,
    /// Divided by, one for all channels or one for each; `None`: 1.
    pub std: Option<PerChannel>,
}

/// The section `[output]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputSection {
    /// The one tensor to read.
    pub name: Option<String>,
    /// The tensors to read, in the order of the format.
    pub names: Option<Vec<String>>,
    /// How to read them.
    pub format: Format,
    /// Order of dimensions of maps; `None`: as the input's.
    pub layout: Option<Layout>,
    /// Unit of box coordinates; `None`: as is usual for the format.
    pub coordinates: Option<Coordinates>,
    /// Names of the classes.
    pub labels: Option<Labels>,
    /// Classify: how many answers.
    #[serde(default = "defaults::top_k")]
    pub top_k: usize,
    /// Boxes with a lower score are dropped.
    #[serde(default = "defaults::score_threshold")]
    pub score_threshold: f32,
    /// Overlap above which the weaker of two boxes goes.
    #[serde(default = "defaults::iou_threshold")]
    pub iou_threshold: f32,
    /// No more boxes than this are kept.
    #[serde(default = "defaults::max_detections")]
    pub max_detections: usize,
    /// The class that stands for nothing; -1: none. `None`: 0 for segment, -1 for detect.
    pub background: Option<i32>,
    /// Pose: points with a lower score are not drawn.
    #[serde(default = "defaults::point_threshold")]
    pub point_threshold: f32,
    /// Pose: pairs of points that are joined by a line.
    #[serde(default)]
    pub skeleton: Vec<[usize; 2]>,
    /// Pose: names of the points.
    #[serde(default)]
    pub point_names: Vec<String>,
    /// Depth: colours of the picture.
    #[serde(default)]
    pub colormap: Colormap,
    /// Depth: larger means nearer.
    #[serde(default)]
    pub inverse: bool,
    /// Depth: unit of the values.
    pub unit: Option<String>,
}

mod defaults {
    pub(super) fn top_k() -> usize {
        5
    }
    pub(super) fn score_threshold() -> f32 {
        0.25
    }
    pub(super) fn iou_threshold() -> f32 {
        0.45
    }
    pub(super) fn max_detections() -> usize {
        300
    }
    pub(super) fn point_threshold() -> f32 {
        0.5
    }
}

impl OutputSection {
    /// The section with only a format, everything else at its default.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self {
            name: None,
            names: None,
            format,
            layout: None,
            coordinates: None,
            labels: None,
            top_k: defaults::top_k(),
            score_threshold: defaults::score_threshold(),
            iou_threshold: defaults::iou_threshold(),
            max_detections: defaults::max_detections(),
            background: None,
            point_threshold: defaults::point_threshold(),
            skeleton: Vec::new(),
            point_names: Vec::new(),
            colormap: Colormap::default(),
            inverse: false,
            unit: None,
        }
    }

    /// Names of the tensors to read; empty: the model's outputs in their order.
    #[must_use]
    pub fn tensor_names(&self) -> &[String] {
        match (&self.name, &self.names) {
            (Some(name), _) => std::slice::from_ref(name),
            (None, Some(names)) => names,
            (None, None) => &[],
        }
    }
}

/// One number for all channels, or one for each.
#[derive(Debug, Clone, PartialEq)]
pub struct PerChannel(pub Vec<f64>);

impl PerChannel {
    /// The number of channel `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> f64 {
        // `validate` made sure that there is one number or one per channel.
        self.0[if self.0.len() == 1 { 0 } else { index }]
    }
}

impl<'de> Deserialize<'de> for PerChannel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Numbers;
        impl<'de> de::Visitor<'de> for Numbers {
            type Value = PerChannel;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a list of numbers")
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<PerChannel, E> {
                Ok(PerChannel(vec![value as f64]))
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<PerChannel, E> {
                Ok(PerChannel(vec![value]))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<PerChannel, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = seq.next_element()? {
                    values.push(value);
                }
                Ok(PerChannel(values))
            }
        }
        deserializer.deserialize_any(Numbers)
    }
}

impl FromStr for Description {
    type Err = Error;

    /// Reads and checks a description; errors call it `model.toml`.
    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text, "model.toml")
    }
}

impl Description {
    /// The task of a text that names a task and nothing to do it with: one
    /// `[model]` table without `file`. Such a description stands for the backend's
    /// own model of the task.
    #[must_use]
    pub fn task_alone(text: &str) -> Option<Task> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Alone {
            model: Model,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Model {
            #[serde(default, rename = "name")]
            _name: String,
            task: Task,
        }
        Some(toml::from_str::<Alone>(text).ok()?.model.task)
    }

    /// Reads and checks a description from memory; `file` is what errors call it.
    ///
    /// A label file is not read: give its text to [`set_labels`](Self::set_labels).
    ///
    /// # Errors
    /// Text that is not TOML, unknown keys, values out of range; each with file and key.
    pub fn parse(text: &str, file: &str) -> Result<Self> {
        let description: Self = toml::from_str(text).map_err(|e| syntax_error(text, file, &e))?;
        description.validate(file)?;
        Ok(description)
    }

    /// Reads and checks a description and the label file beside it.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and files that cannot be read.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = read_text(path, MAX_BYTES)?;
        let mut description = Self::parse(&text, &path.display().to_string())?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        if let Some(Labels::File(name)) = &description.output.labels {
            description.output.labels = Some(Labels::from_file(&folder.join(name))?);
        }
        description.folder = Some(folder);
        Ok(description)
    }

    /// Path of the model file, where the description names one.
    #[must_use]
    pub fn model_file(&self) -> Option<PathBuf> {
        let file = self.model.file.as_ref()?;
        Some(self.folder.as_deref().unwrap_or(Path::new("")).join(file))
    }

    /// Name of a label file that is still to be read, relative to the description.
    #[must_use]
    pub fn label_file(&self) -> Option<&str> {
        match &self.output.labels {
            Some(Labels::File(name)) => Some(name),
            _ => None,
        }
    }

    /// Gives the content of the label file, for a description that came from memory.
    ///
    /// # Errors
    /// Bytes that are not UTF-8, or no label in them.
    pub fn set_labels(&mut self, content: &[u8]) -> Result<()> {
        let file = self.label_file().unwrap_or("labels").to_owned();
        self.output.labels = Some(Labels::from_bytes(content, &file)?);
        Ok(())
    }
}

/// Reads a file of UTF-8 text that may not be longer than `limit` bytes.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String> {
    use std::io::Read;
    let read = || -> std::io::Result<String> {
        let file = std::fs::File::open(path)?;
        let mut text = String::new();
        file.take(limit + 1).read_to_string(&mut text)?;
        if text.len() as u64 > limit {
            return Err(std::io::Error::other(format!("longer than {limit} bytes")));
        }
        Ok(text)
    };
    read().map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

/// Makes one line of TOML's many, with the line it is about.
fn syntax_error(text: &str, file: &str, error: &toml::de::Error) -> Error {
    let start = error.span().map(|span| span.start.min(text.len()));
    let line = start.map(|at| {
        text.as_bytes()[..at]
            .iter()
            .filter(|&&b| b == b'\n')
            .count()
    });
    let mut reason = error.message().replace('\n', " ");
    if let Some(content) = line.and_then(|n| text.lines().nth(n)) {
        let content: String = content.trim().chars().take(80).collect();
        if !content.is_empty() {
            reason.push_str(&format!(", in `{content}`"));
        }
    }
    Error::Syntax {
        file: file.to_owned(),
        line: line.map(|n| n + 1),
        reason,
    }
}
