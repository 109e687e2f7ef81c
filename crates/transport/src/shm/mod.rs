//! Shared memory between a client and a worker on one machine.
//!
//! * [`Region`]: a sealed memfd, mapped by both.
//! * `ring`: the frames of the connection through the first region; `spin`: how long
//!   to look before sleeping; `doorbell`: how the two wake each other.
//! * [`Arena`]: the client's blocks, where large arguments lie; [`buffers`]: those
//!   that the application holds itself.
//! * [`offer`](client::offer) and [`accept`](host::accept): the opening, after WELCOME.
//!
//! `docs/protocol.md` describes every byte.

pub mod arena;
pub mod buffers;
pub mod client;
pub(crate) mod doorbell;
pub mod host;
pub mod region;
pub(crate) mod ring;
pub(crate) mod spin;

pub use arena::{Arena, Block, Lent};
pub use client::Client;
pub use host::{Host, Memory};
pub use region::Region;
pub use ring::{Rx, Tx};
pub use spin::Mode;

use std::io;
use vaccel_abi::error as code;
use vaccel_wire::WireError;

/// Arguments of at least this many bytes go through shared memory: smaller ones
/// travel with the frame, which is as quick.
pub const THRESHOLD: usize = 16 << 10;

/// Why memory is not shared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShareError {
    /// The descriptor is no memory file.
    #[error("what the client offers as shared memory is not a memfd")]
    NoMemfd,
    /// It could change its size.
    #[error(
        "the memfd offered as shared memory lacks the seals {0:#x}; it must have \
         F_SEAL_SHRINK, F_SEAL_GROW and F_SEAL_SEAL"
    )]
    Unsealed(i32),
    /// It is made of huge pages.
    #[error(
        "the memfd offered as shared memory has huge pages, whose holes cannot always be filled"
    )]
    HugePages,
    /// It is smaller than said.
    #[error("the memfd offered as shared memory has {has} bytes, not the {says} that were said")]
    Short {
        /// Its size.
        has: u64,
        /// What the client said.
        says: u64,
    },
    /// A size that no region can have.
    #[error("a region of shared memory cannot have {0} bytes; sizes are multiples of 4096")]
    Size(u64),
    /// More than the agent allows.
    #[error("{asked} bytes of shared memory are more than the {left} that are left of {limit}")]
    Quota {
        /// What was asked for.
        asked: u64,
        /// What is left.
        left: u64,
        /// What a connection may have.
        limit: u64,
    },
    /// Another number of descriptors than needed.
    #[error("{found} descriptors came with the offer of shared memory instead of {wanted}")]
    Descriptors {
        /// How many came.
        found: usize,
        /// How many belong to it.
        wanted: usize,
    },
    /// More regions than can be counted.
    #[error(
        "a connection has at most {} regions of shared memory",
        host::MAX_REGIONS
    )]
    Regions,
    /// The offer is not valid.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The other side refuses.
    #[error("the agent shares no memory: {text}")]
    Refused {
        /// Its error code.
        status: i32,
        /// Its reason.
        text: String,
    },
    /// What the system says.
    #[error("memory cannot be shared: {0}")]
    System(#[source] io::Error),
}

impl ShareError {
    /// The error code of the ABI that says it best.
    #[must_use]
    pub fn code(&self) -> i32 {
        match self {
            Self::Quota { .. } | Self::Regions => code::ENOSPC,
            Self::Wire(e) => e.code(),
            Self::Refused { status, .. } => *status,
            Self::System(e) if e.kind() == io::ErrorKind::OutOfMemory => code::ENOMEM,
            Self::System(_) => code::EIO,
            _ => code::EINVAL,
        }
    }
}
