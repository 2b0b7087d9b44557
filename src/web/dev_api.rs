//! `GET /dev/api`: the `OpenAPI` document of a demo as a page, with a line for each method that works when it is pasted.

mod html;
mod sample;
mod view;

use std::sync::{Arc, LazyLock};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};

use self::view::Api;
use super::{ApiDocument, dev_mail::host_is_loopback};

const STYLE: &str = include_str!("dev_api/style.css");

/// What everybody knows about a demo.
#[derive(Clone, Debug)]
pub struct DemoSecrets {
    /// The program curl, with the flags by which it trusts the server.
    pub curl: String,
    /// The user's login.
    pub username: String,
    /// The user's password.
    pub password: String,
    /// The public client.
    pub app: &'static str,
    /// The confidential client.
    pub service: &'static str,
    /// Its secret.
    pub secret: &'static str,
}

type Write = Box<dyn FnOnce() -> String + Send>;
type Page = Arc<LazyLock<String, Write>>;

/// The routes. Unlike the public routes, they allow no other origin to read them.
pub fn routes(document: ApiDocument, demo: DemoSecrets) -> Router {
    let write = move || html::page(&Api::of(document.json()), &demo);
    let page: Page = Arc::new(LazyLock::new(Box::new(write)));
    Router::new().route("/dev/api", get(show)).with_state(page).route("/dev/api.css", get(style))
}

async fn show(State(page): State<Page>, uri: Uri, headers: HeaderMap) -> Response {
    if !host_is_loopback(&uri, &headers) {
        return (StatusCode::FORBIDDEN, "this page is served on http://localhost and loopback addresses only\n")
            .into_response();
    }
    let mut response = axum::response::Html((**page).clone()).into_response();
    let out = response.headers_mut();
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    out.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    out.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let policy = "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
                  frame-ancestors 'none'";
    out.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

async fn style() -> impl IntoResponse {
    let headers = [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, STYLE)
}
