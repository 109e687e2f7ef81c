//! the vaccel command
