//! `GET /.well-known/jwks.json`.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, Response, StatusCode, header},
};

use super::etag;
use crate::{
    domain::settings::{JWKS_MAX_AGE, JWKS_STALE_IF_ERROR},
    service::Service,
};

/// The key set, with the cache policy that the rotation's waits are computed from.
pub(super) async fn jwks(State(service): State<Service>, headers: HeaderMap) -> Response<Body> {
    let ring = service.live().snapshot().ring.clone();
    let policy =
        format!("public, max-age={}, stale-if-error={}", JWKS_MAX_AGE.seconds(), JWKS_STALE_IF_ERROR.seconds());
    let unchanged = etag::named(&headers, &ring.etag);
    let (status, body) =
        if unchanged { (StatusCode::NOT_MODIFIED, Body::empty()) } else { (StatusCode::OK, ring.jwks.clone().into()) };
    let response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/jwk-set+json")
        .header(header::CACHE_CONTROL, policy)
        .header(header::ETAG, &ring.etag)
        .body(body);
    response.unwrap_or_default()
}
