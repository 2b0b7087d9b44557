//! Entity tags.

use axum::http::{HeaderMap, header};

/// Whether the caller has what this tag names already (RFC 9110 §13.1.2: weak comparison).
pub(super) fn named(headers: &HeaderMap, etag: &str) -> bool {
    let lists = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok());
    lists
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}
