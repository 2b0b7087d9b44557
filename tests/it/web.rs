//! The HTTP edge: key set, metadata, telemetry.

use chancery::service::Admin;
use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode},
};
use chancery::{domain::keys::KeyState, metrics::Metrics, web};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::{App, ISSUER};

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

pub(crate) async fn get(routes: &Router, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = routes.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
    Answer { status: parts.status, headers: parts.headers, body }
}

#[tokio::test]
async fn j26_the_key_set_is_public_and_its_cache_lifetime_matches_the_rotation() {
    let app = App::sqlite().await;
    let routes = web::routes(app.service.clone());
    let answer = get(&routes, "/.well-known/jwks.json", &[]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["cache-control"], "public, max-age=300, stale-if-error=300");
    assert_eq!(answer.headers["content-type"], "application/jwk-set+json");
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    let keys: Value = serde_json::from_str(&answer.body).unwrap();
    let algorithms: Vec<_> = keys["keys"].as_array().unwrap().iter().map(|k| k["alg"].as_str().unwrap()).collect();
    assert_eq!(algorithms.len(), 6);
    // Active keys come before next keys.
    let kids = keys["keys"].as_array().unwrap().iter().map(|k| k["kid"].as_str().unwrap());
    let ring = app.service.live.snapshot().ring.clone();
    let states: Vec<_> = kids.map(|kid| ring.stored.iter().find(|k| k.kid == kid).unwrap().state).collect();
    assert_eq!(states, [[KeyState::Active; 3], [KeyState::Next; 3]].concat());
    let etag = answer.headers["etag"].to_str().unwrap();
    assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag} is not strong");
    for known in [etag, &format!("\"x\", {etag}"), &format!("W/{etag}"), "*"] {
        let again = get(&routes, "/.well-known/jwks.json", &[("if-none-match", known)]).await;
        assert_eq!((again.status, again.body.as_str()), (StatusCode::NOT_MODIFIED, ""), "{known}");
        assert_eq!(again.headers["etag"], etag);
    }
    let changed = get(&routes, "/.well-known/jwks.json", &[("if-none-match", "\"x\"")]).await;
    assert_eq!(changed.status, StatusCode::OK);
    let active = app.service.live.snapshot().ring.stored[0].kid.clone();
    app.service.signing_keys.revoke(&Admin::command(), &active).await.unwrap();
    let later = get(&routes, "/.well-known/jwks.json", &[("if-none-match", etag)]).await;
    assert_eq!(later.status, StatusCode::OK);
    assert!(!later.body.contains(&active));
}

#[tokio::test]
async fn the_metadata_documents_list_only_what_is_implemented() {
    let app = App::sqlite().await;
    let routes = web::routes(app.service.clone());
    let jwks = format!("{ISSUER}/.well-known/jwks.json");
    let mut endpoints = 0;
    for path in ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"] {
        let answer = get(&routes, path, &[]).await;
        let said: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((&said["issuer"], &said["jwks_uri"]), (&json!(ISSUER), &json!(jwks)), "{path}");
        for (name, uri) in said.as_object().unwrap().iter().filter(|(name, _)| name.ends_with("_endpoint")) {
            endpoints += 1;
            let below = uri.as_str().unwrap().strip_prefix(ISSUER).unwrap();
            assert_eq!(get(&routes, below, &[]).await.status, StatusCode::OK, "{path} names {name}");
        }
    }
    assert!(endpoints > 0, "the test does not find the endpoints");
    let unknown = get(&routes, "/nothing", &[]).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn readiness_reports_whether_this_process_may_sign() {
    let app = App::sqlite().await;
    let metrics = Arc::new(Metrics::default());
    metrics.set_ready(true);
    let routes = web::telemetry_routes(app.service.clone(), metrics, Vec::new);
    assert_eq!(get(&routes, "/healthz", &[]).await.status, StatusCode::OK);
    assert_eq!(get(&routes, "/readyz", &[]).await.status, StatusCode::OK);
    assert!(get(&routes, "/metrics", &[]).await.body.contains("chancery_ready 1"));
    // Longer than a process may keep signing without confirming the feed.
    app.clock.advance(chancery::time::Ttl::from_secs(11));
    assert_eq!(get(&routes, "/healthz", &[]).await.status, StatusCode::OK);
    assert_eq!(get(&routes, "/readyz", &[]).await.status, StatusCode::SERVICE_UNAVAILABLE);
}
