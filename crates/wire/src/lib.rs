//! messages and codec of the native protocol
