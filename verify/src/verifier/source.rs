//! Sources of the issuer's keys.

use std::{io::Read, path::PathBuf};

use super::http::{HttpClient, HttpError};
use crate::{KeySet, KeySetError};

/// Maximum size of a key set, in bytes.
const MAX_BODY: usize = 1024 * 1024;
/// How long a set is fresh if its source does not say.
const DEFAULT_MAX_AGE_MS: i64 = 300_000;

/// Where keys are read from.
pub(super) enum Source {
    Url { url: String, client: HttpClient },
    File(PathBuf),
    Fixed,
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
    #[error("{0}")]
    Bad(#[from] KeySetError),
    #[error("the key set is fixed and cannot be read again")]
    Fixed,
}

impl Source {
    pub(super) fn url(url: String) -> Self {
        Self::Url { url, client: HttpClient::new() }
    }

    /// Reads the keys; returns them with the milliseconds for which they are fresh.
    pub(super) async fn read(&self) -> Result<(KeySet, i64), SourceError> {
        match self {
            Self::Url { url, client } => download(client, url).await,
            Self::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || read_file(&path));
                read.await.unwrap_or_else(|e| Err(std::io::Error::other(e).into()))
            }
            Self::Fixed => Err(SourceError::Fixed),
        }
    }
}

fn read_file(path: &std::path::Path) -> Result<(KeySet, i64), SourceError> {
    let mut body = Vec::new();
    let limit = u64::try_from(MAX_BODY).unwrap_or(u64::MAX);
    std::fs::File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut body)?;
    if body.len() > MAX_BODY {
        return Err(SourceError::TooLarge);
    }
    Ok((KeySet::from_json(&body)?, DEFAULT_MAX_AGE_MS))
}

async fn download(client: &HttpClient, url: &str) -> Result<(KeySet, i64), SourceError> {
    let response = client.get(url, "*/*", MAX_BODY).await?;
    Ok((KeySet::from_json(&response.body)?, max_age_ms(&response.cache_control)))
}

/// `max-age` from `Cache-Control` (RFC 9111 §5.2.2.1), clamped to between 30 seconds and an hour.
fn max_age_ms(cache_control: &str) -> i64 {
    let parts = cache_control.split(',').map(str::trim);
    let seconds = parts.filter_map(|p| p.strip_prefix("max-age=")).find_map(|n| n.parse::<i64>().ok());
    seconds.map_or(DEFAULT_MAX_AGE_MS, |s| s.clamp(30, 3600) * 1000)
}

#[cfg(test)]
mod tests {
    use super::max_age_ms;

    #[test]
    fn max_age_is_read_and_clamped() {
        for (policy, ms) in [
            ("public, max-age=120", 120_000),
            ("max-age=0", 30_000),
            ("max-age=999999", 3_600_000),
            ("no-store", 300_000),
            ("", 300_000),
            ("s-maxage=5, max-age=x", 300_000),
        ] {
            assert_eq!(max_age_ms(policy), ms, "{policy:?}");
        }
    }
}
