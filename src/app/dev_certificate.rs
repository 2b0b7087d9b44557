//! The throwaway certificate of `serve --dev --tls`.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use chancery_guard::listener::{Protocol, Tls, TlsFiles};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use time::OffsetDateTime;

use crate::{store::private, time::Timestamp};

/// Names by which a demo is found.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// How long it is good for. Browsers refuse one of years.
const DAYS: i64 = 90;
/// Seconds of a day.
const DAY: i64 = 86400;

/// The files of a demo's certificate.
pub(super) struct DevCertificate {
    /// What clients have to trust.
    pub(super) ca: PathBuf,
    pub(super) files: TlsFiles,
}

impl DevCertificate {
    fn in_dir(dir: &Path) -> Self {
        let files = TlsFiles { cert: dir.join("tls-cert.pem"), key: dir.join("tls-key.pem"), client_ca: None };
        Self { ca: dir.join("tls-ca.pem"), files }
    }

    /// The certificate in the data directory; a new one where there is none that is good for another day.
    ///
    /// # Errors
    /// The files cannot be written.
    pub(super) fn ensure(dir: &Path, issuer: Option<&str>, now: Timestamp) -> anyhow::Result<Self> {
        let this = Self::in_dir(dir);
        let now = now.seconds();
        let host = issuer.and_then(|issuer| issuer.parse::<http::Uri>().ok()?.host().map(bare));
        let names: Vec<String> = NAMES.map(str::to_owned).into_iter().chain(host).collect();
        let listed = dir.join("tls-names.txt");
        let is_good = || {
            let tls = Tls::load(this.files.clone(), Protocol::Http).ok()?;
            let is_for_these = fs::read_to_string(&listed).is_ok_and(|text| text == names.join("\n"));
            // The authority may be another demo's: they have the same name.
            (is_for_these && tls.is_accepted(&this.ca, NAMES[0], now + DAY)).then_some(())
        };
        if is_good().is_none() {
            let made = this.make(&names, now).and_then(|()| Ok(write(&listed, names.join("\n").as_bytes())?));
            made.with_context(|| format!("cannot make a certificate in {}", dir.display()))?;
        }
        Ok(this)
    }

    fn make(&self, names: &[String], now: i64) -> anyhow::Result<()> {
        // Clocks may differ a little.
        let (begins, ends) = (at(now - DAY)?, at(now + DAYS * DAY)?);
        let params = |names: &[String], name: &str| -> anyhow::Result<CertificateParams> {
            let mut params = CertificateParams::new(names)?;
            params.distinguished_name.push(DnType::CommonName, name);
            (params.not_before, params.not_after) = (begins, ends);
            Ok(params)
        };
        let mut authority = params(&[], "Chancery demo, trusted by nobody")?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        // Its key is forgotten, so that whoever trusts it trusts this one certificate.
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let mut leaf = params(names, "Chancery demo")?;
        leaf.use_authority_key_identifier_extension = true;
        let leaf = leaf.signed_by(&key, &authority)?;
        write(&self.files.key, key.serialize_pem().as_bytes())?;
        write(&self.files.cert, leaf.pem().as_bytes())?;
        write(&self.ca, authority.pem().as_bytes())?;
        Ok(())
    }
}

fn at(seconds: i64) -> anyhow::Result<OffsetDateTime> {
    Ok(OffsetDateTime::from_unix_timestamp(seconds)?)
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    private().write(true).create_new(true).open(path)?.write_all(text)
}

/// A host without the brackets of an address of IPv6.
fn bare(host: &str) -> String {
    host.trim_matches(['[', ']']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_kept_until_it_is_about_to_expire() {
        let dir = tempfile::tempdir().unwrap();
        let start = 1_800_000_000;
        let read = |seconds: i64| {
            let made = DevCertificate::ensure(dir.path(), None, Timestamp::from_millis(seconds * 1000)).unwrap();
            (fs::read(&made.ca).unwrap(), fs::read(&made.files.cert).unwrap())
        };
        let first = read(start);
        assert_eq!(read(start + (DAYS - 2) * DAY), first);
        let second = read(start + DAYS * DAY);
        assert!(second.0 != first.0 && second.1 != first.1);
        // The authority of another demo, a copy of which was put here.
        let elsewhere = tempfile::tempdir().unwrap();
        let other = DevCertificate::ensure(elsewhere.path(), None, Timestamp::from_millis((start + DAYS * DAY) * 1000))
            .unwrap();
        fs::copy(&other.ca, dir.path().join("tls-ca.pem")).unwrap();
        let third = read(start + DAYS * DAY);
        assert!(third.0 != fs::read(&other.ca).unwrap() && third.1 != second.1);
        assert_eq!(read(start + DAYS * DAY), third);
        fs::write(dir.path().join("tls-key.pem"), "junk").unwrap();
        assert_ne!(read(start + DAYS * DAY), third);
        let named =
            DevCertificate::ensure(dir.path(), Some("https://chancery:8080"), Timestamp::from_millis(0)).unwrap();
        assert_ne!(fs::read(&named.files.cert).unwrap(), third.1);
        let issuer = Some("https://[fd00::1]:8080");
        let by_address = DevCertificate::ensure(dir.path(), issuer, Timestamp::from_millis(start * 1000)).unwrap();
        let tls = Tls::load(by_address.files.clone(), Protocol::Http).unwrap();
        assert!(tls.is_accepted(&by_address.ca, "fd00::1", start));
        let mode = fs::metadata(dir.path().join("tls-key.pem")).unwrap().permissions();
        #[cfg(unix)]
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o077, 0);
    }
}
