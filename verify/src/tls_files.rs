//! Certificates of one's own, in files that change: those of an authority, and that of a client.

use std::{
    io::{Error, Result},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::small_file::{SlowReads, read_pem};

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

    fn read(&self) -> Result<TlsPem> {
        let read = |path: &Path| {
            let named = |error| Error::other(format!("cannot read {}: {error}", path.display()));
            read_pem(path, MOST).map_err(named)
        };
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

/// Reads the files.
#[derive(Debug)]
pub(crate) struct TlsReader {
    files: TlsFiles,
    reads: SlowReads,
}

impl TlsReader {
    pub(crate) fn new(files: TlsFiles) -> Self {
        Self { files, reads: SlowReads::within(READ_TIMEOUT) }
    }

    /// Reads them, and waits for as long as that takes.
    pub(crate) fn read_now(&self) -> Result<TlsPem> {
        self.files.read()
    }

    pub(crate) async fn read(&self) -> Result<TlsPem> {
        let files = self.files.clone();
        let read = self.reads.read(move || files.read()).await;
        read.map_err(|slow| Error::other(format!("cannot read the TLS files: {slow}")))?
    }
}

/// What was made of the files the last time they could be used.
#[derive(Debug)]
pub(crate) struct InUse<T> {
    pem: TlsPem,
    made: T,
    /// Why they cannot be used as they are now.
    problem: Option<String>,
}

impl<T> InUse<T> {
    pub(crate) const fn new(pem: TlsPem, made: T) -> Self {
        Self { pem, made, problem: None }
    }

    pub(crate) const fn made(&self) -> &T {
        &self.made
    }

    /// Makes it anew if the files have changed. Files that cannot be used change nothing. Returns whether it was made anew.
    pub(crate) fn update(
        &mut self,
        read: Result<TlsPem>,
        build: impl FnOnce(&TlsPem) -> std::result::Result<T, String>,
    ) -> bool {
        let read = read.map_err(|error| error.to_string());
        if read.as_ref() == Ok(&self.pem) {
            self.problem = None;
            return false;
        }
        match read.and_then(|pem| Ok((build(&pem)?, pem))) {
            Ok((made, pem)) => {
                *self = Self::new(pem, made);
                true
            }
            Err(problem) => {
                self.note(problem);
                false
            }
        }
    }

    /// Notes why the files cannot be used, and logs it if that is new. Returns whether it is.
    fn note(&mut self, problem: String) -> bool {
        let is_new = self.problem.as_ref() != Some(&problem);
        if is_new {
            tracing::warn!(problem, "cannot use the TLS files; the last ones stay");
            self.problem = Some(problem);
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";

    #[tokio::test]
    async fn a_file_that_is_empty_junk_or_half_written_is_no_authority() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let reader = TlsReader::new(TlsFiles::new().ca_file(&path));
        // Some editors put a mark before the text.
        for text in [WHOLE, &format!("\u{feff}{WHOLE}")] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(reader.read().await.unwrap().ca.unwrap(), WHOLE.as_bytes());
        }
        for text in ["", "junk", &WHOLE[..40], &format!("{WHOLE}-----BEGIN CERTIFICATE-----\nMA")] {
            std::fs::write(&path, text).unwrap();
            assert!(reader.read().await.is_err() && reader.read_now().is_err(), "{text:?}");
        }
    }

    #[test]
    fn files_that_stay_broken_are_said_to_be_so_once() {
        let pem = |text: &str| TlsPem { ca: Some(text.into()), client: None };
        let mut in_use = InUse::new(pem("a"), 1);
        assert!(in_use.note("empty".to_owned()) && !in_use.note("empty".to_owned()), "once");
        assert!(in_use.note("junk".to_owned()), "another problem is new");
        assert!(!in_use.update(Err(Error::other("junk")), |_| Ok(2)) && *in_use.made() == 1);
        assert!(!in_use.note("junk".to_owned()), "it is the same problem");
        assert!(!in_use.update(Ok(pem("a")), |_| Ok(2)), "the files are as before");
        assert!(in_use.note("junk".to_owned()), "it was over meanwhile");
        assert!(!in_use.update(Ok(pem("b")), |_| Err("unusable".to_owned())) && *in_use.made() == 1);
        assert!(in_use.update(Ok(pem("b")), |_| Ok(2)) && *in_use.made() == 2);
        assert!(in_use.note("unusable".to_owned()), "it was over meanwhile");
    }
}
