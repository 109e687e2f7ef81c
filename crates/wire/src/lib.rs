//! Messages and codec of the native protocol, version 1.
//!
//! The crate does no I/O and has no unsafe code: bytes in, messages out, and
//! back. `docs/protocol.md` describes the bytes.
//!
//! * [`Hello`] and [`Welcome`] open a connection.
//! * [`Header`] begins every frame; [`Limits`] says what is taken.
//! * [`FrameBuffer`] and [`FrameBuilder`] write a frame: header, descriptors
//!   and small data go to one reused buffer, large data is only referred to.
//! * [`Args`] looks into the meta of a received frame without copying, and
//!   [`ArgReader`] takes typed values out of it one by one.
//! * [`Layout`] says where each argument lies in the payload; both sides use it.
//! * [`control`] has the operations that manage sessions and resources.
//!
//! ```
//! use vaccel_wire::{ArgReader, Args, FrameBuffer, Header, Limits, HEADER_LEN};
//!
//! let mut buffer = FrameBuffer::new();
//! let mut builder = buffer.request(17);
//! builder.read_scalar(7_i64).read_text("seven").write_capacity(2, 0, 100);
//! let mut frame = builder.finish()?;
//! frame.address(1, 42, 0);
//! let bytes: Vec<u8> = frame.slices().flatten().copied().collect();
//!
//! let header = Header::decode(bytes[..HEADER_LEN].try_into().unwrap())?;
//! header.check(&Limits::default())?;
//! let (meta, payload) = bytes[HEADER_LEN..].split_at(header.meta_len as usize);
//! let args = Args::decode(&header, meta, &Limits::default())?;
//! let mut read = ArgReader::new(args.reads(), payload);
//! assert_eq!(read.scalar::<i64>()?, 7);
//! assert_eq!(read.text()?.to_bytes(), b"seven");
//! read.finish()?;
//! # Ok::<(), vaccel_wire::WireError>(())
//! ```
#![forbid(unsafe_code)]

// Arguments travel as they lie in memory. A machine of the other byte order
// would have to swap every element by its type, which nothing here does.
#[cfg(target_endian = "big")]
compile_error!("the native protocol carries little-endian memory; this target is big-endian");

mod arg;
mod args;
mod builder;
mod bytes;
pub mod changes;
pub mod control;
mod error;
mod frame;
mod header;
mod hello;
mod layout;
mod name;
mod reader;
mod scalar;
mod share;
mod trace;
mod welcome;

pub use arg::{
    Arg, DESCRIPTOR_LEN, FLAG_ALLOCATE, FLAG_DATA, FLAG_KEPT, FLAG_NULL, FLAG_SHARED, MAX_RANK,
    Place, TENSOR, Tensor,
};
pub use args::{ArgIter, Args};
pub use builder::{FrameBuilder, TensorMeta};
pub use error::WireError;
pub use frame::{Frame, FrameBuffer, Slices};
pub use header::{GOING_AWAY, HEADER_LEN, Header, Kind, LAST_WORDS, Limits, MAX_META};
pub use hello::{
    FEATURE_KEPT_TENSORS, FEATURE_PIECES, FEATURE_SECOND_SOCKET, FEATURE_SHARED_MEMORY,
    FEATURE_TRACES, HELLO_LEN, Hello, MAX_EXTRA,
};
pub use layout::{ALIGN, Layout, SMALL_ALIGN};
pub use name::{MAX_COMPONENT, MAX_NAME, check_name};
pub use reader::ArgReader;
pub use scalar::Scalar;
pub use share::{SHARE_LEN, SHARED_LEN, Share, Shared};
pub use trace::{TRACE_LEN, Trace};
pub use welcome::{MAX_TEXT, WELCOME_LEN, Welcome};

/// First bytes of HELLO and WELCOME.
pub const MAGIC: [u8; 8] = *b"vaccel/1";

/// The version of the protocol that this crate speaks.
pub const VERSION: u16 = 1;

/// What a decoder makes of the bytes that have arrived so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<T> {
    /// At least this many bytes in all are needed to go on.
    More(usize),
    /// The message, and how many bytes it took.
    Done(T, usize),
}
