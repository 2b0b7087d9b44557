//! `POST /auth/token`: an access token for scripts of pages that have no server of their own.

use axum::http::StatusCode;
use chancery::{
    domain::session::touch_interval,
    service::{Admin, ClientPatch, NewClientRequest},
    time::Ttl,
    web,
};
use serde_json::{Value, json};

use crate::{
    browser::{Browser, ORIGIN, Page, SESSION, site_client},
    support::{App, ISSUER, PASSWORD, claims},
};

on_each_engine! {
    #[tokio::test]
    App => {
        a_script_of_the_site_gets_a_token_for_the_application_and_no_refresh_token,
        the_audience_is_one_of_the_clients_and_never_the_issuer,
        a39_s05_only_scripts_of_the_same_origin_get_a_token,
        a_client_that_has_not_asked_for_it_gives_scripts_no_token,
        without_a_session_the_answer_is_401_and_a_dead_cookie_is_taken_away,
        s02_a_token_is_given_until_half_of_its_life_and_never_after_a_sign_out,
        a_process_that_may_have_missed_a_sign_out_gives_no_token,
        a_page_that_asks_for_tokens_is_in_use,
        a_client_without_an_audience_is_told_which_setting_it_lacks,
        a_body_in_json_is_taken_and_answered_as_a_form_is,
        a_body_that_is_no_form_is_refused_with_what_is_wrong,
    }
}

/// A browser that is signed in at a site whose client has `browser_tokens`.
async fn signed_in(app: &App, client: NewClientRequest) -> Browser {
    app.service.clients.create(&Admin::command(), client).await.unwrap();
    let mut browser = Browser::new(&web::routes(app.service.clone()));
    browser.sign_in("/", "ada", PASSWORD).await;
    assert!(browser.cookies.contains_key(SESSION));
    browser
}

fn with_tokens(audiences: &[&str]) -> NewClientRequest {
    let audiences = audiences.iter().map(|&name| name.to_owned()).collect();
    NewClientRequest { browser_tokens: true, audiences, ..site_client("shop") }
}

/// Asks as a script of the page does.
async fn ask(browser: &mut Browser, fields: &[(&str, &str)]) -> Page {
    if fields.is_empty() {
        return send(browser, &[], "").await;
    }
    browser.post("/auth/token", fields).await
}

