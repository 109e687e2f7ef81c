//! Certificates for tests, good ones and bad ones.
#![allow(dead_code, clippy::unwrap_used, missing_docs, unreachable_pub)]

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, date_time_ymd,
};
use std::path::{Path, PathBuf};

/// An authority with a folder for what it signs; `ca.pem` is its own certificate.
pub struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

/// Two PEM files.
#[derive(Debug, Clone)]
pub struct Signed {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let own = params.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("ca.pem"), own.pem()).unwrap();
        let issuer = Issuer::new(params, key);
        Self { folder, issuer }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Signs a certificate for an agent.
    pub fn server(&self, file: &str, names: &[&str]) -> Signed {
        self.sign(file, names, ExtendedKeyUsagePurpose::ServerAuth, false)
    }

    /// Signs a certificate for a client.
    pub fn client(&self, file: &str) -> Signed {
        self.sign(
            file,
            &["client"],
            ExtendedKeyUsagePurpose::ClientAuth,
            false,
        )
    }

    pub fn expired_server(&self, file: &str, names: &[&str]) -> Signed {
        self.sign(file, names, ExtendedKeyUsagePurpose::ServerAuth, true)
    }

    pub fn expired_client(&self, file: &str) -> Signed {
        self.sign(file, &["client"], ExtendedKeyUsagePurpose::ClientAuth, true)
    }

    fn sign(
        &self,
        file: &str,
        names: &[&str],
        usage: ExtendedKeyUsagePurpose,
        expired: bool,
    ) -> Signed {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![usage];
        if expired {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate: Certificate = params.signed_by(&key, &self.issuer).unwrap();
        let signed = Signed {
            certificate: self.folder.path().join(format!("{file}.pem")),
            key: self.folder.path().join(format!("{file}.key")),
        };
        replace(&signed.certificate, &certificate.pem());
        replace(&signed.key, &key.serialize_pem());
        signed
    }
}

/// Puts a new file in the place of an old one, as whoever renews certificates does.
pub fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, path).unwrap();
}
