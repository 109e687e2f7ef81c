//! Who a client is, as far as the agent can know before it serves it.

use std::net::IpAddr;

use sha2::{Digest as _, Sha256};
use vaccel_transport::Peer;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A SHA-256 hash.
pub type Digest = [u8; 32];

/// What is known of a client.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// What the kernel says of the other end.
    pub peer: Option<Peer>,
    /// Names of the socket that it came to: the one it was given, and its addresses.
    pub listener: Vec<String>,
    /// The certificate that it has shown, and whose key it has.
    pub certificate: Option<Certificate>,
    /// SHA-256 of the token in its HELLO.
    pub token: Option<Digest>,
}

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its subject, for example `CN=alice, O=example`.
    pub subject: String,
    /// The common name in that subject, where there is exactly one.
    pub common_name: Option<String>,
    /// SHA-256 of the certificate itself.
    pub fingerprint: Digest,
}

impl Certificate {
    /// Reads one that has been verified; `None` when it cannot be read.
    #[must_use]
    pub fn of(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let subject = certificate.subject();
        let mut names = subject.iter_common_name();
        // Two names would leave it to the reader which of them counts.
        let common_name = match (names.next(), names.next()) {
            (Some(name), None) => name.as_str().ok().map(str::to_owned),
            _ => None,
        };
        Some(Self {
            subject: subject.to_string(),
            common_name,
            fingerprint: Sha256::digest(der).into(),
        })
    }
}

impl Identity {
    /// User, where it is a process of this machine.
    #[must_use]
    pub fn uid(&self) -> Option<u32> {
        match self.peer.as_ref()? {
            Peer::Unix { uid, .. } => Some(*uid),
            _ => None,
        }
    }

    /// Group, where it is a process of this machine.
    #[must_use]
    pub fn gid(&self) -> Option<u32> {
        match self.peer.as_ref()? {
            Peer::Unix { gid, .. } => Some(*gid),
            _ => None,
        }
    }

    /// Machine, where it came by vsock.
    #[must_use]
    pub fn cid(&self) -> Option<u32> {
        match self.peer.as_ref()? {
            Peer::Vsock { cid, .. } => Some(*cid),
            _ => None,
        }
    }

    /// Address, where it came by TCP.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match self.peer.as_ref()? {
            Peer::Tcp(address) => Some(address.ip().to_canonical()),
            _ => None,
        }
    }

    /// True when it came to the socket of this name or address.
    #[must_use]
    pub fn came_to(&self, listener: &str) -> bool {
        self.listener.iter().any(|name| name == listener)
    }

    /// Notes a token that it has shown; only its hash is kept.
    pub fn show(&mut self, token: &[u8]) {
        self.token = Some(Sha256::digest(token).into());
    }

    /// True when it has shown one of these tokens. Takes as long whatever it has shown.
    #[must_use]
    pub fn has_token_of(&self, known: &[Digest]) -> bool {
        let Some(shown) = &self.token else {
            return false;
        };
        let mut found = false;
        for digest in known {
            let differ = digest
                .iter()
                .zip(shown)
                .fold(0, |all, (a, b)| all | (a ^ b));
            // Not to be cut short: every digest is looked at, all of it.
            found |= std::hint::black_box(differ) == 0;
        }
        found
    }
}

/// A hash from 64 hexadecimal digits; colons between bytes are fine, as openssl prints them.
#[must_use]
pub fn digest_from_hex(text: &str) -> Option<Digest> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|&b| b != b':')
        .map(|b| {
            char::from(b)
                .to_digit(16)
                .and_then(|d| u8::try_from(d).ok())
        })
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |n, d| n << 4 | d))
        .collect();
    if digits.len() != 64 {
        return None;
    }
    bytes.try_into().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_known_by_its_subject_and_its_bytes() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "alice");
        params
            .distinguished_name
            .push(rcgen::DnType::OrganizationName, "example");
        let signed = params.self_signed(&key).unwrap();
        let known = Certificate::of(signed.der()).unwrap();
        assert_eq!(known.common_name.as_deref(), Some("alice"));
        assert_eq!(known.subject, "CN=alice, O=example");
        let expected: Digest = Sha256::digest(signed.der()).into();
        assert_eq!(known.fingerprint, expected);
        assert_eq!(Certificate::of(b"nonsense"), None);
    }

    #[test]
    fn only_a_token_that_is_known_counts() {
        let hash = |token: &[u8]| -> Digest { Sha256::digest(token).into() };
        let mut client = Identity::default();
        assert!(!client.has_token_of(&[hash(b"one")]));
        client.show(b"one");
        assert!(client.has_token_of(&[hash(b"two"), hash(b"one")]));
        assert!(!client.has_token_of(&[hash(b"two")]) && !client.has_token_of(&[]));
    }

    #[test]
    fn hashes_are_read_as_tools_print_them() {
        let plain = "0a".repeat(32);
        let colons = vec!["0A"; 32].join(":");
        assert_eq!(digest_from_hex(&plain), Some([10; 32]));
        assert_eq!(digest_from_hex(&colons), Some([10; 32]));
        for wrong in [
            "",
            "0a",
            &"0g".repeat(32),
            &"0a".repeat(33),
            &"é".repeat(64),
        ] {
            assert_eq!(digest_from_hex(wrong), None, "{wrong}");
        }
    }
}
