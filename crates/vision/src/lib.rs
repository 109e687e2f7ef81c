//! Image operations without an inference runtime: a picture goes in, a tensor comes out;
//! the model's tensors go in, an answer comes out.
//!
//! A backend plugin keeps one [`Vision`] for each loaded model. `model.toml` (see
//! `docs/model-description.md`) says how the model wants its picture and what its
//! outputs mean. There is no unsafe code here, and no panic on hostile input.
//!
//! ```
//! use vaccel_vision::{Description, InputData, Picture, TensorShape, TensorView, Vision};
//!
//! let description: Description = r#"
//!     [model]
//!     name = "light or dark"
//!     task = "classify"
//!     [input]
//!     channels = "gray"
//!     [output]
//!     format = "logits"
//!     labels = ["dark", "light"]
//! "#.parse()?;
//!
//! // The backend tells what the loaded model takes.
//! let inputs = [TensorShape::f32("pixels", &[1, 1, 2, 2])];
//! let vision = Vision::new(description, &inputs)?;
//!
//! // `vision.prepare(bytes)` takes a JPEG or PNG file; here the pixels are at hand.
//! let picture = Picture::new(4, 4, vec![204; 48])?;
//! let prepared = vision.prepare_picture(picture)?;
//! assert_eq!(prepared.input.shape, [1, 1, 2, 2]);
//! assert_eq!(prepared.input.data, InputData::F32(vec![0.8; 4]));
//!
//! // The backend runs the model with `prepared.input` and hands its outputs over.
//! let logits = [-1.0, 3.0];
//! let answer = vision.finish(prepared.frame, &[TensorView::f32("scores", &[1, 2], &logits)])?;
//! assert_eq!(answer.outcome().to_text(), "light: 98.2 %\ndark: 1.8 %\n");
//! assert!(answer.outcome().to_json().starts_with(r#"{"task":"classify","#));
//! assert!(answer.picture_png()?.starts_with(b"\x89PNG"));
//! # Ok::<(), vaccel_vision::Error>(())
//! ```

#![forbid(unsafe_code)]

mod canvas;
mod colormap;
mod decode;
mod description;
mod draw;
mod error;
mod font;
mod geometry;
mod infer;
mod jpeg;
mod labels;
mod locate;
mod map;
mod picture;
mod pipeline;
mod postprocess;
mod preprocess;
mod python;
mod result;
mod tensor;
mod validate;
mod words;

pub use decode::{Limits, decode};
pub use description::{
    Description, InputSection, ModelSection, OutputSection, PerChannel, RunSection,
};
pub use error::{Error, Result};
pub use geometry::Transform;
pub use labels::Labels;
pub use map::{Map, MapData};
pub use picture::Picture;
pub use pipeline::{Answer, Frame, Prepared, Vision};
pub use preprocess::Preprocess;
pub use result::{Area, Bounds, Class, Detection, Findings, Object, Outcome, Person, Point, Size};
pub use tensor::{
    ElementType, InputData, InputTensor, TensorData, TensorShape, TensorView, f16_bits, f16_value,
};
pub use words::{Channels, Colormap, Coordinates, Filter, Format, Layout, Resize, Task};
