//! Hostile clients, honest ones, and an agent that serves both.
//!
//! * [`Host`]: an agent, what its processes hold, and whether all of it is given back.
//! * [`Governed`]: such an agent with a policy, and two tenants.
//! * [`Honest`]: a client whose answers are known beforehand.
//! * [`Raw`]: a client that says whatever it likes, and searches all that it receives.
//! * [`model`]: random scripts of both, from a seed, and the shortest that still fails.
//! * [`blast`]: as many mutated frames as an agent can take.

pub mod blast;
mod frames;
mod governed;
mod honest;
mod host;
pub mod model;
mod random;
mod raw;
mod scan;

pub use frames::{FUNCTIONS, Ids, TEMPLATES, request};
pub use governed::Governed;
pub use honest::{Honest, Watch};
pub use host::{Held, Host, library, shim};
pub use random::{Random, mutate};
pub use raw::Raw;
pub use scan::{Scanner, marker};
