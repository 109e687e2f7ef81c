//! the exec plugin
