//! Which pages may call, and read the answers (Fetch, "CORS protocol"). Browsers ask before they send JSON or gRPC-Web to
//! another origin. An answer names one origin and never allows cookies.

use std::{borrow::Cow, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use tonic::body::Body;

use super::{HttpRpcService, whole};
use crate::{
    grpc::status::status,
    service::{Access, RequestContext},
};

/// Headers that a page may send.
const SENT: &str = "authorization, content-type, connect-protocol-version, connect-timeout-ms, grpc-timeout, \
                    x-grpc-web, x-user-agent";
/// Headers of answers that a page may read.
const READ: &str = "grpc-status, grpc-message, grpc-status-details-bin, retry-after, www-authenticate, x-request-id";
/// How long a browser may remember a preflight, in seconds: Chromium takes no more.
const MAX_AGE: &str = "7200";
const METHOD: HeaderName = header::ACCESS_CONTROL_REQUEST_METHOD;

/// Answers a browser that asks whether a page may call. Any client's origins count, because the client is not known yet.
pub(super) fn preflight(rpc: &HttpRpcService, ctx: &RequestContext, request: &Request<Body>) -> Response<Body> {
    let headers = request.headers();
    let asks = headers.get(METHOD).is_some_and(|method| method == "POST");
    let mut response = Response::new(Body::empty());
    vary(response.headers_mut());
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST, OPTIONS"));
    match origin(headers).filter(|_| asks) {
        Some(origin) if rpc.service.callers.allows_preflight(request.uri().path(), &origin) => {
            *response.status_mut() = StatusCode::NO_CONTENT;
            let headers = response.headers_mut();
            insert_origin(headers, &origin);
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(SENT));
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
        }
        Some(_) => {
            // The call itself never comes, so this is all that says why.
            if let Err(error) = rpc.service.callers.check_page(ctx, Access::Client) {
                rpc.layer.record_refusal(ctx, request.uri().path(), status(ctx, &error), Duration::ZERO);
            }
            *response.status_mut() = StatusCode::FORBIDDEN;
            *response.body_mut() = whole("no client has declared this origin\n");
        }
        None => *response.status_mut() = StatusCode::NO_CONTENT,
    }
    response
}

/// The origin of the page behind a request; of nobody if there are two, or if it is no text.
pub(super) fn origin(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(header::ORIGIN).iter().map(|origin| String::from_utf8_lossy(origin.as_bytes()));
    all.map(Cow::into_owned).reduce(|one, other| format!("{one}, {other}"))
}

/// Lets the page of an origin read the answer.
pub(super) fn let_read(response: &mut Response<Body>, origin: Option<&str>) {
    let headers = response.headers_mut();
    vary(headers);
    if let Some(origin) = origin {
        insert_origin(headers, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(READ));
    }
}

fn insert_origin(headers: &mut HeaderMap, origin: &str) {
    if let Ok(origin) = HeaderValue::from_str(origin) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
}

fn vary(headers: &mut HeaderMap) {
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
}
