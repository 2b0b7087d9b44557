//! Fetches small documents over HTTP(S).

use std::time::Duration;

use reqwest::{Client, ClientBuilder, StatusCode, Url, header, redirect::Policy};

use super::caching;
use crate::causes::with_causes;

/// Time limit of a fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a document could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("no HTTPS connection can be made: {0}; is a package with CA certificates installed?")]
    NoTls(String),
    #[error("{0}")]
    Failed(String),
    #[error("unexpected HTTP status {0}")]
    Status(u16),
    #[error("redirects are not followed")]
    Redirected,
    #[error("the document is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the document is not UTF-8 text")]
    NotText,
}

impl From<reqwest::Error> for HttpError {
    fn from(error: reqwest::Error) -> Self {
        // The URL may contain secrets.
        Self::Failed(with_causes(&error.without_url()))
    }
}

/// A document.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) body: Vec<u8>,
    /// `max-age` in seconds, if the response has one.
    pub(super) max_age: Option<i64>,
    /// How long the document has been in caches, in milliseconds.
    pub(super) age_ms: i64,
}

/// A client that follows no redirects: they could lead to someone else's keys or lists.
#[derive(Clone, Debug)]
pub(super) struct HttpClient {
    client: Option<Client>,
    /// Why HTTPS is impossible: for one, a machine may have no CA certificates.
    no_tls: Option<String>,
}

impl HttpClient {
    pub(super) fn new() -> Self {
        let builder = || Client::builder().redirect(Policy::none());
        match builder().build() {
            Ok(client) => client.into(),
            // Plain HTTP needs no certificates.
            Err(error) => Self { client: without_certificates(builder()), no_tls: Some(with_causes(&error)) },
        }
    }

    /// Fetches a document of at most `limit` bytes. The limits hold for a client of the user's own too.
    pub(super) async fn get(&self, url: &Url, accept: &str, limit: usize) -> Result<Document, HttpError> {
        let no_tls = self.no_tls.as_ref().filter(|_| url.scheme() != "http" || self.client.is_none());
        if let Some(reason) = no_tls {
            return Err(HttpError::NoTls(reason.clone()));
        }
        let Some(client) = &self.client else { return Err(HttpError::NoTls(String::new())) };
        let request = client.get(url.clone()).timeout(FETCH_TIMEOUT).header(header::ACCEPT, accept);
        let mut response = request.send().await?;
        // A client of the user's own may follow redirects.
        if response.url() != url {
            return Err(HttpError::Redirected);
        }
        if response.status() != StatusCode::OK {
            return Err(HttpError::Status(response.status().as_u16()));
        }
        let lines = |name| response.headers().get_all(name).iter().map(header::HeaderValue::as_bytes);
        let max_age = caching::max_age(lines(header::CACHE_CONTROL));
        let age_ms = caching::age(lines(header::AGE)).saturating_mul(1000);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > limit {
                return Err(HttpError::TooLarge(limit));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Document { body, max_age, age_ms })
    }
}

impl From<Client> for HttpClient {
    fn from(client: Client) -> Self {
        Self { client: Some(client), no_tls: None }
    }
}

fn without_certificates(builder: ClientBuilder) -> Option<Client> {
    builder.tls_certs_only([]).build().ok()
}
