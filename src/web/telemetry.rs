//! `/healthz`, `/readyz` and `/metrics`, on a separate listener.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};

use crate::{metrics::Metrics, service::Service};

/// The routes.
pub fn routes(service: Service, metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .with_state((service, metrics.clone()))
        .merge(Router::new().route("/metrics", get(metrics_text)).with_state(metrics))
}

/// Ready while this process may sign tokens, its database takes changes, and it is not shutting down.
async fn readyz(State((service, metrics)): State<(Service, Arc<Metrics>)>) -> impl IntoResponse {
    match (service.live.is_fresh(), service.store().takes_changes(), metrics.is_ready()) {
        (true, true, true) => (StatusCode::OK, "ready\n"),
        (false, _, _) => (StatusCode::SERVICE_UNAVAILABLE, "the database has not been confirmed recently\n"),
        (true, false, _) => (StatusCode::SERVICE_UNAVAILABLE, "the database takes no changes\n"),
        (true, true, false) => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
    }
}

async fn metrics_text(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], metrics.text())
}
