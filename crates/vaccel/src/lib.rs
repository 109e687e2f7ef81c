//! Rust API of vaccel for applications.
//!
//! A program opens a [`Session`] and calls coarse operations on it: classify a
//! picture, run a model, multiply matrices. Where they run is decided by the
//! plugins that the library loads (`VACCEL_PLUGINS=onnx`, say, or
//! `VACCEL_PLUGINS=rpc` to have an agent on another machine do it).
//!
//! ```no_run
//! use vaccel::{Model, Resource, ResourceType, Session, Tensor};
//!
//! # fn main() -> vaccel::Result<()> {
//! let session = Session::new()?;
//! let file = Resource::open("model.onnx", ResourceType::Model)?;
//! let model = Model::load(&session, &file, "")?;
//! let input = Tensor::new(&[1, 64], vec![0.0f32; 64])?;
//! let outputs = model.run(&[("input", input)])?;
//! println!("{:?}", outputs[0].as_slice::<f32>()?);
//! # Ok(())
//! # }
//! ```
//!
//! # The library
//!
//! Nothing is linked: the first call opens `libvaccel.so.0` (where it is looked
//! for says [`Library::get`]) and starts it with the settings of the
//! environment. A program that brings its own settings calls
//! [`bootstrap_with`] first. When the library is missing, that first call returns an
//! error that names the places where it was looked for. Programs run on the
//! C implementation's library too, without [`Model`] and [`describe`].
//!
//! With the feature `static` the library and its rpc transport are part of the
//! program: nothing is opened, and no plugins are loaded from files. That is for
//! unikernels and empty containers, whose operations are done by an agent
//! (`VACCEL_RPC_ADDRESS`).
//!
//! # Errors
//!
//! Every [`Error`] has a code, the code's name and a message made by whoever
//! failed: the library, a plugin, or the agent at the other end.

mod arg;
mod argument;
mod buffer;
mod compute;
mod config;
mod error;
mod exec;
mod image;
mod kept;
pub mod library;
mod model;
mod npy;
mod pending;
mod progress;
mod resource;
#[cfg(not(feature = "static"))]
mod search;
mod session;
mod stats;
mod storage;
mod tensor;

pub use arg::{Element, Input, Output};
pub use argument::Argument;
pub use buffer::Buffer;
pub use compute::{Minmax, Sgemm};
pub use config::{Config, LogLevel, bootstrap_with, load_plugin};
pub use error::{Error, Result};
pub use image::{Annotated, Classification, Label};
pub use kept::{Feed, KeptTensor};
pub use library::Library;
pub use model::{Model, ModelInfo, TensorInfo, describe};
pub use pending::Pending;
pub use progress::with_progress;
pub use resource::{Resource, ResourceType};
pub use session::{Session, hint};
pub use stats::{OpStats, op_stats};
pub use tensor::{Dtype, Number, Tensor};
/// Error codes, with their descriptions and names.
pub use vaccel_abi::error as code;
