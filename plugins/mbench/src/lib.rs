//! the mbench plugin
