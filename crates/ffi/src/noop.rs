//! The operation that does nothing.

use vaccel_abi::session::vaccel_session;
use vaccel_core::op;

export! {
    /// Does nothing: measures the way to the plugin and back.
    fn vaccel_noop(sess: *mut vaccel_session) { op::noop(ptr!(sess)) }
}
