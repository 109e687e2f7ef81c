//! The words that keys of a description can have.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a model does with a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Says what is in the picture.
    Classify,
    /// Finds things and puts boxes around them.
    Detect,
    /// Says of every pixel what it belongs to.
    Segment,
    /// Finds the joints of a body, or other points.
    Pose,
    /// Estimates the distance of every pixel.
    Depth,
}

impl Task {
    /// The word for the task in descriptions, results and folder names.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Classify => "classify",
            Self::Detect => "detect",
            Self::Segment => "segment",
            Self::Pose => "pose",
            Self::Depth => "depth",
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Order of the dimensions of a picture in a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Batch, channel, row, column.
    Nchw,
    /// Batch, row, column, channel.
    Nhwc,
}

/// Order of the colours of a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Red, green, blue.
    #[default]
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// One channel of brightness.
    Gray,
}

impl Channels {
    /// 3 or 1.
    #[must_use]
    pub fn count(self) -> usize {
        match self {
            Self::Rgb | Self::Bgr => 3,
            Self::Gray => 1,
        }
    }
}

/// How a picture is made to fit the tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resize {
    /// Both sides are scaled on their own.
    #[default]
    Stretch,
    /// Scaled to fit inside, the rest is filled.
    Letterbox,
    /// The shorter side is scaled, then the middle is cut out.
    CenterCrop,
}

/// Resampling filter; when a picture shrinks, the filter grows with the scale (antialiasing).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// The nearest pixel, no filtering.
    Nearest,
    /// Triangle.
    #[default]
    Bilinear,
    /// Catmull-Rom, a = -0.5.
    Bicubic,
    /// Lanczos with three lobes.
    Lanczos,
}

/// Unit of box coordinates in an output tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coordinates {
    /// Pixels of the input tensor.
    Pixels,
    /// 0..1 of the input tensor's width and height.
    Relative,
}

/// Colours of a depth picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colormap {
    /// Black, purple, orange, yellow.
    #[default]
    Inferno,
    /// Black, purple, pink, white.
    Magma,
    /// Purple, green, yellow.
    Viridis,
    /// Rainbow.
    Turbo,
    /// Black to white.
    Gray,
}

/// How output tensors are read; the table is in `docs/model-description.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(
    missing_docs,
    reason = "the table in the reference is their documentation"
)]
pub enum Format {
    Logits,
    Probabilities,
    Yolov8,
    Yolov5,
    BoxesScores,
    End2end,
    ClassMap,
    Yolov8Seg,
    Heatmap,
    Yolov8Pose,
    DepthMap,
}

impl Format {
    /// The word for the format in descriptions.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Logits => "logits",
            Self::Probabilities => "probabilities",
            Self::Yolov8 => "yolov8",
            Self::Yolov5 => "yolov5",
            Self::BoxesScores => "boxes-scores",
            Self::End2end => "end2end",
            Self::ClassMap => "class-map",
            Self::Yolov8Seg => "yolov8-seg",
            Self::Heatmap => "heatmap",
            Self::Yolov8Pose => "yolov8-pose",
            Self::DepthMap => "depth-map",
        }
    }

    /// The task that the format belongs to.
    #[must_use]
    pub fn task(self) -> Task {
        match self {
            Self::Logits | Self::Probabilities => Task::Classify,
            Self::Yolov8 | Self::Yolov5 | Self::BoxesScores | Self::End2end => Task::Detect,
            Self::ClassMap | Self::Yolov8Seg => Task::Segment,
            Self::Heatmap | Self::Yolov8Pose => Task::Pose,
            Self::DepthMap => Task::Depth,
        }
    }

    /// How many tensors the format reads.
    #[must_use]
    pub fn tensors(self) -> usize {
        match self {
            Self::BoxesScores | Self::Yolov8Seg => 2,
            _ => 1,
        }
    }
}
