//! Operations that manage sessions and resources.

use crate::{ArgReader, Args, FrameBuilder, Scalar, WireError, check_name};
use std::ffi::CStr;

/// Opens a session: UINT32 flags; INT64 session.
pub const SESSION_OPEN: u16 = 256;
/// Changes its flags: UINT32 flags.
pub const SESSION_UPDATE: u16 = 257;
/// Closes it.
pub const SESSION_CLOSE: u16 = 258;
/// Begins a resource; see [`ResourceBegin`].
pub const RESOURCE_BEGIN: u16 = 259;
/// Sends a piece of a blob; see [`ResourceData`].
pub const RESOURCE_DATA: u16 = 260;
/// Ends it and registers it with the session: INT64 resource.
pub const RESOURCE_COMMIT: u16 = 261;
/// Registers a resource of this connection with a further session: INT64 resource.
pub const RESOURCE_ATTACH: u16 = 262;
/// Takes it back: INT64 resource.
pub const RESOURCE_DETACH: u16 = 263;
/// Fetches the first blob as it is now: INT64 resource; BUFFER.
pub const RESOURCE_SYNC: u16 = 264;
/// Describes the agent: BUFFER of JSON.
pub const DESCRIBE: u16 = 265;
/// Tells how much of each blob of an arriving resource is there: INT64 resource; BUFFER of
/// a u64 for each, where the client goes on.
pub const RESOURCE_OFFSETS: u16 = 266;

/// Adds a region of shared memory, whose descriptor has been sent beside: UINT64 size;
/// UINT32 number of the region.
pub const REGION_ADD: u16 = 280;
/// Fetches the chunks of the first blob that differ from the client's; see
/// [`changes`](crate::changes).
pub const RESOURCE_CHANGES: u16 = 267;

/// Keeps a copy of a tensor: TENSOR; TENSOR (KEPT).
pub const TENSOR_KEEP: u16 = 270;
/// Reads a kept tensor: INT64 number; TENSOR.
pub const TENSOR_FETCH: u16 = 271;
/// Frees a kept tensor: INT64 number.
pub const TENSOR_FREE: u16 = 272;

/// The most bytes of one [`RESOURCE_DATA`].
pub const MAX_PIECE: usize = 1 << 20;

/// Bytes of a BLAKE3 hash.
pub const HASH_LEN: usize = 32;

/// The lower-case name of a managing operation.
#[must_use]
pub fn name(operation: u16) -> Option<&'static str> {
    Some(match operation {
        SESSION_OPEN => "session_open",
        SESSION_UPDATE => "session_update",
        SESSION_CLOSE => "session_close",
        RESOURCE_BEGIN => "resource_begin",
        RESOURCE_DATA => "resource_data",
        RESOURCE_COMMIT => "resource_commit",
        RESOURCE_ATTACH => "resource_attach",
        RESOURCE_DETACH => "resource_detach",
        RESOURCE_SYNC => "resource_sync",
        DESCRIBE => "describe",
        REGION_ADD => "region_add",
        RESOURCE_OFFSETS => "resource_offsets",
        RESOURCE_CHANGES => "resource_changes",
        TENSOR_KEEP => "tensor_keep",
        TENSOR_FETCH => "tensor_fetch",
        TENSOR_FREE => "tensor_free",
        _ => return None,
    })
}

/// The only argument of an operation that takes one number.
///
/// # Errors
/// When there is another argument, or none.
pub fn only<T: Scalar>(args: &Args<'_>, payload: &[u8]) -> Result<T, WireError> {
    let mut read = ArgReader::new(args.reads(), payload);
    let value = read.scalar()?;
    read.finish()?;
    Ok(value)
}

/// What [`RESOURCE_BEGIN`] says of one blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobHead<'p> {
    /// One of the ABI's `BLOB_*` constants.
    pub type_: u32,
    /// Relative path below the resource.
    pub name: &'p CStr,
    /// Bytes to come.
    pub size: u64,
    /// BLAKE3 of them, or empty.
    pub hash: &'p [u8],
}

