//! Safe Rust API for authors of vaccel plugins.
//!
//! A plugin is one crate of type `cdylib` with one type that implements
//! [`Plugin`], exported with [`export_plugin!`]. The SDK does the C side: it
//! checks pointers, lengths and shapes, keeps panics from crossing into C,
//! keeps loaded models, allocates what C will free, and reports errors to the
//! caller and the log.
//!
//! - Models: [`Plugin::load_model`] and [`Model`], see [`backend`].
//! - Operations on a device that has memory of its own: [`device`].
//! - Errors: [`Error`], [`err!`], [`bail!`]. Logging: [`log`].
//! - A transport, or anything that wants the raw pointers: [`raw`].
//!
//! The crate `plugins/template` is the one to copy.

mod arg;
pub mod backend;
mod blob;
mod calls;
mod ctensor;
mod describe;
pub mod device;
mod dtype;
mod error;
pub mod host;
mod image;
pub mod log;
mod memory;
mod models;
mod op;
mod plugin;
pub mod raw;
mod resource;
mod session;
mod tensor;
#[cfg(feature = "testing")]
pub mod testing;

pub use vaccel_abi as abi;
pub use vaccel_abi::error as code;

pub use arg::{Args, ArgsMut};
pub use backend::{Model, ModelApi, ModelInfo, ModelSource, Options, TensorInfo, find_tensor};
pub use blob::Blob;
pub use describe::{DefaultModel, Description, Device, Judgement, Variable};
pub use dtype::{Dtype, Shape};
pub use error::{Error, Result, cause};
pub use image::{Classified, Picture};
pub use memory::{Element, bytes_of};
pub use op::Op;
pub use plugin::{Minmax, Plugin, Sgemm, TorchSgemm};
pub use resource::{Resource, ResourceType};
pub use session::Session;
pub use tensor::{TensorOut, TensorView};

/// What the export macros expand to; not for use by hand.
#[doc(hidden)]
pub mod export {
    pub use crate::calls::{Exported, Slot, raw_plugin};
}
