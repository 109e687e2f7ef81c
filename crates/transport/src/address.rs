//! Where an agent is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The most bytes of a path of a Unix socket on Linux.
pub(crate) const MAX_PATH: usize = 107;

/// `VMADDR_CID_ANY`: a listener takes calls for any context.
pub(crate) const CID_ANY: u32 = u32::MAX;

/// Where an agent is.
///
/// ```
/// use vaccel_transport::Address;
/// let address: Address = "tcp://[::1]:65500".parse().unwrap();
/// assert_eq!(address, Address::Tcp { host: "::1".into(), port: 65500 });
/// assert_eq!(address.to_string(), "tcp://[::1]:65500");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// A Unix stream socket at a path.
    Unix(PathBuf),
    /// TCP: a name or an address of IPv4 or IPv6, without brackets. Nothing is
    /// encrypted, so it stays on this machine.
    Tcp {
        /// Name or number.
        host: String,
        /// Port; 0 lets a listener choose.
        port: u16,
    },
    /// TCP that may leave this machine although nothing is encrypted.
    InsecureTcp {
        /// Name or number.
        host: String,
        /// Port; 0 lets a listener choose.
        port: u16,
    },
    /// TLS over TCP.
    Tls {
        /// Name or number; what the certificate of the agent is for.
        host: String,
        /// Port; 0 lets a listener choose.
        port: u16,
    },
    /// A VM socket.
    Vsock {
        /// Context; 2 is the host, [`u32::MAX`] (`any`) is for listeners.
        cid: u32,
        /// Port.
        port: u32,
    },
}

/// Why text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("address `{text}` {fault}")]
pub struct AddressError {
    text: String,
    fault: String,
}

impl AddressError {
    fn new(text: &str, fault: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            fault: fault.into(),
        }
    }
}

const FORMS: &str = "unix:///PATH, tcp://HOST:PORT, tls://HOST:PORT or vsock://CID:PORT";

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(AddressError::new(
                text,
                format!("has no scheme: write {FORMS}"),
            ));
        };
        match scheme {
            "unix" => unix(text, rest),
            "tcp" => inet(text, rest, |host, port| Address::Tcp { host, port }),
            "tls" | "tcp+tls" => inet(text, rest, |host, port| Address::Tls { host, port }),
            "tcp+insecure" => inet(text, rest, |host, port| Address::InsecureTcp { host, port }),
            "vsock" => vsock(text, rest),
            other => Err(AddressError::new(
                text,
                format!("has the unknown scheme `{other}`: write {FORMS}"),
            )),
        }
    }
}

fn unix(text: &str, path: &str) -> Result<Address, AddressError> {
    if path.is_empty() {
        return Err(AddressError::new(
            text,
            "has no path: write, for example, unix:///run/vaccel/agent.sock",
        ));
    }
    if path.contains('\0') {
        return Err(AddressError::new(text, "has a zero byte in its path"));
    }
    if path.len() > MAX_PATH {
        return Err(AddressError::new(
            text,
            format!(
                "has a path of {} bytes; a Unix socket takes at most {MAX_PATH}: choose a shorter folder",
                path.len()
            ),
        ));
    }
    Ok(Address::Unix(path.into()))
}

fn inet(text: &str, rest: &str, make: fn(String, u16) -> Address) -> Result<Address, AddressError> {
    let example = "write, for example, tcp://127.0.0.1:65500 or tcp://[::1]:65500";
    let (host, port) = if let Some(inner) = rest.strip_prefix('[') {
        let Some((host, port)) = inner.split_once("]:") else {
            return Err(AddressError::new(
                text,
                format!("has no `]:PORT` after its IPv6 address: {example}"),
            ));
        };
        // A zone (fe80::1%eth0) is the resolver's to understand.
        let number = host.split('%').next().unwrap_or(host);
        if number.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(AddressError::new(
                text,
                format!("has `{host}` in brackets, which is no IPv6 address: {example}"),
            ));
        }
        (host, port)
    } else {
        let Some((host, port)) = rest.rsplit_once(':') else {
            return Err(AddressError::new(text, format!("has no port: {example}")));
        };
        if host.contains(':') {
            return Err(AddressError::new(
                text,
                format!("has an IPv6 address without brackets: {example}"),
            ));
        }
        (host, port)
    };
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/' || c == '\0') {
        return Err(AddressError::new(
            text,
            format!("has no host name: {example}"),
        ));
    }
    let port = port.parse().map_err(|_| {
        AddressError::new(
            text,
            format!("has the port `{port}`; a port is a number from 0 to 65535"),
        )
    })?;
    Ok(make(host.into(), port))
}

