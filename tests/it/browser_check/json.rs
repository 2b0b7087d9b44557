//! `GET /auth/session`: who is signed in, for scripts of the same origin.

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request},
};
use chancery::{
    domain::{network::Proxies, session::touch_interval},
    service::{Admin, NewRoleRequest},
    time::Ttl,
    web::{self, BrowserOptions},
};
use chancery_guard::listener::Peer;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{COOKIE, IDLE, session, session_with, shop};
use crate::support::App;

on_each_engine! {
    #[tokio::test]
    App => {
        who_is_signed_in_is_told_to_scripts_of_the_same_origin,
        without_a_session_the_answer_is_401_and_a_dead_cookie_is_taken_away,
        a_script_that_asks_over_and_over_does_not_keep_a_session,
        the_check_is_not_to_be_had_where_browsers_are,
    }
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

fn pages(app: &App) -> Router {
    let proxies = Proxies { trusted: vec!["127.0.0.1".parse().unwrap()], ..Proxies::default() };
    web::routes_with(app.service.clone(), BrowserOptions { proxies, ..BrowserOptions::default() })
}

async fn ask(app: &App, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::get("/auth/session").extension(Peer("127.0.0.1:4000".parse().unwrap()));
    for (name, value) in [("x-forwarded-proto", "https"), ("x-forwarded-host", "shop.example")].iter().chain(headers) {
        request = request.header(*name, *value);
    }
    let response = pages(app).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let body = serde_json::from_slice(&body).unwrap_or_else(|_| panic!("{} {body:?}", parts.status));
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

async fn who_is_signed_in_is_told_to_scripts_of_the_same_origin(app: &App) {
    shop(app).await;
    let clerk =
        NewRoleRequest { name: "clerk".into(), permissions: vec!["orders.read@api".into()], ..Default::default() };
    let role = app.service.roles.create(&Admin::command(), clerk).await.unwrap().id;
    let browser = session_with(app, |session| session.roles = vec![role]).await;
    let cookie = format!("{COOKIE}={}", browser.cookie);
    let answer = ask(app, &[("cookie", &cookie), ("sec-fetch-site", "same-origin")]).await;
    let session = &browser.session;
    let expected = json!({
        "subject": session.subject,
        "name": "ada",
        "email": "",
        "roles": ["clerk"],
        "permissions": ["orders.read"],
        "guest": false,
        "session_id": session.id.as_str(),
        "auth_time": "2030-01-01T00:00:00.000Z",
        "idle_expire_time": "2030-01-08T00:00:00.000Z",
        "expire_time": "2030-01-31T00:00:00.000Z",
    });
    assert_eq!((answer.status, answer.body), (200, expected));
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
    for site in ["cross-site", "same-site"] {
        let answer = ask(app, &[("cookie", &cookie), ("sec-fetch-site", site)]).await;
        assert_eq!((answer.status, &answer.body["reason"]), (403, &"CROSS_SITE_REQUEST".into()), "{site}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
}

async fn without_a_session_the_answer_is_401_and_a_dead_cookie_is_taken_away(app: &App) {
    shop(app).await;
    let gone = session_with(app, |session| session.absolute_expires_at = session.created_at).await;
    let gone = format!("{COOKIE}={}", gone.cookie);
    for (cookie, is_taken) in [("", false), (&*gone, true), (&*format!("{COOKIE}=forged"), true)] {
        let answer = ask(app, &[("cookie", cookie), ("sec-fetch-site", "same-origin")]).await;
        assert_eq!((answer.status, &answer.body["reason"]), (401, &"NO_SESSION".into()), "{cookie}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
        let sent = answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
        let taken =
            sent.into_iter().any(|cookie| cookie.starts_with(&format!("{COOKIE}=;")) && cookie.contains("Max-Age=0"));
        assert_eq!(taken, is_taken, "{cookie}");
    }
}

async fn a_script_that_asks_over_and_over_does_not_keep_a_session(app: &App) {
    shop(app).await;
    let browser = session(app).await;
    let cookie = format!("{COOKIE}={}", browser.cookie);
    for _ in 0..7 {
        app.pass(Ttl::from_days(1)).await;
        assert_eq!(ask(app, &[("cookie", &cookie)]).await.status, 200);
    }
    app.pass(touch_interval(IDLE)).await;
    assert_eq!(ask(app, &[("cookie", &cookie)]).await.status, 401);
}

async fn the_check_is_not_to_be_had_where_browsers_are(app: &App) {
    shop(app).await;
    let browser = session(app).await;
    let cookie = format!("{COOKIE}={}", browser.cookie);
    let request = Request::get("/auth/check").extension(Peer("127.0.0.1:4000".parse().unwrap()));
    let request = request.header("x-forwarded-proto", "https").header("x-forwarded-host", "shop.example");
    let request = request.header("x-forwarded-method", "GET").header("x-forwarded-uri", "/").header("cookie", cookie);
    let response = pages(app).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 404);
    assert!(!response.headers().keys().any(|name| name.as_str().starts_with("x-chancery")));
}
