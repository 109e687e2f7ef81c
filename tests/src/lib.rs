//! end-to-end tests: processes, sockets, the staged installation
