//! Room on the stack for the engine, which follows a graph by recursion.

use vaccel_plugin::{Result, err};

/// Up to this depth the stack of any caller will do: a thread of a Rust program
/// has 2 MiB.
const SHALLOW: usize = 1_000;
/// Stack for each node in a row; about 300 bytes were measured.
const BYTES_A_NODE: usize = 1_024;
/// Stack for everything else.
const BASE: usize = 4 << 20;

/// Calls `f` with a stack for a graph of so many nodes in a row.
///
/// # Errors
/// `EAGAIN` when a thread is needed and cannot be had.
pub(crate) fn with_stack_for<T: Send>(depth: usize, f: impl FnOnce() -> T + Send) -> Result<T> {
    if depth <= SHALLOW {
        return Ok(f());
    }
    let size = depth.saturating_mul(BYTES_A_NODE).saturating_add(BASE);
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("onnx-deep".to_owned())
            .stack_size(size)
            .spawn_scoped(scope, f)
            .map_err(|e| err!(EAGAIN, "no thread for a graph {depth} nodes deep: {e}"))?;
        match thread.join() {
            Ok(result) => Ok(result),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
