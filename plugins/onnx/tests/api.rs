//! Placeholder while the support code is written.
