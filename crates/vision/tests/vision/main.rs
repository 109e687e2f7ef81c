//! Behaviour of the whole crate, through its public interface.
#![allow(clippy::unwrap_used)]

mod classify;
mod common;
mod decode;
mod depth;
mod description;
mod detect;
mod draw;
mod infer;
mod input;
mod labels;
mod pipeline;
mod pose;
mod preprocess;
mod random;
mod segment;