async fn send(browser: &mut Browser, headers: &[(&str, &str)], body: &str) -> Page {
    let usual = [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors"), ("origin", ORIGIN)];
    let headers: Vec<_> = usual.iter().chain(headers).copied().collect();
    browser.send("POST", "/auth/token", &headers, body.to_owned()).await
}

fn body(page: &Page) -> Value {
    serde_json::from_str(&page.body).unwrap_or_else(|_| panic!("{} {}", page.status, page.body))
}

/// Status, reason and detail of a refusal.
fn problem(page: &Page) -> (u16, String, String) {
    assert_eq!(page.headers["content-type"], "application/problem+json", "{}", page.body);
    assert_eq!(page.headers["cache-control"], "no-store");
    let body = body(page);
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    (page.status.as_u16(), text("reason"), text("detail"))
}

fn refused(page: &Page) -> (u16, String) {
    let (status, reason, _) = problem(page);
    (status, reason)
}

async fn update(app: &App, patch: ClientPatch) {
    app.service.clients.update(&Admin::command(), "shop", &patch, None).await.unwrap();
}

async fn a_script_of_the_site_gets_a_token_for_the_application_and_no_refresh_token(app: &App) {
    let client = NewClientRequest { token_lifetime: Some(120), ..with_tokens(&["api", "other"]) };
    let mut browser = signed_in(app, client).await;
    let before = browser.cookies.clone();
    let answer = ask(&mut browser, &[]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(
        (&answer.headers["content-type"], &answer.headers["cache-control"]),
        (&"application/json".parse().unwrap(), &"no-store".parse().unwrap())
    );
    assert!(!answer.headers.contains_key("access-control-allow-origin") && answer.set_cookies().is_empty());
    assert_eq!(browser.cookies, before);
    let body = body(&answer);
    let token = body["access_token"].as_str().unwrap();
    let expected = json!({
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": 120,
        "expire_time": "2030-01-01T00:02:00.000Z",
        "audience": "api",
        "scopes": ["read", "write"],
    });
    assert_eq!(body, expected, "no refresh token, whatever grants the client has");
    let claims = claims(token);
    assert_eq!((&claims["aud"], &claims["client_id"], &claims["iss"]), (&json!("api"), &json!("shop"), &json!(ISSUER)));
    // The application takes it as it takes any other.
    let serving = NewClientRequest { id: "api".into(), serves: vec!["api".into()], ..NewClientRequest::default() };
    let api = app.confidential(serving).await;
    let known = crate::support::introspect(&app.service, &api, token).await.unwrap().unwrap();
    assert_eq!(known.subject, claims["sub"].as_str().unwrap());
}

async fn the_audience_is_one_of_the_clients_and_never_the_issuer(app: &App) {
    let mut browser = signed_in(app, with_tokens(&[ISSUER, "api", "other"])).await;
    for (fields, audience) in [(&[][..], "api"), (&[("audience", "other")], "other"), (&[("audience", "")], "api")] {
        let answer = ask(&mut browser, fields).await;
        assert_eq!(body(&answer)["audience"], audience, "{fields:?}");
    }
    for audience in [ISSUER, "nobody"] {
        let (status, reason, detail) = problem(&ask(&mut browser, &[("audience", audience)]).await);
        assert_eq!((status, &*reason), (400, "INVALID_ARGUMENT"), "{audience}");
        assert!(detail.starts_with("audience: "), "{detail}");
    }
}

async fn a39_s05_only_scripts_of_the_same_origin_get_a_token(app: &App) {
    let mut browser = signed_in(app, with_tokens(&["api"])).await;
    for headers in [
        &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")][..],
        &[("sec-fetch-site", "same-site"), ("origin", ORIGIN)],
        &[("sec-fetch-site", "none")],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[],
    ] {
        let answer = browser.send("POST", "/auth/token", headers, String::new()).await;
        assert_eq!(refused(&answer), (403, "CROSS_SITE_REQUEST".into()), "{headers:?}");
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
    }
    let old = browser.send("POST", "/auth/token", &[("origin", ORIGIN)], String::new()).await;
    assert_eq!(old.status, StatusCode::OK, "a browser without Fetch Metadata");
    for method in ["GET", "HEAD", "PUT"] {
        let answer = browser.send(method, "/auth/token", &[("sec-fetch-site", "same-origin")], String::new()).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }
}

async fn a_client_that_has_not_asked_for_it_gives_scripts_no_token(app: &App) {
    let mut browser = signed_in(app, site_client("shop")).await;
    let off = async |browser: &mut Browser| {
        let (status, reason, detail) = problem(&ask(browser, &[]).await);
        assert_eq!((status, &*reason), (403, "BROWSER_TOKENS_OFF"));
        assert!(detail.contains("browser_tokens"), "{detail}");
    };
    off(&mut browser).await;
    let switch = |on| ClientPatch { browser_tokens: Some(on), ..ClientPatch::default() };
    update(app, switch(true)).await;
    assert_eq!(ask(&mut browser, &[]).await.status, StatusCode::OK, "no new sign-in is needed");
    update(app, switch(false)).await;
    off(&mut browser).await;
}

async fn without_a_session_the_answer_is_401_and_a_dead_cookie_is_taken_away(app: &App) {
    let mut browser = signed_in(app, with_tokens(&["api"])).await;
    let mut nobody = browser.clone();
    nobody.cookies.clear();
    let answer = ask(&mut nobody, &[]).await;
    assert_eq!(refused(&answer), (401, "NO_SESSION".into()));
    assert_eq!(answer.headers["www-authenticate"], "Bearer");
    browser.cookies.insert(SESSION.into(), "chb_forged".into());
    let answer = ask(&mut browser, &[]).await;
    assert_eq!(refused(&answer), (401, "NO_SESSION".into()));
    assert!(answer.cookie(SESSION).unwrap().contains("Max-Age=0"));
}

async fn s02_a_token_is_given_until_half_of_its_life_and_never_after_a_sign_out(app: &App) {
    let mut browser = signed_in(app, with_tokens(&["api"])).await;
    let (other, statements) = (app.second_process().await, || app.service.store().statements());
    let first = ask(&mut browser, &[]).await;
    let before = statements();
    app.clock.advance(Ttl::from_secs(5));
    let again = body(&ask(&mut browser, &[]).await);
    assert_eq!((&again["access_token"], &again["expires_in"]), (&body(&first)["access_token"], &json!(295)));
    assert_eq!(statements(), before, "from memory");
    app.pass(Ttl::from_secs(146)).await;
    let late = body(&ask(&mut browser, &[]).await);
    assert_ne!(late["access_token"], again["access_token"]);
    assert_eq!(late["expires_in"], 300);
    // Signed out at one process, no token at the other once it has heard of it.
    other.live.confirm().await.unwrap();
    let mut elsewhere = browser.through(&web::routes(other.clone()));
    assert_eq!(ask(&mut elsewhere, &[]).await.status, StatusCode::OK);
    let asked = browser.get("/auth/logout").await;
    let csrf = asked.field("csrf");
    assert!(browser.post("/auth/logout", &[("csrf", &csrf)]).await.body.contains("Signed out"));
    other.live.confirm().await.unwrap();
    assert_eq!(refused(&ask(&mut elsewhere, &[]).await), (401, "NO_SESSION".into()));
}

async fn a_process_that_may_have_missed_a_sign_out_gives_no_token(app: &App) {
    let mut browser = signed_in(app, with_tokens(&["api"])).await;
    assert_eq!(ask(&mut browser, &[]).await.status, StatusCode::OK);
    app.clock.advance(Ttl::from_secs(11));
    let answer = ask(&mut browser, &[]).await;
    assert_eq!(refused(&answer), (503, "UNAVAILABLE".into()));
    assert_eq!(answer.headers["retry-after"], "1");
    app.pass(Ttl::from_secs(1)).await;
    assert_eq!(ask(&mut browser, &[]).await.status, StatusCode::OK);
}

async fn a_page_that_asks_for_tokens_is_in_use(app: &App) {
    let idle = Ttl::from_days(7);
    let mut browser = signed_in(app, with_tokens(&["api"])).await;
    for _ in 0..3 {
        app.pass(Ttl::from_days(6)).await;
        assert_eq!(ask(&mut browser, &[]).await.status, StatusCode::OK);
        // The use is written with the session writer's next batch, for which nobody waits.
        app.sign_in().await;
    }
    app.pass(idle).await;
    app.pass(touch_interval(idle)).await;
    app.pass(Ttl::from_secs(1)).await;
    assert_eq!(refused(&ask(&mut browser, &[]).await), (401, "NO_SESSION".into()));
}

async fn a_client_without_an_audience_is_told_which_setting_it_lacks(app: &App) {
    let mut browser = signed_in(app, with_tokens(&[])).await;
    let (status, reason, detail) = problem(&ask(&mut browser, &[]).await);
    assert_eq!((status, &*reason), (500, "AUDIENCE_MISSING"));
    assert!(detail.contains("the client shop has no audience"), "{detail}");
    update(app, ClientPatch { audiences: Some(vec!["api".into()]), ..ClientPatch::default() }).await;
    assert_eq!(ask(&mut browser, &[]).await.status, StatusCode::OK);
}

async fn a_body_in_json_is_taken_and_answered_as_a_form_is(app: &App) {
    let mut browser = signed_in(app, with_tokens(&["api", "other"])).await;
    let in_json = [("content-type", "application/json"), ("accept", "application/json")];
    for (sent, audience) in [("{\"audience\":\"other\"}", "other"), ("{}", "api"), ("{\"audience\":\"\"}", "api")] {
        for headers in [&in_json[..1], &in_json] {
            let answer = send(&mut browser, headers, sent).await;
            assert_eq!((answer.status, &body(&answer)["audience"]), (StatusCode::OK, &json!(audience)), "{sent}");
            assert_eq!(answer.headers["content-type"], "application/json");
        }
    }
    for (sent, says) in
        [("[]", "object"), ("{\"audience\":[]}", "audience"), ("{\"scopes\":\"x\"}", "scopes"), ("", "JSON")]
    {
        let (status, reason, detail) = problem(&send(&mut browser, &in_json, sent).await);
        assert_eq!((status, &*reason), (400, "INVALID_ARGUMENT"), "{sent}");
        assert!(detail.contains(says), "{sent}: {detail}");
    }
    let from_elsewhere = [&in_json[..], &[("origin", "https://evil.example")]].concat();
    let answer = browser.send("POST", "/auth/token", &from_elsewhere, "{}".to_owned()).await;
    assert_eq!(refused(&answer), (403, "CROSS_SITE_REQUEST".into()));
    browser.cookies.clear();
    assert_eq!(refused(&send(&mut browser, &in_json, "{}").await), (401, "NO_SESSION".into()));
}

async fn a_body_that_is_no_form_is_refused_with_what_is_wrong(app: &App) {
    let mut browser = signed_in(app, with_tokens(&["api", "other"])).await;
    const FORM: &str = "application/x-www-form-urlencoded";
    let large = format!("audience={}", "x".repeat(70_000));
    for (content_type, body, status, says) in [
        ("text/plain", "audience=other", 415, "application/x-www-form-urlencoded"),
        ("multipart/form-data; boundary=x", "", 415, "application/x-www-form-urlencoded"),
        (FORM, "audience=api&audience=other", 400, "audience"),
        (FORM, "audiance=other", 400, "audiance"),
        (FORM, "audience=%ff", 400, "audience"),
        (FORM, &*large, 413, "64 KiB"),
    ] {
        let answer = send(&mut browser, &[("content-type", content_type)], body).await;
        let (seen, reason, detail) = problem(&answer);
        assert_eq!((seen, &*reason), (status, "INVALID_ARGUMENT"), "{content_type} {detail}");
        assert!(detail.contains(says), "{content_type}: {detail}");
    }
    // Without a type there must be no body.
    let (status, _, detail) = problem(&send(&mut browser, &[], "audience=other").await);
    assert!(status == 415 && detail.contains("application/x-www-form-urlencoded"), "{detail}");
    // A parameter where it would be overlooked.
    let usual = [("sec-fetch-site", "same-origin")];
    let answer = browser.send("POST", "/auth/token?audience=other", &usual, String::new()).await;
    let (status, _, detail) = problem(&answer);
    assert!(status == 400 && detail.contains("body"), "{detail}");
}
