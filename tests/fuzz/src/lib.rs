//! Everything that reads bytes of somebody who is not trusted, as functions of bytes.
//!
//! A target returns whatever the bytes are. It panics, and so fails, only where a promise
//! is broken: what was read is not what is written again, a range lies outside, a decoder
//! takes more than there was. `fuzz/fuzz_targets` gives each to libFuzzer, with coverage, in a
//! workspace of its own; `tests/corpora.rs` runs each over its corpus and mutations of it, on any
//! toolchain and with what the other tests have built.

mod agent;
mod compat;
mod genop;
mod memory;
mod stream;
mod text;
mod wire;

pub mod mutate;
pub mod seeds;

pub use agent::agent_toml;
pub use compat::{compatible, messages};
pub use genop::genop;
pub use memory::rings;
pub use stream::{client, stream};
pub use text::{address, image, model_toml, npy};
pub use wire::{args, frames, hello};

/// A target: its name and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets, by name.
pub const TARGETS: &[Target] = &[
    ("address", address),
    ("agent_toml", agent_toml),
    ("args", args),
    ("client", client),
    ("compatible", compatible),
    ("frames", frames),
    ("genop", genop),
    ("hello", hello),
    ("image", image),
    ("messages", messages),
    ("model_toml", model_toml),
    ("npy", npy),
    ("rings", rings),
    ("stream", stream),
];
