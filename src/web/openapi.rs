//! `GET /openapi.json`: what can be called here. Another edge writes the document; this one serves it.

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use aws_lc_rs::digest;
use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
    routing::get,
};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use bytes::Bytes;
use serde_json::Value;

use super::{add_public_headers, etag, preflight};

/// The document changes with the program and its configuration alone, so it may be a little older.
const CACHE_POLICY: HeaderValue = HeaderValue::from_static("public, max-age=300");

type Write = Box<dyn FnOnce() -> Written + Send>;

/// The `OpenAPI` document, which is written when it is first asked for.
#[derive(Clone)]
pub struct ApiDocument(Arc<LazyLock<Written, Write>>);

/// A document as it is served.
struct Written {
    body: Bytes,
    etag: String,
}

impl ApiDocument {
    /// A document that this function writes.
    #[must_use]
    pub fn new(write: impl FnOnce() -> Value + Send + 'static) -> Self {
        let write = move || {
            let body = Bytes::from(write().to_string());
            let hash = digest::digest(&digest::SHA256, &body);
            let start = hash.as_ref().get(..16).unwrap_or_default();
            Written { etag: format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(start)), body }
        };
        Self(Arc::new(LazyLock::new(Box::new(write))))
    }

    /// The document.
    #[must_use]
    pub fn json(&self) -> &[u8] {
        &self.0.body
    }
}

impl fmt::Debug for ApiDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiDocument")
    }
}

/// The route, if there is a document.
pub(super) fn routes(document: Option<ApiDocument>) -> Router {
    let Some(document) = document else { return Router::new() };
    Router::new().route("/openapi.json", get(serve).options(preflight)).with_state(document)
}

async fn serve(State(document): State<ApiDocument>, headers: HeaderMap) -> Response<Body> {
    let Written { body, etag } = &**document.0;
    let unchanged = etag::matches(&headers, etag);
    let mut response = Response::new(if unchanged { Body::empty() } else { body.clone().into() });
    if unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    out.insert(header::CACHE_CONTROL, CACHE_POLICY);
    add_public_headers(out);
    if let Ok(etag) = HeaderValue::from_str(etag) {
        out.insert(header::ETAG, etag);
    }
    response
}
