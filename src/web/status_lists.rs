//! `GET /statuslists` and `GET /statuslists/{id}` (draft-ietf-oauth-status-list §8, §9).

use std::sync::Arc;

use std::io::Write;

use axum::{
    Json,
    body::Body,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, Response, StatusCode, header},
    response::IntoResponse,
};
use flate2::{Compression, write::GzEncoder};
use serde_json::json;

use super::etag;
use crate::{
    error::Error,
    service::{ServedList, Service},
};

/// Lists the URIs of all status lists.
pub(super) async fn all(State(service): State<Arc<Service>>) -> Response<Body> {
    match service.status_lists.all_or_last().await {
        Ok(lists) => {
            let uris: Vec<String> = lists.into_iter().map(|list| service.status_lists.list_uri(list)).collect();
            Json(json!({ "status_lists": uris })).into_response()
        }
        Err(error) => unavailable(&error),
    }
}

/// Serves one signed status list.
pub(super) async fn one(
    State(service): State<Arc<Service>>,
    Path(list): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    // Historical lists are not kept (§8.4).
    if query.is_some_and(|q| q.split('&').any(|pair| pair == "time" || pair.starts_with("time="))) {
        return (StatusCode::NOT_IMPLEMENTED, "past lists are not kept\n").into_response();
    }
    let Ok(list) = list.parse() else { return not_found() };
    let ServedList { list: published, age } = match service.status_lists.serve(list).await {
        Ok(Some(served)) => served,
        Ok(None) => return not_found(),
        Err(error) => return unavailable(&error),
    };
    let gzip = accepts_gzip(&headers);
    // Different bytes need a different strong tag (RFC 9110 §8.8.3).
    let tag = if gzip { published.etag.replacen('"', "\"gzip-", 1) } else { published.etag.clone() };
    let unchanged = etag::matches(&headers, &tag);
    let body = match (unchanged, gzip) {
        (true, _) => Body::empty(),
        (false, true) => Body::from(gzip_compress(&published.token)),
        (false, false) => Body::from(published.token.clone()),
    };
    let mut response = Response::builder()
        .status(if unchanged { StatusCode::NOT_MODIFIED } else { StatusCode::OK })
        .header(header::CONTENT_TYPE, "application/statuslist+jwt")
        // Time in a cache would delay revocations beyond what verifiers allow for.
        .header(header::CACHE_CONTROL, "public, no-cache")
        .header(header::VARY, "accept-encoding")
        .header(header::ETAG, tag);
    if let Some(age) = age {
        // A list that may be out of date says so (RFC 9111 §5.1).
        response = response.header(header::AGE, age.seconds());
    }
    if gzip && !unchanged {
        response = response.header(header::CONTENT_ENCODING, "gzip");
    }
    response.body(body).unwrap_or_default()
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok());
    values.flat_map(|v| v.split(',')).map(str::trim).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        name.trim().eq_ignore_ascii_case("gzip") && !matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
    })
}

/// Compresses with gzip. Writing to memory cannot fail.
fn gzip_compress(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let _ = gzip.write_all(bytes);
    gzip.finish().unwrap_or_default()
}

fn not_found() -> Response<Body> {
    (StatusCode::NOT_FOUND, "there is no such list\n").into_response()
}

fn unavailable(error: &Error) -> Response<Body> {
    tracing::warn!(cause = ?error, "cannot serve a status list");
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], "try again\n").into_response()
}
