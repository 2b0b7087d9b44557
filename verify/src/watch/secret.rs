//! The secret that a verifier watches with. It may change in its file while the process runs.

use std::{
    fmt,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use tonic::metadata::{Ascii, MetadataValue};

use super::WatchError;
use crate::small_file::SmallFile;

/// A larger file holds no secret.
const MAX_FILE: u64 = 4096;
/// How long the file system may take.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// A client, its secret, and perhaps the file with the secret.
pub(super) struct Credentials {
    client_id: String,
    file: Option<SecretFile>,
    secrets: Mutex<Secrets>,
}

/// What is known of the secret.
#[derive(Clone)]
struct Secrets {
    /// The one that was given, or the last one that the file had.
    latest: String,
    /// The last one that the issuer accepted.
    accepted: Option<String>,
    /// The last one that the issuer refused.
    refused: Option<String>,
}

impl Secrets {
    /// The secret for the next connection. If the latest was refused, it is the one that was accepted before: the
    /// file may be half written, or may have been written before the issuer knows the secret.
    fn next(&self) -> &str {
        let latest_is_refused = self.refused.as_ref() == Some(&self.latest);
        self.accepted.as_ref().filter(|_| latest_is_refused).unwrap_or(&self.latest)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Credentials that do not change.
    pub(super) fn new(client_id: &str, secret: &str) -> Result<Self, WatchError> {
        if client_id.is_empty() || secret.is_empty() {
            return Err(WatchError::Credentials);
        }
        let secrets = Secrets { latest: secret.to_owned(), accepted: None, refused: None };
        let all = Self { client_id: client_id.to_owned(), file: None, secrets: Mutex::new(secrets) };
        all.header(secret).ok_or(WatchError::Credentials)?;
        Ok(all)
    }

    /// The same, but the secret is read from this file before each connection.
    pub(super) fn read_from(&self, file: PathBuf) -> Self {
        let secrets = self.secrets().clone();
        let file = Some(SecretFile::new(file));
        Self { client_id: self.client_id.clone(), file, secrets: Mutex::new(secrets) }
    }

    /// The secret for the next connection, and the header that presents it.
    pub(super) async fn current(&self) -> Option<(String, MetadataValue<Ascii>)> {
        if let Some(file) = &self.file {
            match file.read().await {
                Ok(secret) => self.secrets().latest = secret,
                Err(error) => {
                    tracing::warn!(file = %file.0.path().display(), %error, "cannot read the client's secret; the last one stays");
                }
            }
        }
        let secret = self.secrets().next().to_owned();
        let header = self.header(&secret)?;
        Some((secret, header))
    }

    /// Notes that the issuer has accepted a secret, or that it has not.
    pub(super) fn answered(&self, secret: String, accepted: bool) {
        let mut secrets = self.secrets();
        if accepted {
            secrets.refused.take_if(|refused| *refused == secret);
            secrets.accepted = Some(secret);
        } else {
            secrets.refused = Some(secret);
        }
    }

    fn secrets(&self) -> MutexGuard<'_, Secrets> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn header(&self, secret: &str) -> Option<MetadataValue<Ascii>> {
        let pair = format!("{}:{}", form_encoded(&self.client_id), form_encoded(secret));
        let mut value: MetadataValue<Ascii> = format!("Basic {}", STANDARD.encode(pair)).parse().ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// A file with a secret.
#[derive(Debug)]
pub(super) struct SecretFile(SmallFile);

impl SecretFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(SmallFile::new(path, MAX_FILE, READ_TIMEOUT))
    }

    /// Reads the secret without the end of its line.
    pub(super) async fn read(&self) -> std::io::Result<String> {
        let bytes = self.0.read().await?;
        let text = String::from_utf8(bytes).map_err(|_| std::io::Error::other("it is not text"))?;
        let secret = text.trim_end_matches(['\r', '\n']);
        if secret.is_empty() {
            return Err(std::io::Error::other("it is empty"));
        }
        Ok(secret.to_owned())
    }
}

/// Form-encodes a half of `Basic` credentials, as RFC 6749 §2.3.1 requires before they are joined.
fn form_encoded(text: &str) -> String {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if unreserved(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_file(file: &std::path::Path) -> Credentials {
        Credentials::new("guard", "first").unwrap().read_from(file.to_owned())
    }

    async fn secret(credentials: &Credentials) -> String {
        let (secret, header) = credentials.current().await.unwrap();
        let pair = format!("guard:{}", form_encoded(&secret));
        assert_eq!(header.to_str().unwrap(), format!("Basic {}", STANDARD.encode(pair)));
        secret
    }

    #[test]
    fn credentials_are_form_encoded_and_left_out_of_debug_output() {
        assert_eq!(form_encoded("a:b p%é"), "a%3Ab%20p%25%C3%A9");
        assert!(!format!("{:?}", Credentials::new("guard", "opensesame").unwrap()).contains("sesame"));
    }

    #[tokio::test]
    async fn each_connection_presents_the_secret_that_the_file_has_then() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        std::fs::write(&file, "first\n").unwrap();
        let credentials = with_file(&file);
        assert_eq!(secret(&credentials).await, "first");
        std::fs::write(&file, "second\r\n").unwrap();
        assert_eq!(secret(&credentials).await, "second");
    }

    #[tokio::test]
    async fn a_secret_behind_the_symbolic_links_of_kubernetes_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let version = |name: &str, secret: &str| {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            std::fs::write(dir.path().join(name).join("secret"), secret).unwrap();
            std::os::unix::fs::symlink(name, dir.path().join("..new")).unwrap();
            std::fs::rename(dir.path().join("..new"), dir.path().join("..data")).unwrap();
        };
        version("..1", "first");
        std::os::unix::fs::symlink("..data/secret", dir.path().join("secret")).unwrap();
        let credentials = with_file(&dir.path().join("secret"));
        assert_eq!(secret(&credentials).await, "first");
        version("..2", "second");
        std::fs::remove_dir_all(dir.path().join("..1")).unwrap();
        assert_eq!(secret(&credentials).await, "second");
    }

    #[tokio::test]
    async fn a_file_that_is_missing_empty_huge_not_text_or_no_file_leaves_the_last_secret() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        std::fs::write(&file, "second").unwrap();
        let credentials = with_file(&file);
        assert_eq!(secret(&credentials).await, "second");
        for content in [&b""[..], b"\n", b"\xff\xfe", &[b'a'; 5000]] {
            std::fs::write(&file, content).unwrap();
            assert_eq!(secret(&credentials).await, "second", "{} bytes", content.len());
        }
        std::fs::remove_file(&file).unwrap();
        assert_eq!(secret(&credentials).await, "second");
        std::fs::create_dir(&file).unwrap();
        assert_eq!(secret(&credentials).await, "second");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_builder_takes_the_secret_from_a_regular_file_and_says_what_is_wrong_with_another() {
        use crate::Watch;

        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("good"), "second\n").unwrap();
        let watch = Watch::builder_with_secret_file("http://127.0.0.1:9", "guard", at("good")).await.unwrap();
        assert_eq!(secret(&watch.build().unwrap().credentials).await, "second");
        assert!(std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
        std::fs::write(at("empty"), "\n").unwrap();
        std::fs::write(at("large"), "s".repeat(4097)).unwrap();
        std::fs::write(at("binary"), b"\xff\xfe").unwrap();
        for (name, says) in [
            ("pipe", "it is not a regular file"),
            ("empty", "it is empty"),
            ("large", "it is larger than 4096 bytes"),
            ("binary", "it is not text"),
            ("missing", "No such file"),
        ] {
            let built = Watch::builder_with_secret_file("http://127.0.0.1:9", "guard", at(name)).await;
            let error = built.unwrap_err().to_string();
            assert!(error.contains(says), "{name}: {error}");
        }
    }

    #[tokio::test]
    async fn a_half_written_secret_that_the_issuer_refuses_gives_way_to_the_last_good_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        std::fs::write(&file, "first").unwrap();
        let credentials = with_file(&file);
        let first = secret(&credentials).await;
        credentials.answered(first, true);
        std::fs::write(&file, "sec").unwrap();
        let half = secret(&credentials).await;
        assert_eq!(half, "sec");
        credentials.answered(half, false);
        assert_eq!(secret(&credentials).await, "first");
        std::fs::write(&file, "second").unwrap();
        assert_eq!(secret(&credentials).await, "second");
    }

    #[tokio::test]
    async fn a_new_secret_is_tried_again_once_the_old_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        std::fs::write(&file, "first").unwrap();
        let credentials = with_file(&file);
        credentials.answered("first".to_owned(), true);
        // The file is ahead of the issuer.
        std::fs::write(&file, "second").unwrap();
        credentials.answered("second".to_owned(), false);
        assert_eq!(secret(&credentials).await, "first");
        credentials.answered("first".to_owned(), false);
        assert_eq!(secret(&credentials).await, "second");
        credentials.answered("second".to_owned(), true);
        assert_eq!(secret(&credentials).await, "second");
    }
}
