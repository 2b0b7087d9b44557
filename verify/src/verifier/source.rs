//! Sources of the issuer's keys.

use std::{path::PathBuf, time::Duration};

use reqwest::Url;

use super::http::{HttpClient, HttpError};
use crate::{KeySet, KeySetError, small_file::SmallFile};

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
    File(SmallFile),
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
    #[error("cannot read the file: {0}")]
    File(#[from] std::io::Error),
    #[error("{0}")]
    Bad(#[from] KeySetError),
    #[error("the key set is fixed and cannot be read again")]
    Fixed,
}

impl Source {
    /// A file with keys.
    pub(super) fn file(path: PathBuf) -> Self {
        Self::File(SmallFile::new(path, MAX_BODY as u64, FILE_TIMEOUT))
    }

    /// Reads the keys.
    pub(super) async fn read(&self) -> Result<ReadKeys, SourceError> {
        match self {
            Self::Url { url, client } => download(client, url).await,
            Self::File(file) => from_file(file).await,
            Self::Fixed => Err(SourceError::Fixed),
        }
    }
}

/// The set that a file has.
async fn from_file(file: &SmallFile) -> Result<ReadKeys, SourceError> {
    let body = file.read().await?;
    Ok(ReadKeys { set: KeySet::from_json(&body)?, max_age_ms: DEFAULT_MAX_AGE * 1000, age_ms: 0 })
}

async fn download(client: &HttpClient, url: &Url) -> Result<ReadKeys, SourceError> {
    let response = client.get(url, "*/*", MAX_BODY).await?;
    let max_age = response.max_age.unwrap_or(DEFAULT_MAX_AGE).clamp(MAX_AGE.0, MAX_AGE.1);
    Ok(ReadKeys { set: KeySet::from_json(&response.body)?, max_age_ms: max_age * 1000, age_ms: response.age_ms })
}
