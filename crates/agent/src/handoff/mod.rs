//! What agent and worker say to each other, over a `SOCK_SEQPACKET` pair.
//!
//! One packet is one message: a byte that says which, then its fields. The agent
//! passes a connection as a file descriptor; from then on its bytes
//! never go through the agent.
//!
//! * `packet`: messages as bytes. `channel`: sending and receiving them.

mod channel;
mod packet;

use crate::cache::Hash;
use crate::traces::Span;

pub use self::channel::{
    offer_to_agent, receive_from_agent, receive_from_worker, send_to_agent, send_to_worker,
};

/// From the agent to a worker.
#[derive(Debug, PartialEq, Eq)]
pub enum ToWorker {
    /// What a tenant may, before its first connection and each time that changes; the
    /// descriptor of its ledger comes along.
    Tenant {
        /// The agent's number for it.
        tenant: u64,
        /// The worker's row in the ledger.
        row: u32,
        /// [`Terms`](crate::terms::Terms) as text.
        terms: String,
    },
    /// Serve this connection; its descriptor comes along.
    Connection {
        /// Its number, for logs and WELCOME.
        number: u64,
        /// The tenant's.
        tenant: u64,
        /// Where it comes from, for logs.
        origin: String,
    },
    /// Tell clients to go elsewhere with what comes next; serve on.
    Leave,
    /// Take no new requests, finish what runs, end.
    Drain,
    /// What became of a [`Wanted`]; a descriptor comes along where there is one.
    Content {
        /// The number of the request.
        request: u64,
        /// The answer.
        content: Content,
    },
}

/// Where content is that a worker asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// In the cache; the descriptor is for reading.
    Here,
    /// To be sent, and written to the descriptor, from this offset on.
    Send {
        /// Bytes that are there already.
        offset: u64,
    },
    /// The cache does not keep it.
    NotKept,
    /// It cannot be had.
    Failed {
        /// An error code.
        code: i32,
        /// Why.
        reason: String,
    },
}

impl Content {
    /// It cannot be had.
    #[must_use]
    pub fn failed(code: i32, reason: impl Into<String>) -> Self {
        Self::Failed {
            code,
            reason: reason.into(),
        }
    }
}

/// What a worker wants of the agent's cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Content, or a place to write it to.
    Find {
        /// The worker's number for the question.
        request: u64,
        /// Its BLAKE3 hash.
        hash: Hash,
        /// Its bytes.
        size: u64,
    },
    /// To have what was written checked and kept.
    Keep {
        /// The worker's number for the question.
        request: u64,
        /// Its BLAKE3 hash.
        hash: Hash,
    },
    /// Nothing more of this content.
    Release {
        /// Its BLAKE3 hash.
        hash: Hash,
    },
}

/// From a worker to the agent.
#[derive(Debug, PartialEq, Eq)]
pub enum ToAgent {
    /// The library has started; connections may come.
    Ready {
        /// What the library says of itself.
        about: String,
    },
    /// The library could not start; the worker ends.
    Failed {
        /// Why.
        reason: String,
    },
    /// The worker holds the connection.
    Taken {
        /// Its number.
        number: u64,
    },
    /// The client of the connection speaks the native protocol, and has been let in: it
    /// understands last words.
    Opened {
        /// Its number.
        number: u64,
    },
    /// The connection has ended and everything it had is released.
    Ended {
        /// Its number.
        number: u64,
        /// Why, for the log.
        reason: String,
    },
    /// Something of the cache, for a connection.
    Content {
        /// The connection's number.
        number: u64,
        /// What.
        wanted: Wanted,
    },
    /// A request has been answered that belongs to a trace.
    Span {
        /// The connection's number.
        number: u64,
        /// What is told of it.
        span: Span,
    },
    /// An operation of a connection does not end. The worker ends at once, or, when it has
    /// other tenants, should get no further connections.
    Stuck {
        /// The connection's number.
        number: u64,
        /// What does not end.
        reason: String,
    },
}
