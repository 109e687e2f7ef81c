//! TLS between machines.
//!
//! The rest of this crate moves bytes over a descriptor and knows no encryption.
//! So an encrypted stream is one end of a pair of sockets; at the other end a
//! pump (`relay.rs`) encrypts and decrypts, and has the TCP connection. What is lost
//! is one hop within the machine; what is won is that keys are in one place: the
//! agent pumps in its own process, and a worker, which runs what clients send,
//! sees neither the key of the agent nor those of the connection.
//!
//! Only TLS 1.3 is spoken, both sides check certificates against a file with the
//! authority's, nothing is resumed and nothing is sent early. A connection that ends without
//! TLS's own goodbye is a fault, and is told as one.

mod client;
mod files;
mod handshake;
mod relay;
mod server;

pub use client::Security;
pub use files::TlsError;
pub(crate) use relay::Pump;
pub use relay::Relay;
pub use server::{AcceptError, Accepted, Acceptor, ServerFiles};

use rustls::crypto::CryptoProvider;
use std::sync::{Arc, OnceLock};

/// What a TLS handshake says is spoken inside.
const ALPN: &[u8] = b"vaccel/1";

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())))
}
