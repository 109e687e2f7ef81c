//! Requests as the native protocol has them, so that both protocols are checked and
//! run by the same code.

use std::sync::Arc;

use vaccel_abi::error::{EIO, ENOMEM};
use vaccel_compat::Bytes;
use vaccel_transport::{Buffer, Pool};
use vaccel_wire::{Args, Frame, HEADER_LEN, Header, Limits, WireError};

use super::super::failure::{Failure, Result};

/// A native request in memory.
pub(super) struct Request {
    pub(super) header: Header,
    pub(super) meta: Vec<u8>,
    /// Aligned as operations expect it.
    pub(super) payload: Buffer,
}

impl Request {
    /// Copies a frame to memory of its own.
    pub(super) fn new(frame: &Frame<'_, '_>, pool: &Arc<Pool>) -> Result<Self> {
        let mut slices = frame.slices();
        // Header and meta are never cut.
        let first = slices.next().unwrap_or_default();
        let (header, meta_len) = header_of(first)?;
        let (meta, small) = first[HEADER_LEN..]
            .split_at_checked(meta_len)
            .ok_or_else(odd)?;
        let no_memory = || Failure::new(ENOMEM, "the agent has no memory for this request");
        let size = usize::try_from(header.payload_len).map_err(|_| no_memory())?;
        let mut payload = pool.take(size).ok_or_else(no_memory)?;
        let mut at = 0;
        for piece in std::iter::once(small).chain(slices) {
            let to = payload.get_mut(at..at + piece.len()).ok_or_else(odd)?;
            to.copy_from_slice(piece);
            at += piece.len();
        }
        Ok(Self {
            header,
            meta: meta.to_vec(),
            payload,
        })
    }
}

/// An output of an operation.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) bytes: Bytes,
    pub(super) dtype: u32,
    pub(super) dims: Vec<i64>,
}

/// The outputs in a native reply.
pub(super) fn outputs(frame: &Frame<'_, '_>) -> Result<Vec<Output>> {
    let no_memory = || Failure::new(ENOMEM, "the agent has no memory for the outputs");
    let size = usize::try_from(frame.frame_len()).map_err(|_| no_memory())?;
    let mut all = Vec::new();
    all.try_reserve_exact(size).map_err(|_| no_memory())?;
    frame
        .slices()
        .for_each(|piece| all.extend_from_slice(piece));
    let all = Bytes::from(all);
    let (header, meta_len) = header_of(&all)?;
    if all.len() < HEADER_LEN + meta_len {
        return Err(odd());
    }
    let meta = all.slice(HEADER_LEN..HEADER_LEN + meta_len);
    let payload = all.slice(HEADER_LEN + meta_len..);
    let args = Args::decode(&header, &meta, &Limits::for_frame(u64::MAX))?;
    let outputs = args.writes().map(|arg| {
        let (dtype, dims) = match &arg.tensor {
            Some(tensor) => (tensor.dtype.into(), tensor.dims().collect()),
            None => (0, Vec::new()),
        };
        let bytes = match arg.has_data() {
            true => payload.slice(arg.range),
            false => Bytes::new(),
        };
        Output { bytes, dtype, dims }
    });
    Ok(outputs.collect())
}

fn header_of(bytes: &[u8]) -> Result<(Header, usize)> {
    let head: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or_else(odd)?;
    let header = Header::decode(head)?;
    let meta_len = usize::try_from(header.meta_len).map_err(|_| WireError::Overflow)?;
    Ok((header, meta_len))
}

/// For a frame of our own that is none.
fn odd() -> Failure {
    Failure::new(EIO, "the agent built an odd frame")
}
