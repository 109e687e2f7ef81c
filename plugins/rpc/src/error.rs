//! Errors of a connection as errors of the plugin.

use vaccel_plugin::Error;
use vaccel_transport::{CallError, ConnectError};

pub(crate) fn call(error: &CallError) -> Error {
    Error::new(error.code(), error.to_string())
}

pub(crate) fn connect(error: &ConnectError) -> Error {
    Error::new(error.code(), error.to_string())
}
