//! Certificates of one's own, in files that change: those of an authority, and that of a client.

use std::{
    io::{Error, Result},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::small_file::{SmallFile, read_file};

/// More than any bundle of authorities takes.
const MOST: u64 = 1 << 20;
/// How long the file system may take.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// The files of connections with TLS, in PEM. They are read again when a connection is made and they have changed, so
/// that certificates that live for hours need no restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct TlsFiles {
    ca: Option<PathBuf>,
    client: Option<(PathBuf, PathBuf)>,
}

impl TlsFiles {
    /// No files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the authorities in this file, in place of the system's.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca = Some(path.into());
        self
    }

    /// Presents the certificate in the first file, whose private key is in the second, to a server that asks for one.
    pub fn client_certificate_files(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.client = Some((certificate.into(), key.into()));
        self
    }

    /// Whether the system's authorities are not trusted.
    #[cfg(feature = "watch")]
    pub(crate) const fn has_authorities(&self) -> bool {
        self.ca.is_some()
    }

    /// Reads them, for the first time.
    pub(crate) fn read_now(&self) -> Result<TlsPem> {
        let read = |path: &Path| read_file(path, MOST).map_err(|error| named(path, &error));
        let client = self.client.as_ref().map(|(cert, key)| Ok::<_, Error>((read(cert)?, read(key)?)));
        TlsPem { ca: self.ca.as_deref().map(read).transpose()?, client: client.transpose()? }.checked()
    }
}

/// What the files have in them.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct TlsPem {
    pub(crate) ca: Option<Vec<u8>>,
    /// A certificate and its private key.
    pub(crate) client: Option<(Vec<u8>, Vec<u8>)>,
}

impl TlsPem {
    /// The same if it can be used: a file that is being written has half a certificate, or none.
    fn checked(self) -> Result<Self> {
        let none = || Error::other("there is no certificate in PEM in the file with authorities");
        if let Some(ca) = &self.ca {
            let all = reqwest::Certificate::from_pem_bundle(ca).map_err(|_| none())?;
            let text = String::from_utf8_lossy(ca);
            let whole = text.matches("-----BEGIN ").count() == text.matches("-----END ").count();
            if all.is_empty() || !whole {
                return Err(none());
            }
        }
        Ok(self)
    }
}

impl std::fmt::Debug for TlsPem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsPem")
    }
}

/// Reads the files again.
#[derive(Debug)]
pub(crate) struct TlsReader {
    ca: Option<SmallFile>,
    client: Option<(SmallFile, SmallFile)>,
}

impl TlsReader {
    pub(crate) fn new(files: &TlsFiles) -> Self {
        let file = |path: &PathBuf| SmallFile::new(path.clone(), MOST, READ_TIMEOUT);
        Self {
            ca: files.ca.as_ref().map(file),
            client: files.client.as_ref().map(|(cert, key)| (file(cert), file(key))),
        }
    }

    pub(crate) async fn read(&self) -> Result<TlsPem> {
        let mut pem = TlsPem::default();
        if let Some(file) = &self.ca {
            pem.ca = Some(read(file).await?);
        }
        if let Some((cert, key)) = &self.client {
            pem.client = Some((read(cert).await?, read(key).await?));
        }
        pem.checked()
    }
}

async fn read(file: &SmallFile) -> Result<Vec<u8>> {
    file.read().await.map_err(|error| named(file.path(), &error))
}

fn named(path: &Path, error: &Error) -> Error {
    Error::other(format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_is_empty_junk_or_half_written_is_no_authority() {
        const WHOLE: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let files = TlsFiles::new().ca_file(&path);
        let reader = TlsReader::new(&files);
        std::fs::write(&path, WHOLE).unwrap();
        assert_eq!(reader.read().await.unwrap().ca.unwrap(), WHOLE.as_bytes());
        for text in ["", "junk", &WHOLE[..40], &format!("{WHOLE}-----BEGIN CERTIFICATE-----\nMA")] {
            std::fs::write(&path, text).unwrap();
            assert!(reader.read().await.is_err() && files.read_now().is_err(), "{text:?}");
        }
    }
}
