//! What is answered where there is no page.

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Request},
};
use chancery::web;
use tower::ServiceExt;

use super::declare;
use crate::support::{App, ISSUER};

/// Status, headers and body of what is at a path of a host.
async fn get(app: &App, host: &str, path: &str, more: &[(&str, &str)]) -> (u16, HeaderMap, String) {
    let mut request = Request::get(path).header("host", host);
    for (name, value) in more {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    let (parts, body) = web::routes(app.service.clone()).oneshot(request).await.unwrap().into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap().to_vec();
    (parts.status.as_u16(), parts.headers, String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn what_is_no_page_is_kept_nowhere_and_taken_for_nothing_else() {
    let app = App::sqlite().await;
    declare(&app.service, "demo", "http://localhost:8000/sign").await;
    for (host, path, more, status) in [
        ("localhost:8000", "/sign/worker.js", &[("service-worker", "script")][..], 403),
        // The pages stood here once, or will.
        ("localhost:8000", "/auth/login", &[], 404),
        ("localhost:9000", "/sign/login", &[], 421),
    ] {
        let (answered, headers, _) = get(&app, host, path, more).await;
        assert_eq!(answered, status, "{path}");
        for (name, value) in [("cache-control", "no-store"), ("x-content-type-options", "nosniff")] {
            assert_eq!(headers.get(name).map(|v| v.to_str().unwrap()), Some(value), "{name} of {path}");
        }
    }
}

#[tokio::test]
async fn a_misdirected_request_is_told_what_can_be_a_site_and_where_the_issuers_pages_are() {
    let app = App::sqlite().await;
    let own = format!("{ISSUER}/auth");
    declare(&app.service, "own", &own).await;
    for (host, example) in [
        ("localhost:9000", "--site http://localhost:9000/auth"),
        // Without TLS that is none; most often a proxy is not declared.
        ("shop.test", "--site https://shop.example/auth"),
        ("a b<c>", "--site https://shop.example/auth"),
    ] {
        let (status, _, body) = get(&app, host, "/auth/login", &[]).await;
        assert_eq!(status, 421);
        assert!(body.contains(example) && body.contains("--trusted-proxy"), "{body}");
        assert!(body.contains(&format!("The issuer's own pages are at {own}.")), "{body}");
    }
}
