//! C types and constants of the vaccel ABI
