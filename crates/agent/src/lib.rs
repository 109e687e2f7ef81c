//! `vaccel-agent` and `vaccel-worker`.
//!
//! The agent listens. Each connection is handed, as a descriptor, to a worker
//! process that has loaded the library and its plugins ahead of time; from then
//! on client and worker talk to each other directly, and the agent only
//! watches. A worker that crashes takes its own connection with it and nothing else.
//!
//! * [`supervisor`]: the agent's loop. [`pool`]: its workers. [`process`]: one of them.
//! * [`policy`]: who may do what. [`identity`]: who a client is; [`hello`] reads its token.
//!   [`tenants`]: what they have. [`terms`] and [`ledger`]: what workers are told, and count.
//!   [`fair`]: how they share processors.
//! * [`cache`]: content that need not be sent again.
//! * [`jail`]: how workers are locked in; what this machine lacks for it.
//! * [`counts`]: what workers count. [`board`]: what the agent knows of itself; [`metrics`] shows both.
//! * [`notify`], [`inherit`], [`successor`]: the service manager, and restarts that no client notices.
//! * [`handoff`]: what the two say to each other.
//! * [`worker`]: the other program; it serves connections as `docs/protocol.md` says.
//!
//! The crate is a library only so that two programs and their tests can share it.

pub mod agent;
pub mod backoff;
pub mod board;
pub mod cache;
pub mod counts;
pub mod environment;
pub mod fair;
pub mod handoff;
pub mod hello;
pub mod identity;
pub mod inherit;
pub mod jail;
pub mod ledger;
pub mod listen;
pub mod log;
pub mod metrics;
pub mod notify;
pub mod options;
pub mod policy;
pub mod pool;
pub mod process;
pub mod refuse;
pub mod rundir;
pub mod signals;
pub mod successor;
pub mod supervisor;
pub mod tenants;
pub mod terms;
pub mod tls;
pub mod traces;
pub mod vaccel_config;
pub mod worker;

pub use tracing::{debug, error, info, warn};

/// A number that nobody can guess.
///
/// # Errors
/// When the kernel has no random numbers to give, which it says by an error.
pub fn random() -> std::io::Result<u64> {
    let mut bytes = [0u8; 8];
    // SAFETY: the length is that of the array.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    // Requests of up to 256 bytes are answered in full or not at all.
    if usize::try_from(got) == Ok(bytes.len()) {
        Ok(u64::from_ne_bytes(bytes))
    } else {
        Err(std::io::Error::last_os_error())
    }
}
