//! addresses and connections
