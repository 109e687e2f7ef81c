//! The head of an xclbin, as far as it takes to tell one from another.

use vaccel_plugin::{Result, bail};

/// Bytes of the head with its first section: `struct axlf` of XRT's `xclbin.h`.
const HEAD: usize = 496;
/// Where the head says how long the file is, and which it is.
const LENGTH: usize = 304;
const UUID: usize = 416;

/// What an xclbin is known by: XRT takes two of the same UUID for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    uuid: [u8; 16],
    length: usize,
}

/// Checks the head, and tells which xclbin it is.
///
/// # Errors
/// `EINVAL` for what is none, or is not whole.
pub(crate) fn identity(bytes: &[u8]) -> Result<Identity> {
    if !bytes.starts_with(b"xclbin2\0") || bytes.len() < HEAD {
        bail!(
            EINVAL,
            "this is no xclbin: it does not begin with the head of one"
        );
    }
    let mut length = [0; 8];
    length.copy_from_slice(&bytes[LENGTH..LENGTH + 8]);
    let length = u64::from_le_bytes(length);
    if length != bytes.len() as u64 {
        bail!(
            EINVAL,
            "the xclbin says that it has {length} bytes, and {} are there",
            bytes.len()
        );
    }
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&bytes[UUID..UUID + 16]);
    Ok(Identity {
        uuid,
        length: bytes.len(),
    })
}
