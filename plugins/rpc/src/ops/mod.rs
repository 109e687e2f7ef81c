//! The C functions of the operations. Each says which arguments travel, in the
//! order of the table in `vaccel_abi::table`.

pub(crate) mod exec;
pub(crate) mod image;
pub(crate) mod model;
pub(crate) mod tensor;
pub(crate) mod tf;
pub(crate) mod tflite;
pub(crate) mod torch;
pub(crate) mod vector;

use crate::held::{Held, Load};
use vaccel_plugin::abi::CResult;
use vaccel_plugin::abi::resource::vaccel_resource;
use vaccel_plugin::abi::session::vaccel_session;
use vaccel_plugin::{Result, bail};

/// A number of elements that C passes as `int`.
fn count(n: libc::c_int, name: &str) -> Result<usize> {
    match usize::try_from(n) {
        Ok(n) => Ok(n),
        Err(_) => bail!(EINVAL, "`{name}` is {n}; it cannot be negative"),
    }
}

/// After a model was loaded or unloaded: remembers it, so that it can be loaded
/// again on another connection. Returns the code.
fn note(
    session: *mut vaccel_session,
    resource: *mut vaccel_resource,
    code: CResult,
    load: impl FnOnce() -> Option<Load>,
) -> CResult {
    if code == 0 {
        // SAFETY: an operation on both has just succeeded.
        let (held, id) = unsafe { (Held::of(session), (&raw const (*resource).id).read()) };
        if let Ok(held) = held {
            held.set_loaded(id, load());
        }
    }
    code
}
