//! The HTTP edge: JWKS, metadata, telemetry. Imports `service` and below, never `grpc` or `store`. The
//! only place that may name axum.

mod accept;
mod app_url;
pub mod browser;
mod check;
mod dev_api;
mod dev_app;
mod dev_mail;
mod etag;
mod issuer_path;
mod jwks;
mod metadata;
mod openapi;
pub mod pages;
mod rpc;
mod shared;
mod status_lists;
mod telemetry;

use std::{convert::Infallible, future::Future, sync::Arc};

pub use axum::Router;
use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Request, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};
use chancery_guard::listener::{self, Limits, Protocol, Socket};

use self::browser::BrowserState;
pub use self::{
    app_url::{AppUrl, AppUrlError},
    browser::{BrowserOptions, DevHints},
    check::{
        CHECK_SECRET, CheckAccess, CheckOptions, CheckSecret, Checker, Decision, ForwardedRequest, Identified,
        check_routes,
    },
    dev_api::{DemoSecrets, routes as dev_api_routes},
    dev_app::{DevApp, serve_app},
    dev_mail::routes as dev_routes,
    openapi::ApiDocument,
    shared::serve_with_grpc,
    telemetry::routes as telemetry_routes,
};
use crate::service::Service;

/// The public routes, with no proxy in front of them.
pub fn routes(service: Service) -> Router {
    routes_with(service, BrowserOptions::default())
}

/// The public routes without calls.
pub fn routes_with(service: Service, options: BrowserOptions) -> Router {
    routes_with_calls(service, options, None::<Router>)
}

/// The public routes, with those of the calls that `calls` answers. They share one `Arc`, because cloning the service for each request would update many reference
/// counts.
pub fn routes_with_calls<S>(service: Service, options: BrowserOptions, calls: Option<S>) -> Router
where
    S: tower::Service<Request<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Response: IntoResponse,
    S::Future: Send,
{
    let api = openapi::routes(options.api.clone());
    let calls = calls.map(|calls| rpc::routes(calls, options.proxies.clone())).unwrap_or_default();
    let state = BrowserState::new(service.clone(), options);
    let path = issuer_path::of(service.issuer()).map(str::to_owned);
    let documents = Router::new()
        .route("/.well-known/oauth-authorization-server", document(get(metadata::authorization_server)))
        .route("/.well-known/openid-configuration", document(get(metadata::openid_configuration)))
        .route("/statuslists", document(get(status_lists::all)))
        .route("/statuslists/{list}", document(get(status_lists::one)))
        .layer(axum::middleware::map_response(cors))
        // Sets its headers itself, because it is the most requested page.
        .route("/.well-known/jwks.json", document(get(jwks::jwks)))
        .with_state(Arc::new(service))
        .merge(api)
        .merge(calls);
    let nothing = Router::new().fallback(async || browser::not_found());
    let others = path.map_or(nothing, |path| issuer_path::also_below(documents.clone(), path));
    documents.merge(browser::front_routes(state.clone())).fallback_service(browser::routes(state, others))
}

/// A public document, with an answer to the preflight of a browser.
fn document(get: MethodRouter<Arc<Service>>) -> MethodRouter<Arc<Service>> {
    get.options(preflight)
}

/// Answers a preflight (Fetch, "CORS-preflight fetch"): any origin may read, with any header, for instance
/// `If-None-Match`.
async fn preflight() -> impl IntoResponse {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "*"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
        (header::ALLOW, "GET, HEAD, OPTIONS"),
    ];
    (StatusCode::NO_CONTENT, headers)
}

async fn cors(mut response: Response) -> Response {
    add_public_headers(response.headers_mut());
    response
}

/// Lets any origin read the response: everything here is public and carries no credentials.
fn add_public_headers(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("etag"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// Serves until `stop` resolves and all requests in flight are answered.
pub async fn serve(socket: impl Into<Socket>, limits: Limits, routes: Router, stop: impl Future<Output = ()>) {
    listener::serve(socket.into(), Protocol::Http, routes, limits, stop).await;
}
