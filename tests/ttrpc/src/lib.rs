//! Messages and service of the compatible protocol as the ttrpc crate that others use has
//! them, with a client and a server.

mod client;
mod server;

/// Messages, generated from `proto/vaccel.proto`.
#[allow(missing_docs, clippy::all, clippy::unwrap_used, warnings)]
pub mod vaccel {
    include!(concat!(env!("OUT_DIR"), "/vaccel.rs"));
}

/// The service, generated likewise.
#[allow(missing_docs, clippy::all, clippy::unwrap_used, warnings)]
pub mod vaccel_ttrpc {
    include!(concat!(env!("OUT_DIR"), "/vaccel_ttrpc.rs"));
}

pub use client::{Client, arg, buffer, code_of, errno_of, room};
pub use server::Server;
