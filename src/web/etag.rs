//! Entity tags.

use axum::http::{HeaderMap, header};

/// Whether `If-None-Match` contains this tag, by weak comparison (RFC 9110 §13.1.2).
pub(super) fn matches(headers: &HeaderMap, etag: &str) -> bool {
    let lists = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok());
    lists
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}
