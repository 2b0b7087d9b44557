//! Which site a request was sent to.

use std::net::SocketAddr;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use chancery::{
    domain::network::{ForwardedHeaders, Proxies},
    service::{Admin, ClientPatch},
    web::{self, BrowserOptions},
};
use chancery_guard::listener::{Encrypted, Peer};
use tower::ServiceExt;

use super::declare;
use crate::support::App;

const CLIENT: &str = "192.0.2.9:50000";

/// Routes that believe proxies in 10.0.0.0/8.
fn routes(app: &App, headers: ForwardedHeaders) -> Router {
    let proxies = Proxies { trusted: vec!["10.0.0.0/8".parse().unwrap()], headers };
    web::routes_with(app.service.clone(), BrowserOptions { proxies, ..BrowserOptions::default() })
}

/// The status and body of a page.
async fn get(routes: &Router, peer: &str, path: &str, headers: &[(&str, &str)]) -> (StatusCode, String) {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(Peer(peer.parse::<SocketAddr>().unwrap()));
    let response = routes.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_request_to_no_declared_site_is_misdirected_and_says_what_was_seen() {
    let app = App::sqlite().await;
    declare(&app.service, "shop", "https://shop.example/auth").await;
    let routes = routes(&app, ForwardedHeaders::XForwarded);
    let proxied = [("x-forwarded-proto", "https"), ("x-forwarded-for", "192.0.2.9")];
    for (host, peer, more, seen) in [
        // Nobody who is no declared proxy says what the scheme is.
        ("shop.example", CLIENT, &proxied[..], "http://shop.example."),
        ("shop.example", "10.0.0.1:1", &[], "http://shop.example."),
        ("shop.example:8443", "10.0.0.1:1", &proxied, "https://shop.example:8443."),
        ("evil.example", "10.0.0.1:1", &proxied, "https://evil.example."),
        ("shop.example.evil.example", "10.0.0.1:1", &proxied, "https://shop.example.evil.example."),
    ] {
        let headers = [&[("host", host)], more].concat();
        let (status, body) = get(&routes, peer, "/auth/login", &headers).await;
        assert_eq!(status, StatusCode::MISDIRECTED_REQUEST, "{host}");
        assert!(body.contains(&format!("No site is declared at {seen}")), "{body}");
        assert!(!body.contains("Declared sites"), "{body}");
    }
    let without_host = get(&routes, CLIENT, "/auth/login", &[]).await;
    assert_eq!(without_host.0, StatusCode::MISDIRECTED_REQUEST);
    assert!(without_host.1.contains("a request without a host"), "{}", without_host.1);
    let shown = get(&routes, CLIENT, "/auth/login", &[("host", "a\tb<b>")]).await.1;
    assert!(!shown.contains('\t'), "{shown}");
}

#[tokio::test]
async fn a_declared_site_is_found_through_a_declared_proxy_alone() {
    let app = App::sqlite().await;
    declare(&app.service, "shop", "https://shop.example/auth").await;
    declare(&app.service, "demo", "http://localhost:8000/auth").await;
    let by_x = routes(&app, ForwardedHeaders::XForwarded);
    let misdirected = StatusCode::MISDIRECTED_REQUEST;
    let https = ("x-forwarded-proto", "https");
    for (peer, headers, found) in [
        ("10.0.0.1:1", &[("host", "shop.example"), https][..], true),
        ("10.0.0.1:1", &[("host", "SHOP.example:443"), https], true),
        ("10.0.0.1:1", &[("host", "127.0.0.1:8080"), ("x-forwarded-host", "shop.example"), https], true),
        ("192.0.2.1:1", &[("host", "shop.example"), https], false),
        (CLIENT, &[("host", "localhost:8000")], true),
        (CLIENT, &[("host", "127.0.0.1:8000")], false),
        (CLIENT, &[("host", "localhost")], false),
    ] {
        let (status, body) = get(&by_x, peer, "/auth/there-is-no-such-page", headers).await;
        assert_eq!(status == StatusCode::NOT_FOUND, found, "{headers:?} {body}");
        assert_eq!(status == misdirected, !found, "{headers:?} {body}");
    }
    let standard = routes(&app, ForwardedHeaders::Forwarded);
    let headers = [("host", "proxy"), ("forwarded", "for=192.0.2.9;proto=https;host=shop.example")];
    assert_eq!(get(&standard, "10.0.0.1:1", "/auth/nothing", &headers).await.0, StatusCode::NOT_FOUND);
    assert_eq!(get(&by_x, "10.0.0.1:1", "/auth/nothing", &headers).await.0, misdirected);
}

#[tokio::test]
async fn the_pages_stand_below_the_prefix_and_documents_are_found_under_any_host() {
    let app = App::sqlite().await;
    declare(&app.service, "demo", "http://localhost:8000/id/pages").await;
    let routes = routes(&app, ForwardedHeaders::XForwarded);
    let host = [("host", "localhost:8000")];
    for host in [&host[..], &[("host", "elsewhere.example")], &[]] {
        assert_eq!(get(&routes, CLIENT, "/.well-known/jwks.json", host).await.0, StatusCode::OK);
        assert_eq!(get(&routes, CLIENT, "/nothing", host).await.0, StatusCode::NOT_FOUND);
    }
    // Elsewhere than below a prefix, there is nothing to be misdirected.
    assert_eq!(get(&routes, CLIENT, "/id/login", &[("host", "elsewhere.example")]).await.0, StatusCode::NOT_FOUND);
    let below = get(&routes, CLIENT, "/id/pages/login", &[("host", "elsewhere.example")]).await.0;
    assert_eq!(below, StatusCode::MISDIRECTED_REQUEST);
    // A service worker would see every request of these pages.
    let worker = [host[0], ("service-worker", "script")];
    assert_eq!(get(&routes, CLIENT, "/id/pages/worker.js", &worker).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_site_of_a_client_changes_at_once_and_in_every_process() {
    let app = App::sqlite().await;
    declare(&app.service, "demo", "http://localhost:8000/auth").await;
    let there = app.second_process().await;
    let routes = web::routes(there.clone());
    let page = async |host: &str| get(&routes, CLIENT, "/auth/nothing", &[("host", host)]).await.0;
    assert_eq!(page("localhost:8000").await, StatusCode::NOT_FOUND);
    let patch = ClientPatch { site: Some("http://localhost:9000/auth".into()), ..ClientPatch::default() };
    app.service.clients.update(&Admin::command(), "demo", &patch, None).await.unwrap();
    there.live.confirm().await.unwrap();
    assert_eq!(page("localhost:8000").await, StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(page("localhost:9000").await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_developers_own_machine_is_told_what_is_declared() {
    let issuer = Some("http://127.0.0.1:8080");
    let empty = crate::support::Empty::sqlite().await;
    let opened = crate::support::Opened { issuer, ..Default::default() };
    let service = App::open(&empty, opened).await.unwrap();
    declare(&service, "demo", "http://localhost:8000/auth").await;
    let routes = web::routes(service);
    for (peer, host, told) in [
        ("127.0.0.1:50000", "127.0.0.1:8000", true),
        ("[::1]:50000", "[::1]:8000", true),
        (CLIENT, "127.0.0.1:8000", false),
        ("127.0.0.1:50000", "shop.example", false),
    ] {
        let (status, body) = get(&routes, peer, "/auth/login", &[("host", host)]).await;
        assert_eq!(status, StatusCode::MISDIRECTED_REQUEST);
        assert_eq!(body.contains("http://localhost:8000/auth"), told, "{peer} {host}: {body}");
    }
}

#[tokio::test]
async fn in_a_demo_a_page_under_another_name_of_this_machine_leads_to_the_declared_one() {
    let app = App::sqlite().await;
    declare(&app.service, "demo", "http://localhost:8000/auth").await;
    declare(&app.service, "with-tls", "https://127.0.0.1:8443/auth").await;
    let of = |dev| web::routes_with(app.service.clone(), BrowserOptions { dev, ..BrowserOptions::default() });
    let ask_by = async |encrypted: bool, dev: bool, method: &str, path: &str, host: &str| {
        let request = Request::builder().method(method).uri(path).header("host", host);
        let request = if encrypted { request.extension(Encrypted) } else { request };
        let response = of(dev).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let location = response.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), location)
    };
    let ask = async |dev: bool, method: &str, path: &str, host: &str| ask_by(false, dev, method, path, host).await;
    let there = |path: &str| (307, Some(format!("http://localhost:8000{path}")));
    for (method, path, host, answer) in [
        ("GET", "/auth/login?return_to=%2F", "127.0.0.1:8000", there("/auth/login?return_to=%2F")),
        ("GET", "/nothing", "[::1]:8000", there("/nothing")),
        ("GET", "//evil.example/", "127.0.0.1:8000", there("//evil.example/")),
        ("HEAD", "/auth/login", "127.0.0.1:8000", there("/auth/login")),
        ("POST", "/auth/login", "127.0.0.1:8000", (421, None)),
        ("GET", "/auth/login", "127.0.0.1:8001", (421, None)),
        ("GET", "/auth/login", "evil.example:8000", (421, None)),
        ("GET", "/.well-known/jwks.json", "127.0.0.1:8000", (200, None)),
    ] {
        assert_eq!(ask(true, method, path, host).await, answer, "{method} {path} {host}");
    }
    assert_eq!(ask(false, "GET", "/auth/login", "127.0.0.1:8000").await, (421, None));
    // The same by TLS; from one to the other leads nothing.
    for (encrypted, path, host, answer) in [
        (true, "/", "localhost:8443", (307, Some("https://127.0.0.1:8443/".to_owned()))),
        (true, "/auth/login", "[::1]:8443", (307, Some("https://127.0.0.1:8443/auth/login".to_owned()))),
        (true, "/auth/login", "127.0.0.1:8000", (421, None)),
        (false, "/auth/login", "localhost:8443", (421, None)),
    ] {
        assert_eq!(ask_by(encrypted, true, "GET", path, host).await, answer, "{path} {host}");
    }
}