impl<'p> BlobHead<'p> {
    /// Appends it to a request.
    pub fn encode(&self, builder: &mut FrameBuilder<'_, 'p>) {
        builder
            .read_scalar(self.type_)
            .read_c_str(self.name)
            .read_scalar(self.size)
            .read_buffer(self.hash);
    }
}

/// The arguments of [`RESOURCE_BEGIN`].
#[derive(Debug, Clone)]
pub struct ResourceBegin<'m, 'p> {
    /// One of the ABI's `RESOURCE_*` constants.
    pub type_: u32,
    /// One of the ABI's `PATH_*` constants.
    pub path_type: u32,
    blobs: ArgReader<'m, 'p>,
}

impl<'m, 'p> ResourceBegin<'m, 'p> {
    /// Checks the arguments: types, names and lengths of hashes. Whether two
    /// names are equal is not looked at.
    ///
    /// # Errors
    /// Says which argument or name is wrong.
    pub fn decode(args: &Args<'m>, payload: &'p [u8]) -> Result<Self, WireError> {
        let mut read = ArgReader::new(args.reads(), payload);
        let type_ = read.scalar()?;
        let path_type = read.scalar()?;
        let begin = Self {
            type_,
            path_type,
            blobs: read.clone(),
        };
        while read.left() > 0 {
            next_blob(&mut read)?;
        }
        Ok(begin)
    }

    /// Number of blobs.
    #[must_use]
    pub fn nr_blobs(&self) -> usize {
        self.blobs.left() / 4
    }

    /// The blobs, in order.
    pub fn blobs(&self) -> impl Iterator<Item = BlobHead<'p>> + use<'m, 'p> {
        let mut read = self.blobs.clone();
        std::iter::from_fn(move || {
            // `decode` has walked over all of them without error.
            next_blob(&mut read).ok()
        })
    }
}

fn next_blob<'p>(read: &mut ArgReader<'_, 'p>) -> Result<BlobHead<'p>, WireError> {
    let blob = BlobHead {
        type_: read.scalar()?,
        name: read.text()?,
        size: read.scalar()?,
        hash: read.buffer()?,
    };
    check_name(blob.name.to_bytes())?;
    if !blob.hash.is_empty() && blob.hash.len() != HASH_LEN {
        return Err(WireError::field(
            "a blob",
            "length of the hash",
            blob.hash.len() as u64,
        ));
    }
    Ok(blob)
}

/// The arguments of [`RESOURCE_DATA`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceData<'p> {
    /// The resource.
    pub resource: i64,
    /// Position of the blob.
    pub blob: u32,
    /// Where in the blob the piece belongs.
    pub offset: u64,
    /// The piece, at most [`MAX_PIECE`].
    pub bytes: &'p [u8],
}

impl<'p> ResourceData<'p> {
    /// Appends it to a request.
    pub fn encode(&self, builder: &mut FrameBuilder<'_, 'p>) {
        builder
            .read_scalar(self.resource)
            .read_scalar(self.blob)
            .read_scalar(self.offset)
            .read_buffer(self.bytes);
    }

    /// Checks the arguments.
    ///
    /// # Errors
    /// Says which argument is wrong.
    pub fn decode(args: &Args<'_>, payload: &'p [u8]) -> Result<Self, WireError> {
        let mut read = ArgReader::new(args.reads(), payload);
        let data = Self {
            resource: read.scalar()?,
            blob: read.scalar()?,
            offset: read.scalar()?,
            bytes: read.buffer()?,
        };
        read.finish()?;
        if data.bytes.len() > MAX_PIECE {
            return Err(WireError::TooLarge {
                what: "a piece of a blob",
                size: data.bytes.len() as u64,
                limit: MAX_PIECE as u64,
            });
        }
        Ok(data)
    }
}
