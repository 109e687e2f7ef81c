//! C types and constants of the vaccel ABI.
//!
//! Everything here is `repr(C)` and equals, byte for byte, what programs and
//! plugins compiled against the C headers use. The crate holds no logic: it is
//! the one place where the library, the plugin SDK and the plugins agree.
//!
//! C enums are plain integers here ([`OpType`](op::OpType) and others), because a
//! value that comes from C may be any number, and a Rust `enum` may not.

pub mod arg;
pub mod blob;
pub mod completion;
pub mod config;
pub mod error;
pub mod list;
pub mod log;
pub mod model;
pub mod op;
pub mod plugin;
pub mod prof;
pub mod resource;
pub mod session;
pub mod table;
pub mod tensor;

/// Number of a session or resource: positive when valid, 0 when unset.
#[allow(non_camel_case_types)]
pub type vaccel_id_t = i64;

/// `int` result of every C function: 0 or one of [`error`].
pub type CResult = libc::c_int;
