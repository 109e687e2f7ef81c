//! What all backends that run models have in common.
//!
//! A backend implements two traits: [`Engine`] loads a model, [`Graph`] runs it. This
//! crate does the rest, the same for all of them: finding the model among the files of a
//! resource, its description, options ([`Settings`]), names, positions, types and shapes
//! of tensors, the image operations and virtual tensors, one copy of a model in memory
//! however many sessions use it ([`Cache`]), requests that run together ([`Batching`]), and finding and opening a runtime that is
//! not part of this project ([`runtime`]).
//!
//! [`export_backend!`] makes a plugin of an engine.

mod aligned;
mod backend;
mod batch;
mod cache;
mod default_model;
pub mod format;
mod gather;
mod graph;
mod item;
mod judge;
mod macros;
mod model;
mod pictures;
mod port;
pub mod proto;
pub mod runtime;
mod settings;
mod source;
mod types;
mod virtual_tensor;

pub use aligned::Aligned;
pub use backend::{Backend, Engine};
pub use batch::Batching;
pub use cache::{Cache, Key};
pub use default_model::{DEFAULT_MODELS, FOLDERS, TASKS, describe_defaults};
pub use graph::{Graph, Input, Output};
pub use item::{Identity, Item};
pub use judge::judge;
pub use model::Loaded;
pub use port::Port;
pub use settings::{Settings, available_threads};
pub use source::{Kinds, Source};
pub use types::Types;

#[doc(hidden)]
pub use vaccel_plugin;
#[doc(hidden)]
pub use vaccel_vision;
