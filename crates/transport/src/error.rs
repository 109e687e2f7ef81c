//! What can go wrong with addresses, streams, frames and calls.

use std::io;
use std::sync::Arc;
use std::time::Duration;
use vaccel_abi::error as code;
use vaccel_wire::{Header, WireError};

/// Why there is no connection to an agent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nobody answers there.
    #[error("cannot reach the agent at {address}: {reason}")]
    Unreachable {
        /// Where.
        address: String,
        /// Why, and what to do.
        reason: String,
    },
    /// It did not answer in time.
    #[error("the agent at {address} did not answer within {} s", .after.as_secs_f64())]
    TimedOut {
        /// Where.
        address: String,
        /// The time it had.
        after: Duration,
    },
    /// It hung up while the connection was being opened.
    #[error("the agent at {address} hung up while the connection was being opened")]
    HungUp {
        /// Where.
        address: String,
    },
    /// It answered, but not in this protocol.
    #[error("what answers at {address} cannot be talked to: {error}")]
    Protocol {
        /// Where.
        address: String,
        /// What is wrong with the answer.
        error: WireError,
    },
    /// It does not want this client.
    #[error("the agent at {address} refuses the connection: {text}")]
    Refused {
        /// Where.
        address: String,
        /// Its error code.
        status: i32,
        /// Its reason.
        text: String,
    },
}

impl ConnectError {
    /// The error code of the ABI that says it best.
    #[must_use]
    pub fn code(&self) -> i32 {
        match self {
            Self::TimedOut { .. } => code::ETIMEDOUT,
            Self::Refused { status, .. } if code::is_known(*status) => *status,
            _ => code::EREMOTEIO,
        }
    }
}

/// Why nothing can listen at an address.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {reason}")]
pub struct ListenError {
    pub(crate) address: String,
    pub(crate) reason: String,
    /// What the system said.
    #[source]
    pub(crate) source: Option<io::Error>,
}

/// Why there is no next frame.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The peer hung up between two frames.
    #[error("the peer hung up")]
    Closed,
    /// The peer hung up within a frame.
    #[error("the peer hung up in the middle of a frame")]
    Truncated,
    /// Nothing arrived in time. Reading can go on later.
    #[error("nothing arrived in time")]
    TimedOut,
    /// The bytes are no frame, or one that is too large. Nothing can be read
    /// after it.
    #[error("{error}")]
    Frame {
        /// The header, when it could be read: a request can be answered then.
        header: Option<Header>,
        /// What is wrong.
        error: WireError,
    },
    /// There is no memory for a frame. Reading can go on after it.
    #[error("no memory for a frame of {bytes} bytes")]
    NoMemory {
        /// Its header.
        header: Header,
        /// What it needs.
        bytes: usize,
    },
    /// The system reports an error.
    #[error("cannot read: {0}")]
    Io(#[from] io::Error),
}

/// Why a frame was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The peer did not take it in time.
    #[error("the peer did not take the frame in time")]
    TimedOut {
        /// True when some of it had been sent: the rest goes out before the
        /// next frame.
        begun: bool,
    },
    /// The peer hung up, or an earlier frame could only be sent in part.
    #[error("{0}")]
    Lost(Arc<str>),
}

/// Why a call has no result.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The agent says so.
    #[error("{message}")]
    Remote {
        /// Its error code, never 0.
        status: i32,
        /// Its message.
        message: String,
    },
    /// The deadline has passed.
    #[error("no answer from the agent at {address} within {} s", .after.as_secs_f64())]
    TimedOut {
        /// Where.
        address: Arc<str>,
        /// The time it had.
        after: Duration,
    },
    /// The connection broke while the call was in flight.
    #[error("connection to agent {0} lost: {1}")]
    Lost(Arc<str>, Arc<str>),
    /// The connection had broken before the call.
    #[error("connection to agent {0} lost: {1}; open a new session")]
    Dead(Arc<str>, Arc<str>),
    /// The connection was opened by the parent process.
    #[error("the session belongs to the parent process: open a new one after fork()")]
    Forked,
    /// The caller has ended it.
    #[error("it was cancelled")]
    Cancelled,
    /// The reply does not fit the request.
    #[error("the agent at {0} sent a reply that does not fit the request: {1}")]
    Reply(Arc<str>, String),
    /// The request cannot be sent.
    #[error("{0}")]
    Request(#[from] WireError),
    /// There is no memory for the result.
    #[error("no memory for a result of {0} bytes")]
    NoMemory(usize),
}

impl CallError {
    /// The error code of the ABI that says it best.
    #[must_use]
    pub fn code(&self) -> i32 {
        match self {
            Self::Remote { status, .. } => *status,
            Self::TimedOut { .. } => code::ETIMEDOUT,
            Self::Cancelled => code::ECANCELED,
            Self::Lost(..) | Self::Reply(..) => code::EREMOTEIO,
            Self::Dead(..) | Self::Forked => code::ESESS,
            Self::Request(error) => error.code(),
            Self::NoMemory(_) => code::ENOMEM,
        }
    }

    /// True when the connection is of no use any more.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost(..) | Self::Dead(..) | Self::Forked)
    }
}
