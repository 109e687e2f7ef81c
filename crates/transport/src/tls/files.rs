//! Certificates and keys from PEM files.

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;

/// Why certificates cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(pub(super) String);

impl TlsError {
    pub(super) fn of(path: &Path, what: &str, error: impl std::fmt::Display) -> Self {
        Self(format!("{what} {}: {error}", path.display()))
    }
}

/// A certificate and those that lead to the authority.
pub(super) fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let fail = |e: &dyn std::fmt::Display| TlsError::of(path, "certificate", e);
    let list = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| fail(&e))?;
    if list.is_empty() {
        return Err(fail(&"the file has no `BEGIN CERTIFICATE`"));
    }
    Ok(list)
}

/// A private key: PKCS#8, PKCS#1 or SEC1.
pub(super) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|e| TlsError::of(path, "key", e))
}

/// The authorities whose certificates are believed.
pub(super) fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(path)? {
        roots
            .add(certificate)
            .map_err(|e| TlsError::of(path, "certificate of the authority", e))?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("some.pem");
        let missing = chain(&file).unwrap_err().to_string();
        assert!(missing.contains("some.pem"), "{missing}");
        for text in [
            "",
            "no PEM",
            "-----BEGIN CERTIFICATE-----\nAAAA\n",
            "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
        ] {
            std::fs::write(&file, text).unwrap();
            for error in [chain(&file).err(), key(&file).err(), roots(&file).err()] {
                let error = error.unwrap().to_string();
                assert!(error.contains("some.pem"), "{text:?}: {error}");
            }
        }
        let text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        std::fs::write(&file, text).unwrap();
        assert!(roots(&file).unwrap_err().to_string().contains("authority"));
    }
}
