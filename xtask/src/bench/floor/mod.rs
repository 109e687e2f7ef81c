//! What no transport can be faster than: bare sockets, bare shared memory, a copy.

mod memory;
pub(crate) mod peak;
mod pingpong;

pub(crate) use memory::{Memory, Wait};
pub(crate) use pingpong::{Kind, PingPong};

use super::sample::{bounded, quantile};
use anyhow::Result;
use clap::Args;
use std::hint::black_box;
use std::path::PathBuf;

/// Options of the other end of a floor.
#[derive(Args)]
pub(crate) struct PeerOptions {
    /// Address to connect to (`unix:PATH` or `tcp:HOST:PORT`), or `spin:FILE` or `futex:FILE` of shared memory.
    place: String,
    /// Bytes of each request; the answer has 64.
    #[arg(long, default_value_t = pingpong::SIZE)]
    bytes: usize,
}

/// What the second process does.
pub(crate) fn peer(options: &PeerOptions) -> Result<()> {
    match options.place.split_once(':') {
        Some(("spin", file)) => memory::peer(&PathBuf::from(file), Wait::Spin),
        Some(("futex", file)) => memory::peer(&PathBuf::from(file), Wait::Futex),
        _ => pingpong::peer(&options.place, options.bytes),
    }
}

/// Median of the microseconds that it takes to copy so many bytes, between the same places over and over.
pub(crate) fn copy(bytes: usize, calls: usize) -> Result<f64> {
    // Not zeros: pages that were never written are all the same one.
    let from = vec![1_u8; bytes];
    let mut to = vec![2_u8; bytes];
    let times = bounded(calls, || {
        to.copy_from_slice(black_box(&from));
        black_box(&mut to);
        Ok(())
    })?;
    Ok(quantile(&times, 0.5))
}
