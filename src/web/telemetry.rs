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

/// What an operator has to know now, a sentence each.
type Warnings = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// The routes. `warnings` are what `/readyz` says besides.
pub fn routes(
    service: Service,
    metrics: Arc<Metrics>,
    warnings: impl Fn() -> Vec<String> + Send + Sync + 'static,
) -> Router {
    let warnings: Warnings = Arc::new(warnings);
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .with_state((service, metrics.clone(), warnings))
        .merge(Router::new().route("/metrics", get(metrics_text)).with_state(metrics))
}

/// Ready while this process may sign tokens, its database takes changes, and it is not shutting down. Warnings change
/// nothing about that: a process that is taken out of service over them helps nobody.
async fn readyz(State((service, metrics, warnings)): State<(Service, Arc<Metrics>, Warnings)>) -> impl IntoResponse {
    let (status, line) = match why_not_ready(&service, &metrics) {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why + "\n"),
    };
    let warnings = warnings().into_iter().map(|warning| format!("warning: {warning}\n"));
    (status, warnings.fold(line, |text, warning| text + &warning))
}

fn why_not_ready(service: &Service, metrics: &Metrics) -> Option<String> {
    if let Some(lacks) = service.live.lacking_sealing_key() {
        return Some(lacks.to_string());
    }
    let why = match (service.live.is_fresh(), service.store().takes_changes(), metrics.is_ready()) {
        (true, true, true) => return None,
        (false, _, _) => "the database has not been confirmed recently",
        (true, false, _) => "the database takes no changes",
        (true, true, false) => "stopping",
    };
    Some(why.to_owned())
}

async fn metrics_text(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], metrics.text())
}
