//! One descriptor as it was received.

use crate::bytes::i64_at;
use std::ops::Range;
use vaccel_abi::arg::{ARG_MAX, ArgType, name as type_name};

/// Bytes of a descriptor.
pub const DESCRIPTOR_LEN: usize = 24;

/// The type number of a tensor.
pub const TENSOR: ArgType = ARG_MAX;

/// The most dimensions of a tensor.
pub const MAX_RANK: usize = vaccel_abi::model::TENSOR_MAX_RANK;

/// Flag: the pointer was null.
pub const FLAG_NULL: u8 = 1;

/// Flag: the bytes are in the payload.
pub const FLAG_DATA: u8 = 2;

/// Flag: an output whose size the agent decides.
pub const FLAG_ALLOCATE: u8 = 4;

/// Flag: the bytes are in shared memory, or are to go there.
pub const FLAG_SHARED: u8 = 8;

/// Flag: a tensor that the agent keeps, or is to keep; its bytes do not travel.
pub const FLAG_KEPT: u8 = 16;

/// A place in shared memory: a region of the connection, and an offset in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Number of the region; the first is 0.
    pub region: u16,
    /// Bytes from its beginning, below 2^48.
    pub offset: u64,
}

impl Place {
    const BITS: u32 = 48;

    /// As one field of a descriptor; larger offsets are cut, and then lead nowhere else.
    pub(crate) fn encode(self) -> u64 {
        u64::from(self.region) << Self::BITS | (self.offset & ((1 << Self::BITS) - 1))
    }

    pub(crate) fn decode(field: u64) -> Self {
        Self {
            region: (field >> Self::BITS) as u16,
            offset: field & ((1 << Self::BITS) - 1),
        }
    }
}

/// Length of the name that means "no name".
pub(crate) const NO_NAME: u16 = 0xffff;

/// One argument of a received frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arg<'m> {
    /// Position in its list, read or write.
    pub index: usize,
    /// An argument type, or [`TENSOR`].
    pub type_: ArgType,
    /// `FLAG_*` bits; never a combination that makes no sense.
    pub flags: u8,
    /// The application's number for a custom type.
    pub custom_type: u32,
    /// Bytes of the data; of an output without data: its capacity.
    pub size: usize,
    /// Where the data lies in the payload; `0..0` without data there.
    pub range: Range<usize>,
    /// Where it lies in shared memory, or is to be written. The memory belongs to
    /// the other side too, and whether there is such a place is not known yet.
    pub shared: Option<Place>,
    /// Number of the tensor that the agent keeps; 0 for an output that it is to keep.
    pub kept: Option<i64>,
    /// Type, shape and name of a tensor.
    pub tensor: Option<Tensor<'m>>,
}

impl Arg<'_> {
    /// True when the pointer was null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.flags & FLAG_NULL != 0
    }

    /// True when its bytes are in the payload.
    #[must_use]
    pub fn has_data(&self) -> bool {
        self.flags & (FLAG_DATA | FLAG_SHARED) == FLAG_DATA
    }

    /// True when it has bytes, in the payload or in shared memory.
    #[must_use]
    pub fn has_bytes(&self) -> bool {
        self.flags & FLAG_DATA != 0
    }

    /// True for an output whose size the agent decides.
    #[must_use]
    pub fn is_allocate(&self) -> bool {
        self.flags & FLAG_ALLOCATE != 0
    }

    /// Its bytes in the payload of its frame; none when the payload is
    /// shorter than the frame's.
    #[must_use]
    pub fn bytes<'p>(&self, payload: &'p [u8]) -> &'p [u8] {
        payload.get(self.range.clone()).unwrap_or(&[])
    }

    /// The C name of its type.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        if self.type_ == TENSOR {
            "a tensor"
        } else {
            type_name(self.type_)
        }
    }
}

/// Type, shape and name of a tensor of a received frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tensor<'m> {
    /// Type of the elements, in the numbers of the operation.
    pub dtype: u16,
    pub(crate) dims: &'m [u8],
    /// Name, without zeros; `None` when it has none.
    pub name: Option<&'m [u8]>,
}

impl Tensor<'_> {
    /// Number of dimensions, at most [`MAX_RANK`].
    #[must_use]
    pub fn rank(&self) -> usize {
        self.dims.len() / 8
    }

    /// Lengths of the dimensions, as sent: they may be negative.
    pub fn dims(&self) -> impl ExactSizeIterator<Item = i64> + '_ {
        self.dims.chunks_exact(8).map(|d| i64_at(d, 0))
    }

    /// The lengths in an array, and how many there are.
    #[must_use]
    pub fn shape(&self) -> ([i64; MAX_RANK], usize) {
        let mut out = [0; MAX_RANK];
        for (to, d) in out.iter_mut().zip(self.dims()) {
            *to = d;
        }
        (out, self.rank())
    }
}
