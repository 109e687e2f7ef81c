//! Which protocol the client of a new connection speaks.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use vaccel_transport::Stream;

use super::compatible::{self, connection::Connection as Compatible};
use super::connection::Connection;
use super::service::Service;
use super::tenant::Tenant;

/// How long a client may take to send its first byte.
const FIRST_BYTE: Duration = Duration::from_secs(10);

/// A connection that has been opened.
#[derive(Debug)]
pub enum Served {
    /// Of a client of ours.
    Native(Arc<Connection>),
    /// Of a client of the C implementation.
    Compatible(Arc<Compatible>),
}

impl Served {
    /// Opens a connection in the protocol that the client begins to speak.
    ///
    /// # Errors
    /// Why it is not served, for the log.
    pub fn open(
        descriptor: OwnedFd,
        number: u64,
        tenant: &Arc<Tenant>,
        service: &Arc<Service>,
    ) -> Result<Self, String> {
        let stream = Stream::from_fd(descriptor).map_err(|e| e.to_string())?;
        match compatible::is_spoken(&stream, FIRST_BYTE) {
            Ok(true) => {
                let connection = Compatible::open(stream, number, tenant, service)?;
                Ok(Self::Compatible(Arc::new(connection)))
            }
            Ok(false) => {
                let connection = Connection::open(stream.into(), number, tenant, service)?;
                Ok(Self::Native(Arc::new(connection)))
            }
            Err(e) if e.kind() == std::io::ErrorKind::TimedOut => Err(format!(
                "the client did not say HELLO within {FIRST_BYTE:?}"
            )),
            Err(e) => Err(e.to_string()),
        }
    }
}
