//! Sources of the issuer's keys.

use std::{fs, io::Read, path::PathBuf, sync::Arc, time::Duration};

use reqwest::Url;
use tokio::{sync::Semaphore, time::timeout};

use super::http::{HttpClient, HttpError};
use crate::{KeySet, KeySetError};

/// Maximum size of a key set, in bytes.
const MAX_BODY: usize = 1024 * 1024;
/// How long a set is fresh, in seconds, if its source does not say.
const DEFAULT_MAX_AGE: i64 = 300;
/// The range that `max-age` is clamped to, in seconds.
const MAX_AGE: (i64, i64) = (30, 3600);
/// Time limit of reading a file: it may be on a network.
const FILE_TIMEOUT: Duration = Duration::from_secs(5);

/// Where keys are read from.
#[derive(Debug)]
pub(super) enum Source {
    Url { url: Url, client: HttpClient },
    File(KeyFile),
    Fixed,
}

/// Keys that were read.
#[derive(Debug)]
pub(super) struct ReadKeys {
    pub(super) set: KeySet,
    pub(super) max_age_ms: i64,
    /// How old they were when they arrived.
    pub(super) age_ms: i64,
}

/// Why keys could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    #[error("{0}")]
    Http(#[from] HttpError),
    #[error("the key set is larger than {MAX_BODY} bytes")]
    TooLarge,
    #[error("cannot read the file: {0}")]
    File(#[from] std::io::Error),
    #[error("cannot read the file: it is not a regular file")]
    NotRegular,
    #[error("cannot read the file: it took too long")]
    Slow,
    #[error("{0}")]
    Bad(#[from] KeySetError),
    #[error("the key set is fixed and cannot be read again")]
    Fixed,
}

impl Source {
    /// Reads the keys.
    pub(super) async fn read(&self) -> Result<ReadKeys, SourceError> {
        match self {
            Self::Url { url, client } => download(client, url).await,
            Self::File(file) => file.read().await,
            Self::Fixed => Err(SourceError::Fixed),
        }
    }
}

/// A file with keys.
#[derive(Debug)]
pub(super) struct KeyFile {
    path: PathBuf,
    /// One read at a time, so that reads that hang take up one thread and not all.
    reads: Arc<Semaphore>,
}

impl KeyFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, reads: Arc::new(Semaphore::new(1)) }
    }

    async fn read(&self) -> Result<ReadKeys, SourceError> {
        let permit = self.reads.clone().try_acquire_owned().map_err(|_| SourceError::Slow)?;
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || {
            let read = read_file(&path);
            drop(permit);
            read
        });
        let read = timeout(FILE_TIMEOUT, read).await.map_err(|_| SourceError::Slow)?;
        read.unwrap_or_else(|e| Err(std::io::Error::other(e).into()))
    }
}

fn read_file(path: &std::path::Path) -> Result<ReadKeys, SourceError> {
    // Opening a pipe without a writer would never end.
    if !fs::metadata(path)?.is_file() {
        return Err(SourceError::NotRegular);
    }
    let mut body = Vec::new();
    let limit = u64::try_from(MAX_BODY).unwrap_or(u64::MAX);
    fs::File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut body)?;
    if body.len() > MAX_BODY {
        return Err(SourceError::TooLarge);
    }
    Ok(ReadKeys { set: KeySet::from_json(&body)?, max_age_ms: DEFAULT_MAX_AGE * 1000, age_ms: 0 })
}

async fn download(client: &HttpClient, url: &Url) -> Result<ReadKeys, SourceError> {
    let response = client.get(url, "*/*", MAX_BODY).await?;
    let max_age = response.max_age.unwrap_or(DEFAULT_MAX_AGE).clamp(MAX_AGE.0, MAX_AGE.1);
    Ok(ReadKeys { set: KeySet::from_json(&response.body)?, max_age_ms: max_age * 1000, age_ms: response.age_ms })
}
