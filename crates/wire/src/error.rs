//! What can be wrong with bytes from the other side, or with a frame to build.

use crate::name::NameFault;
use vaccel_abi::error as code;

/// Why bytes are not a message, or why a message cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The first bytes are not those of the protocol.
    #[error("the peer does not speak the vaccel protocol: the first bytes are {0:02x?}")]
    Magic([u8; 8]),
    /// The other side speaks other versions only.
    #[error(
        "the client speaks versions {lowest} to {highest} of the protocol, this side version {ours}: upgrade the older one"
    )]
    Version {
        /// Lowest version of the client.
        lowest: u16,
        /// Highest version of the client.
        highest: u16,
        /// Ours.
        ours: u16,
    },
    /// A field has a value that it must not have.
    #[error("{field} of {message} is {value}, which is not valid")]
    Field {
        /// HELLO, WELCOME, header or descriptor.
        message: &'static str,
        /// Name of the field as in the description of the protocol.
        field: &'static str,
        /// What was found.
        value: u64,
    },
    /// Something is larger than the limit.
    #[error("{what} is {size} bytes, the limit is {limit}")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// The parts of a frame do not fit together.
    #[error("{what} takes {needed} bytes, but the frame has {given}")]
    Length {
        /// Which part.
        what: &'static str,
        /// What its contents ask for.
        needed: u64,
        /// What the header says.
        given: u64,
    },
    /// Sizes add up to more than this machine can address.
    #[error("the sizes of the arguments add up to more than this machine can address")]
    Overflow,
    /// A descriptor has flags that do not go together.
    #[error("argument {index} has flags {flags:#x}, which do not go together there")]
    Flags {
        /// Position among read, then write arguments.
        index: usize,
        /// What was found.
        flags: u8,
    },
    /// Fewer arguments than the operation takes.
    #[error("argument {0} is missing")]
    Missing(usize),
    /// More arguments than the operation takes.
    #[error("there are arguments after argument {0}, the last one that the operation takes")]
    Extra(usize),
    /// An argument of another type or size than wanted.
    #[error("argument {index} must be {wanted}, not {found} of {size} bytes")]
    Type {
        /// Position.
        index: usize,
        /// The C name of the type wanted.
        wanted: &'static str,
        /// The C name of the type found.
        found: &'static str,
        /// Its size.
        size: usize,
    },
    /// A string without its zero, or with one inside.
    #[error("argument {0} is not a string with one zero at its end")]
    Text(usize),
    /// A path of a blob that must not be used.
    #[error("the name {name:?} of a blob {fault}")]
    Name {
        /// The name, readable.
        name: String,
        /// What is wrong with it.
        fault: NameFault,
    },
    /// A message that must be UTF-8 is not.
    #[error("{0} is not UTF-8")]
    Utf8(&'static str),
    /// More arguments than a frame can count.
    #[error("a frame has at most 65535 read and 65535 write arguments")]
    TooManyArguments,
    /// A read argument was added after a write argument.
    #[error("read arguments come before write arguments")]
    Order,
    /// A tensor of too many dimensions, or a name that is too long.
    #[error("a tensor has at most 8 dimensions and a name of at most 65534 bytes without zero")]
    Tensor,
}

impl WireError {
    /// The error code of the ABI that says it best.
    #[must_use]
    pub fn code(&self) -> i32 {
        match self {
            Self::TooLarge { .. } | Self::Overflow | Self::TooManyArguments => code::ERANGE,
            Self::Magic(_) | Self::Version { .. } => code::EREMOTEIO,
            _ => code::EINVAL,
        }
    }

    pub(crate) fn field(message: &'static str, field: &'static str, value: u64) -> Self {
        Self::Field {
            message,
            field,
            value,
        }
    }
}
