//! `GET /.well-known/jwks.json`.

use std::sync::{Arc, LazyLock};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
};

use super::{add_public_headers, etag};
use crate::{
    domain::settings::{JWKS_MAX_AGE, JWKS_STALE_IF_ERROR},
    service::Service,
};

/// The caching policy. Key rotation derives its waiting times from the same settings.
static CACHE_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let (age, stale) = (JWKS_MAX_AGE.seconds(), JWKS_STALE_IF_ERROR.seconds());
    HeaderValue::try_from(format!("public, max-age={age}, stale-if-error={stale}")).unwrap_or(NO_STORE)
});
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Serves the key set.
pub(super) async fn jwks(State(service): State<Arc<Service>>, headers: HeaderMap) -> Response<Body> {
    let snapshot = service.live.snapshot();
    let ring = &snapshot.ring;
    let unchanged = !headers.is_empty() && etag::matches(&headers, &ring.etag);
    let body = if unchanged { Body::empty() } else { ring.page.clone().into() };
    let mut response = Response::new(body);
    if unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let out = response.headers_mut();
    out.reserve(6);
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
    out.insert(header::CACHE_CONTROL, CACHE_POLICY.clone());
    add_public_headers(out);
    if let Ok(etag) = HeaderValue::from_str(&ring.etag) {
        out.insert(header::ETAG, etag);
    }
    response
}
