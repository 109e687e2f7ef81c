//! the template plugin
