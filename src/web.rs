//! The HTTP edge: JWKS, metadata, telemetry. Imports `service` and below, never `grpc` or `store`. The
//! only place that may name axum.

mod dev_mail;
mod etag;
mod jwks;
mod metadata;
mod status_lists;
mod telemetry;

use std::{future::Future, sync::Arc};

use axum::{
    Router,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
    routing::get,
};
use tokio::net::TcpListener;

pub use self::{dev_mail::routes as dev_routes, telemetry::routes as telemetry_routes};
use crate::service::Service;

/// The public routes. They share one `Arc`, because cloning the service for each request would update many reference
/// counts.
pub fn routes(service: Service) -> Router {
    Router::new()
        .route("/.well-known/oauth-authorization-server", get(metadata::authorization_server))
        .route("/.well-known/openid-configuration", get(metadata::openid_configuration))
        .route("/statuslists", get(status_lists::all))
        .route("/statuslists/{list}", get(status_lists::one))
        .layer(axum::middleware::map_response(cors))
        // Sets its headers itself, because it is the most requested page.
        .route("/.well-known/jwks.json", get(jwks::jwks))
        .with_state(Arc::new(service))
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
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, routes).with_graceful_shutdown(stop).await
}
