//! the runtime: plugins, sessions, resources, arguments, operations
