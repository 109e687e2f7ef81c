//! `vaccel certs`: an authority of one's own, and certificates for both sides.

use crate::options::Certs;
use anyhow::{Context, Result, bail};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Clocks differ; a certificate of this moment must be good on a machine that is late.
const EARLIER: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// A certificate and its key.
struct Pair {
    certificate: PathBuf,
    key: PathBuf,
}

pub(crate) fn run(options: &Certs) -> Result<()> {
    let folder = &options.folder;
    if options.client.contains('/') || ["ca", "server", ""].contains(&options.client.as_str()) {
        bail!("`{}` is no name for a client's files", options.client);
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let issuer = authority(folder, options.days)?;
    let mut hosts = options.hosts.clone();
    if hosts.is_empty() {
        hosts = ["localhost", "127.0.0.1", "::1"].map(String::from).into();
    }
    for (name, names, usage) in [
        ("server", hosts, ExtendedKeyUsagePurpose::ServerAuth),
        (
            options.client.as_str(),
            Vec::new(),
            ExtendedKeyUsagePurpose::ClientAuth,
        ),
    ] {
        let pair = Pair::of(folder, name);
        if pair.is_there()? {
            println!("{} is there already", pair.certificate.display());
            continue;
        }
        let mut params = CertificateParams::new(names.clone())
            .with_context(|| format!("{} cannot be the name of a host", names.join(", ")))?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        set_time(&mut params, options.days)?;
        let key = KeyPair::generate()?;
        pair.write(&params.signed_by(&key, &issuer)?.pem(), &key)?;
    }
    Ok(())
}

/// The authority of the folder; made when there is none.
fn authority(folder: &Path, days: u32) -> Result<Issuer<'static, KeyPair>> {
    let pair = Pair::of(folder, "ca");
    if pair.is_there()? {
        let read = |path: &Path| {
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
        };
        let key = KeyPair::from_pem(&read(&pair.key)?)
            .with_context(|| format!("{} is no private key", pair.key.display()))?;
        return Issuer::from_ca_cert_pem(&read(&pair.certificate)?, key)
            .with_context(|| format!("{} is no certificate", pair.certificate.display()));
    }
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
        .distinguished_name
        .push(DnType::CommonName, "vaccel authority");
    set_time(&mut params, days.saturating_mul(10))?;
    let key = KeyPair::generate()?;
    pair.write(&params.self_signed(&key)?.pem(), &key)?;
    Ok(Issuer::new(params, key))
}

fn set_time(params: &mut CertificateParams, days: u32) -> Result<()> {
    let now = SystemTime::now();
    let end = now.checked_add(DAY.saturating_mul(days));
    params.not_before = (now - EARLIER).into();
    params.not_after = end.context("that is too many days")?.into();
    Ok(())
}

impl Pair {
    fn of(folder: &Path, name: &str) -> Self {
        Self {
            certificate: folder.join(format!("{name}.pem")),
            key: folder.join(format!("{name}.key")),
        }
    }

    /// True with both files, false with none.
    fn is_there(&self) -> Result<bool> {
        match (self.certificate.exists(), self.key.exists()) {
            (true, true) => Ok(true),
            (false, false) => Ok(false),
            (true, false) => bail!(
                "{} is there without {}: bring the key, or choose another folder",
                self.certificate.display(),
                self.key.display()
            ),
            (false, true) => bail!(
                "{} is there without {}: remove it, or choose another folder",
                self.key.display(),
                self.certificate.display()
            ),
        }
    }

    fn write(&self, certificate: &str, key: &KeyPair) -> Result<()> {
        create(&self.key, &key.serialize_pem(), 0o600)?;
        create(&self.certificate, certificate, 0o644)?;
        println!("{}, {}", self.certificate.display(), self.key.display());
        Ok(())
    }
}

fn create(path: &Path, text: &str, mode: u32) -> Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn make(folder: &Path, client: &str) -> Result<()> {
        run(&Certs {
            folder: folder.into(),
            hosts: Vec::new(),
            client: client.into(),
            days: 1,
        })
    }

    #[test]
    fn keys_are_private_and_what_is_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("certs");
        make(&at, "client").unwrap();
        let read = |name: &str| fs::read_to_string(at.join(name)).unwrap();
        let before = ["ca.pem", "server.key", "client.pem"].map(read);
        for name in ["ca.key", "server.key", "client.key"] {
            let mode = fs::metadata(at.join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        // A second client of the same authority.
        make(&at, "second").unwrap();
        assert_eq!(["ca.pem", "server.key", "client.pem"].map(read), before);
        assert!(at.join("second.pem").exists());
        fs::remove_file(at.join("ca.key")).unwrap();
        let error = make(&at, "third").unwrap_err().to_string();
        assert!(error.contains("ca.key"), "{error}");
        assert!(make(&at, "../x").is_err() && make(&at, "ca").is_err());
    }
}
