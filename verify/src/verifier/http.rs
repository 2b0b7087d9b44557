//! Fetches small documents over HTTP(S).

use std::time::Duration;

use reqwest::{Client, ClientBuilder, StatusCode, header, redirect::Policy};

/// Time limit of a fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a document could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("no HTTPS connection can be made: {0}; is a package with CA certificates installed?")]
    NoTls(String),
    #[error("{0}")]
    Failed(reqwest::Error),
    #[error("unexpected HTTP status {0}")]
    Status(u16),
    #[error("the document is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the document is not UTF-8 text")]
    NotText,
}

impl From<reqwest::Error> for HttpError {
    fn from(error: reqwest::Error) -> Self {
        // The URL may contain secrets.
        Self::Failed(error.without_url())
    }
}

/// A document.
pub(super) struct Document {
    pub(super) body: Vec<u8>,
    /// The `Cache-Control` header; empty without one.
    pub(super) cache_control: String,
}

/// A client that follows no redirects: they could lead to someone else's keys or lists.
#[derive(Debug)]
pub(super) struct HttpClient {
    client: Option<Client>,
    /// Why HTTPS is impossible: for one, a machine may have no CA certificates.
    no_tls: Option<String>,
}

impl HttpClient {
    pub(super) fn new() -> Self {
        let builder = || Client::builder().timeout(FETCH_TIMEOUT).redirect(Policy::none());
        match builder().build() {
            Ok(client) => Self { client: Some(client), no_tls: None },
            // Plain HTTP needs no certificates.
            Err(error) => Self { client: without_certificates(builder()), no_tls: Some(with_causes(&error)) },
        }
    }

    /// Fetches a document of at most `limit` bytes.
    pub(super) async fn get(&self, url: &str, accept: &str, limit: usize) -> Result<Document, HttpError> {
        let no_tls = self.no_tls.as_ref().filter(|_| !url.starts_with("http://") || self.client.is_none());
        if let Some(reason) = no_tls {
            return Err(HttpError::NoTls(reason.clone()));
        }
        let Some(client) = &self.client else { return Err(HttpError::NoTls(String::new())) };
        let mut response = client.get(url).header(header::ACCEPT, accept).send().await?;
        if response.status() != StatusCode::OK {
            return Err(HttpError::Status(response.status().as_u16()));
        }
        let cache_control = response.headers().get(header::CACHE_CONTROL).and_then(|v| v.to_str().ok());
        let cache_control = cache_control.unwrap_or_default().to_owned();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > limit {
                return Err(HttpError::TooLarge(limit));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Document { body, cache_control })
    }
}

fn without_certificates(builder: ClientBuilder) -> Option<Client> {
    builder.tls_certs_only([]).build().ok()
}

/// An error with all its causes: reqwest's own text says little.
fn with_causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
