//! Forward-auth over HTTP, for nginx, Caddy and Traefik: `/check` gets the headers of a request, and answers
//! 200 with claims in headers, or with the refusal. `/preflight` does the same, but admits CORS preflights.
//!
//! Some proxies append the path of the original request, so every path below the two is answered alike. Neither the
//! path nor the method matters, and neither is logged.

use std::collections::BTreeSet;

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use chancery_verify::{Clock, Freshness, Refusal, SystemClock};
use serde_json::json;

use crate::{
    decision::{Decider, Question},
    listener::Tls,
};

/// The routes. Readiness tells what an operator has to know of these certificates.
pub(crate) fn routes(decider: Decider, certificates: Vec<Tls>) -> Router {
    let preflight = async |state, headers| check(state, headers, Question::TokenUnlessPreflight).await;
    let token = async |state, headers| check(state, headers, Question::Token).await;
    let readiness = async move |State(decider): State<Decider>| ready(&decider, &certificates);
    Router::new()
        .route("/check", any(token))
        .route("/check/", any(token))
        .route("/check/{*below}", any(token))
        .route("/preflight", any(preflight))
        .route("/preflight/", any(preflight))
        .route("/preflight/{*below}", any(preflight))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readiness))
        .with_state(decider)
}

async fn check(State(decider): State<Decider>, headers: HeaderMap, question: Question) -> Response {
    let all: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    match decider.decide(question, &all).await {
        Ok(headers) => (StatusCode::OK, header_map(headers)).into_response(),
        Err(refusal) => refused_response(&refusal),
    }
}

fn header_map(all: Vec<(&'static str, String)>) -> HeaderMap {
    let pair = |(name, value): (&'static str, String)| {
        // The value is percent-encoded, so the conversion does not fail.
        (HeaderName::from_static(name), HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("")))
    };
    all.into_iter().map(pair).collect()
}

fn refused_response(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::UNAUTHORIZED);
    let mut response = (status, format!("{refusal}\n")).into_response();
    let headers = response.headers_mut();
    if let Some(value) = refusal.www_authenticate().and_then(|v| HeaderValue::try_from(v).ok()) {
        headers.insert(header::WWW_AUTHENTICATE, value);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Answers 200 while valid tokens are accepted, 503 otherwise, with the state of keys and revocations. No certificate keeps it
/// from being ready: whoever asks has connected.
fn ready(decider: &Decider, certificates: &[Tls]) -> Response {
    let health = decider.gate().verifier().health();
    let (revocations, stale_ms) = match health.revocations {
        Freshness::NotFollowed => ("not followed", None),
        Freshness::NotReady => ("not ready", None),
        Freshness::Fresh => ("fresh", None),
        Freshness::Stale(ms) => ("stale", Some(ms)),
        _ => ("unknown", None),
    };
    let body = json!({
        "ready": health.ready,
        "keys": health.keys.err().map_or_else(|| "known".to_owned(), |e| e.to_string()),
        "revocations": revocations,
        "stale_ms": stale_ms,
        "would_refuse": decider.gate().observed_refusals(),
        "warnings": warnings(certificates),
    });
    let status = if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}

/// What an operator has to know of certificates, a sentence each.
fn warnings(certificates: &[Tls]) -> Vec<String> {
    let now = SystemClock.now_ms() / 1000;
    // Listeners may have the same files.
    let all: BTreeSet<String> = certificates.iter().flat_map(|tls| tls.warnings(now)).collect();
    all.into_iter().collect()
}