fn vsock(text: &str, rest: &str) -> Result<Address, AddressError> {
    let example = "write, for example, vsock://2:2048 for the host";
    let Some((cid, port)) = rest.split_once(':') else {
        return Err(AddressError::new(text, format!("has no port: {example}")));
    };
    let cid = match cid {
        "any" | "-1" => CID_ANY,
        "host" => 2,
        number => number.parse().map_err(|_| {
            AddressError::new(
                text,
                format!("has the context `{number}`; it is a number, `host` or `any`: {example}"),
            )
        })?,
    };
    let port = port.parse().map_err(|_| {
        AddressError::new(
            text,
            format!("has the port `{port}`; a vsock port is a number of 32 bits"),
        )
    })?;
    Ok(Address::Vsock { cid, port })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port } => show(f, "tcp", host, *port),
            Self::InsecureTcp { host, port } => show(f, "tcp+insecure", host, *port),
            Self::Tls { host, port } => show(f, "tls", host, *port),
            Self::Vsock { cid: CID_ANY, port } => write!(f, "vsock://any:{port}"),
            Self::Vsock { cid, port } => write!(f, "vsock://{cid}:{port}"),
        }
    }
}

fn show(f: &mut fmt::Formatter<'_>, scheme: &str, host: &str, port: u16) -> fmt::Result {
    if host.contains(':') {
        write!(f, "{scheme}://[{host}]:{port}")
    } else {
        write!(f, "{scheme}://{host}:{port}")
    }
}

impl Address {
    /// Host and port, where it has them: TCP with and without TLS.
    #[must_use]
    pub fn host_and_port(&self) -> Option<(&str, u16)> {
        match self {
            Self::Tcp { host, port }
            | Self::InsecureTcp { host, port }
            | Self::Tls { host, port } => Some((host, *port)),
            Self::Unix(_) | Self::Vsock { .. } => None,
        }
    }

    /// The same address with another port; unchanged where there is none.
    pub(crate) fn with_port(&self, new: u16) -> Self {
        let mut address = self.clone();
        if let Self::Tcp { port, .. } | Self::InsecureTcp { port, .. } | Self::Tls { port, .. } =
            &mut address
        {
            *port = new;
        }
        address
    }

    /// A Unix socket at a path.
    pub fn unix(path: impl AsRef<Path>) -> Self {
        Self::Unix(path.as_ref().into())
    }

    /// True when bytes to it cannot leave this machine: Unix sockets, vsock,
    /// loopback addresses and the name `localhost`.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) | Self::Vsock { .. } => true,
            Self::Tcp { host, .. } | Self::InsecureTcp { host, .. } | Self::Tls { host, .. } => {
                host == "localhost"
                    || host
                        .parse::<std::net::IpAddr>()
                        .is_ok_and(|ip| ip.is_loopback())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_come_back_as_they_were_written() {
        for text in [
            "unix:///run/vaccel/agent.sock",
            "unix://relative.sock",
            "tcp://127.0.0.1:65500",
            "tcp://localhost:0",
            "tcp://[::1]:80",
            "tcp://[fe80::1%eth0]:80",
            "tls://gpu.example.org:65500",
            "tls://[::1]:65500",
            "tcp+insecure://10.0.0.1:65500",
            "vsock://2:2048",
            "vsock://any:4294967295",
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
        }
        let address: Address = "tcp+tls://host:1".parse().unwrap();
        assert_eq!(address.to_string(), "tls://host:1");
        let address: Address = "vsock://host:1".parse().unwrap();
        assert_eq!(address.to_string(), "vsock://2:1");
    }

    #[test]
    fn each_wrong_address_says_what_to_write() {
        for (text, hint) in [
            ("localhost:65500", "no scheme: write unix:///PATH"),
            ("http://x:1", "unknown scheme `http`"),
            ("unix://", "no path"),
            ("tcp://host", "no port"),
            ("tcp://:80", "no host"),
            ("tcp://::1:80", "without brackets"),
            ("tcp://[::1]", "no `]:PORT`"),
            ("tcp://[host]:1", "no IPv6 address"),
            ("tcp://host:65536", "port `65536`"),
            ("tcp://host:", "port ``"),
            ("tcp://a/b:1", "no host name"),
            ("vsock://2", "no port"),
            ("vsock://me:2", "context `me`"),
            ("vsock://2:x", "port `x`"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(hint) && error.contains(text), "{error}");
        }
        let long = format!("unix:///{}", "x".repeat(107));
        let error = long.parse::<Address>().unwrap_err().to_string();
        assert!(error.contains("at most 107"), "{error}");
    }

    #[test]
    fn local_addresses_are_known() {
        for (text, local) in [
            ("unix:///x", true),
            ("vsock://2:1", true),
            ("tcp://127.3.2.1:1", true),
            ("tcp://[::1]:1", true),
            ("tcp://localhost:1", true),
            ("tcp://10.0.0.1:1", false),
            ("tls://10.0.0.1:1", false),
            ("tls://[::1]:1", true),
            ("tcp+insecure://10.0.0.1:1", false),
            ("tcp://example.org:1", false),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().is_local(), local, "{text}");
        }
    }
}
