//! A machine has several names for itself, and cookies tell them apart. In a demo, whoever opens a page under another name
//! than the declared one is led there.

use axum::{
    http::{HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};

use super::arrival::Arrival;
use crate::{
    domain::site::{Site, is_loopback_host, origin_of},
    service::Snapshot,
};

/// The way to the declared name, for a page that was asked for under another name of this machine.
pub(super) fn declared_name(snapshot: &Snapshot, arrival: &Arrival, method: &Method, uri: &Uri) -> Option<Response> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    let origin = origin_of(arrival.scheme, &arrival.authority)?;
    // As a site, only to take host and port apart.
    let asked = Site::at(&origin, "/x").ok().filter(|site| is_loopback_host(site.host()))?;
    let of_the_listener = |site: &&Site| site.is_secure() == asked.is_secure() && site.port() == asked.port();
    let mut same_port: Vec<&Site> = snapshot.sites().filter(of_the_listener).collect();
    same_port.sort_by_key(|site| site.origin());
    let declared = same_port.first().filter(|site| site.origin() != origin)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let location = HeaderValue::try_from(format!("{}{path}", declared.origin())).ok()?;
    let mut response = StatusCode::TEMPORARY_REDIRECT.into_response();
    response.headers_mut().insert(header::LOCATION, location);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(response)
}
