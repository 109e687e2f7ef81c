//! Rust API for applications
