//! The C API: `libvaccel.so` and `libvaccel.a`.
//!
//! One file for each noun. A function checks its pointers, calls one function of
//! `vaccel_core`, and turns its result into a code; there is no logic here.
//! `include/` has the headers.

#[macro_use]
mod guard;

pub mod arg;
pub mod arg_array;
pub mod arg_list;
pub mod blob;
pub mod buffer;
#[cfg(feature = "builtin-rpc")]
mod builtin;
pub mod completion;
pub mod config;
pub mod error;
pub mod exec;
pub mod genop;
pub mod image;
pub mod init;
pub mod log;
pub mod model;
pub mod noop;
pub mod plugin;
pub mod prof;
pub mod progress;
pub mod resource;
pub mod session;
pub mod shared_buffer;
pub mod tensor;
pub mod tf;
pub mod tflite;
pub mod torch;
pub mod vector;
