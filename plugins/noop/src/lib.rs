//! the noop plugin
