//! `/healthz`, `/readyz`, `/metrics`, on a listener of their own.

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
        .with_state(service)
        .merge(Router::new().route("/metrics", get(text)).with_state(metrics))
}

/// Ready while this process may sign.
async fn readyz(State(service): State<Service>) -> impl IntoResponse {
    if service.live().is_fresh() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the database could not be confirmed lately\n")
    }
}

async fn text(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], metrics.text())
}
