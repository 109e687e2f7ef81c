//! Errors of a connection as errors of the plugin.

use vaccel_plugin::Error;
use vaccel_plugin::abi::table;
use vaccel_transport::{CallError, ConnectError};

pub(crate) fn call(error: &CallError) -> Error {
    let text = match error {
        CallError::Remote { message, .. } => without_operation(message).to_owned(),
        other => other.to_string(),
    };
    Error::new(error.code(), text)
}

/// The agent's library begins its texts with the operation, as the one here
/// will: once is enough.
fn without_operation(message: &str) -> &str {
    match message.split_once(": ") {
        Some((operation, rest)) if table::find_by_name(operation).is_some() => rest,
        _ => message,
    }
}

pub(crate) fn connect(error: &ConnectError) -> Error {
    Error::new(error.code(), error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operation_is_named_once() {
        assert_eq!(without_operation("exec: blas: no"), "blas: no");
        assert_eq!(without_operation("model: no"), "model: no");
        assert_eq!(without_operation("no"), "no");
    }
}
