//! What a process gives up before it runs what strangers send.
//!
//! A [`Jail`] is a description: files, limits, kinds of system calls. [`Jail::enter`] makes it
//! so for the calling process, part by part, and tells what holds. Nothing here knows of
//! agents, clients or plugins; who is jailed how is decided elsewhere.
//!
//! * [`options`]: what is asked for. [`profile`]: what a backend needs. [`jail`]: both together.
//! * [`limits`], [`privileges`], [`files`], [`calls`], [`namespaces`], [`groups`]: the parts.
//! * [`report`]: what holds. [`probe`]: what would hold on this machine.

pub mod calls;
pub mod files;
pub mod groups;
pub mod jail;
pub mod limits;
pub mod namespaces;
pub mod options;
pub mod privileges;
pub mod probe;
pub mod profile;
pub mod report;

pub use jail::{Jail, JailError};
pub use options::{JailOptions, Mode};
pub use profile::Profile;
pub use report::{Held, Part, Report};
