//! the rpc plugin
