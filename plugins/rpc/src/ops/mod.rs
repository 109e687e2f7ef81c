//! The C functions of the operations. Each says which arguments travel, in the
//! order of the table in `vaccel_abi::table`.

pub(crate) mod exec;
pub(crate) mod image;
pub(crate) mod model;
pub(crate) mod tf;
pub(crate) mod tflite;
pub(crate) mod torch;
pub(crate) mod vector;

use vaccel_plugin::{Result, bail};

/// A number of elements that C passes as `int`.
fn count(n: libc::c_int, name: &str) -> Result<usize> {
    match usize::try_from(n) {
        Ok(n) => Ok(n),
        Err(_) => bail!(EINVAL, "`{name}` is {n}; it cannot be negative"),
    }
}
