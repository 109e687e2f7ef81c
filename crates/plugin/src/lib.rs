//! Rust API for plugin authors
