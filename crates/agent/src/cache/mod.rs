//! Content that was sent once and need not be sent again.
//!
//! The cache is the agent's: workers run tenants' code and never write to it. A worker
//! writes what arrives to a file of an upload ([`partial`]); the agent copies that file
//! while it computes the BLAKE3 hash, and only a copy with the announced hash becomes
//! visible ([`store`]), by renaming. So what lies under a hash has that hash, whoever
//! sent it, and a worker is given it as a descriptor that cannot be written to.
//!
//! Who may know that content is there is a matter of its [`Scope`]: content is stored once
//! on the machine, and each scope that has sent all of it once has a mark beside it.
//! Without its mark a scope is told to send everything, as if nothing were there.
//!
//! ```text
//! <cache>/lock                           taken while names change
//! <cache>/objects/<hash>/data            the content
//! <cache>/objects/<hash>/stamp           how `data` looked when its hash was last computed
//! <cache>/objects/<hash>/for.<scope>     this scope has sent it
//! <cache>/partial/<scope>.<hash>         an upload that has not ended
//! <cache>/tmp/<random>/                  on the way in or out
//! ```
//!
//! Locks are those of `flock`, on the folder of an entry: shared while somebody uses it,
//! exclusive to remove it. They end with their process, so several agents may share a
//! cache, and one that is killed leaves nothing locked.

pub mod desk;
pub mod partial;
mod stamp;
pub mod store;

use std::fmt::Write;

use clap::ValueEnum;
use vaccel_transport::Peer;

/// A BLAKE3 hash.
pub type Hash = [u8; 32];

/// Whom content that has been sent once is spared to be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scope {
    /// Everybody: whoever knows a hash may use what another client has sent.
    Host,
    /// The same user (Unix sockets), address (TCP) or machine (vsock).
    Peer,
    /// The same connection.
    Connection,
}

/// Who a client is, as far as scopes are concerned.
#[must_use]
pub fn who(peer: Option<&Peer>) -> Option<String> {
    Some(match peer? {
        Peer::Unix { uid, .. } => format!("user {uid}"),
        Peer::Tcp(address) => format!("address {}", address.ip()),
        Peer::Vsock { cid, .. } => format!("machine {cid}"),
    })
}

/// A name of a file for a hash.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A name of a file for a scope, whatever it is called.
fn scope_name(scope: &str) -> String {
    hex(&blake3::hash(scope.as_bytes()).as_bytes()[..16])
}
