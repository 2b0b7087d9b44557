//! The sign-in form in JSON: what it holds, who may send it, and what becomes of it when it is sent again.

use axum::http::StatusCode;
use chancery::time::Ttl;
use serde_json::{Value, json};

use super::client::{Step, get, post, sign_in, submit};
use crate::{
    browser::{Browser, ORIGIN, SESSION, browser_routes, encode, is_signed_in},
    support::{App, PASSWORD},
};

on_each_engine! {
    #[tokio::test]
    App => {
        wrong_and_empty_and_limited_sign_ins_say_so,
        the_same_form_again_gets_the_same_cookie,
        a_database_that_cannot_be_reached_is_said,
        whoever_is_signed_in_goes_onward_or_chooses,
        a_flow_that_is_too_old_begins_again,
        json_and_forms_are_the_same_attempt,
    }
    #[tokio::test]
    App => {
        s05_a_failed_token_is_the_step_again_with_a_fresh_one,
        s05_without_cookies_the_second_time_says_so,
        s05_another_site_reaches_nothing,
        a_body_that_is_no_form_is_named,
        a_box_is_ticked_by_true_alone,
    }
}

async fn begun(app: &App) -> (Browser, Step) {
    let mut browser = Browser::new(&browser_routes(app).await);
    let step = get(&mut browser, "/auth/login?return_to=/basket").await;
    assert_eq!((step.name(), step.asks_for()), ("login", vec!["username", "password", "shared_computer"]));
    assert!(step.url().starts_with("/auth/login?r="), "{}", step.json);
    (browser, step)
}

fn ada(password: &str) -> Value {
    json!({ "username": "ada", "password": password })
}

async fn wrong_and_empty_and_limited_sign_ins_say_so(app: &App) {
    let (mut browser, step) = begun(app).await;
    let wrong = submit(&mut browser, &step, ada("wrong password")).await;
    let unknown = submit(&mut browser, &step, json!({ "username": "nobody", "password": "wrong password" })).await;
    for answer in [&wrong, &unknown] {
        assert_eq!((answer.status(), answer.name()), (StatusCode::UNPROCESSABLE_ENTITY, "login"));
        assert_eq!(answer.says(), [("INVALID_CREDENTIALS", None)], "p10: nothing tells who has an account");
        assert!(!answer.page.body.contains("wrong password"), "{}", answer.json);
    }
    assert!(wrong.page.body.contains("\"value\":\"ada\""), "what was typed is kept: {}", wrong.json);
    let empty = submit(&mut browser, &wrong, json!({ "username": "", "password": "" })).await;
    assert_eq!(empty.says(), [("REQUIRED", Some("username")), ("REQUIRED", Some("password"))]);
    let mut limited = None;
    for n in 0..40 {
        let answer = sign_in(&mut browser, "/basket", "ada", &format!("wrong password {n}")).await;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            limited = Some(answer);
            break;
        }
    }
    let limited = limited.expect("attempts are limited");
    assert_eq!((limited.name(), limited.says()), ("login", vec![("TOO_MANY_ATTEMPTS", None)]));
    let seconds: i64 = limited.page.headers["retry-after"].to_str().unwrap().parse().unwrap();
    app.pass(Ttl::from_secs(seconds)).await;
    let done = submit(&mut browser, &limited, ada(PASSWORD)).await;
    assert_eq!((done.status(), done.done()), (StatusCode::OK, "/basket"));
    assert!(is_signed_in(&browser).await);
}

async fn the_same_form_again_gets_the_same_cookie(app: &App) {
    let (mut browser, step) = begun(app).await;
    let mut unlucky = browser.clone();
    let first = submit(&mut browser, &step, ada(PASSWORD)).await;
    let again = submit(&mut unlucky, &step, ada(PASSWORD)).await;
    assert_eq!((first.json.clone(), first.done()), (again.json.clone(), "/basket"));
    assert_eq!(unlucky.cookies[SESSION], browser.cookies[SESSION]);
    // With something else, the form is spent.
    let mut late = unlucky.clone();
    late.cookies.remove(SESSION);
    app.user("grace").await;
    let other = submit(&mut late, &step, json!({ "username": "grace", "password": PASSWORD })).await;
    assert_eq!((other.name(), other.says()), ("login", vec![("TRY_AGAIN", None)]));
    assert!(other.page.cookie(SESSION).is_none());
}

async fn json_and_forms_are_the_same_attempt(app: &App) {
    let (mut browser, step) = begun(app).await;
    let mut other = browser.clone();
    submit(&mut browser, &step, ada(PASSWORD)).await;
    // The same form by a page, with an answer in JSON or in HTML.
    let filled = step.filled(&step.json["fields"], &ada(PASSWORD));
    let fields: Vec<(&str, &str)> = ["csrf", "form", "username", "password"]
        .into_iter()
        .map(|name| (name, filled[name].as_str().unwrap()))
        .collect();
    let page = other.clone().post(step.url(), &fields).await;
    assert_eq!((page.status, page.path().as_str()), (StatusCode::SEE_OTHER, "/basket"));
    assert!(page.cookie(SESSION).unwrap().starts_with(&format!("{SESSION}={}", browser.cookies[SESSION])));
    let form = ("content-type", "application/x-www-form-urlencoded");
    let headers = [("origin", ORIGIN), form, ("accept", "application/json")];
    let answer = Step::of(other.send("POST", step.url(), &headers, encode(&fields)).await);
    assert_eq!(answer.done(), "/basket");
    // Whoever sends JSON gets JSON, whatever else it would take.
    let headers = [("origin", ORIGIN), ("content-type", "application/json"), ("accept", "text/html")];
    assert_eq!(Step::of(other.send("POST", step.url(), &headers, filled.to_string()).await).done(), "/basket");
}

async fn a_database_that_cannot_be_reached_is_said(app: &App) {
    let (mut browser, step) = begun(app).await;
    submit(&mut browser, &step, ada(PASSWORD)).await;
    let mut out = browser.clone();
    out.cookies.remove(SESSION);
    app.service.store().close().await;
    let failed = submit(&mut out, &step, ada(PASSWORD)).await;
    assert_eq!((failed.status(), failed.name()), (StatusCode::SERVICE_UNAVAILABLE, "login"));
    assert_eq!(
        (failed.says(), &failed.page.headers["retry-after"]),
        (vec![("UNAVAILABLE", None)], &"1".parse().unwrap())
    );
    let account = get(&mut browser, "/auth/account").await;
    assert_eq!((account.status(), account.name()), (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"));
    assert_eq!((&account.json["status"], &account.page.headers["retry-after"]), (&json!(503), &"1".parse().unwrap()));
    assert!(browser.cookies.contains_key(SESSION));
}

async fn whoever_is_signed_in_goes_onward_or_chooses(app: &App) {
    app.user("grace").await;
    let (mut browser, step) = begun(app).await;
    let mut tab = browser.clone();
    submit(&mut browser, &step, ada(PASSWORD)).await;
    tab.cookies.clone_from(&browser.cookies);
    assert_eq!(get(&mut browser, "/auth/login?return_to=/next").await.done(), "/next");
    assert_eq!(get(&mut browser, step.url()).await.done(), "/basket");
    let other = submit(&mut tab, &step, json!({ "username": "grace", "password": PASSWORD })).await;
    assert_eq!((other.name(), other.url()), ("switch_user", "/auth/logout"));
    assert_eq!(other.json["name"], "ada");
    assert_eq!(other.link("continue"), format!("{ORIGIN}/basket"));
    let out = submit(&mut tab, &other, json!({})).await;
    assert_eq!((out.name(), out.done()), ("signed_out", "/basket"));
}

async fn a_flow_that_is_too_old_begins_again(app: &App) {
    let (mut browser, step) = begun(app).await;
    let expires: String = step.json["expire_time"].as_str().unwrap().to_owned();
    app.pass(Ttl::from_days(1)).await;
    assert_eq!(app.service.now().to_string(), expires);
    for late in [get(&mut browser, step.url()).await, submit(&mut browser, &step, ada(PASSWORD)).await] {
        assert_eq!((late.status(), late.name()), (StatusCode::BAD_REQUEST, "start_again"));
        let step = get(&mut browser, late.link("continue")).await;
        assert_eq!(submit(&mut browser.clone(), &step, ada(PASSWORD)).await.done(), "/basket");
    }
}

async fn s05_a_failed_token_is_the_step_again_with_a_fresh_one(app: &App) {
    let (mut browser, mut step) = begun(app).await;
    let foreign =
        get(&mut Browser::new(&chancery::web::routes(app.service.clone())), step.url()).await.json["csrf"].clone();
    let token = step.json["csrf"].clone();
    for bad in [json!(""), json!("x"), foreign] {
        step.json["csrf"] = bad;
        let again = submit(&mut browser, &step, ada(PASSWORD)).await;
        assert_eq!((again.status(), again.name()), (StatusCode::UNPROCESSABLE_ENTITY, "login"));
        assert_eq!((again.says(), &again.json["csrf"]), (vec![("TRY_AGAIN", None)], &token));
        assert!(again.page.cookie(SESSION).is_none() && !again.page.body.contains(PASSWORD), "{}", again.json);
        assert_eq!(submit(&mut browser.clone(), &again, ada(PASSWORD)).await.done(), "/basket");
    }
    let filled = step.filled(&step.json["fields"], &ada(PASSWORD));
    let mut without = filled.as_object().unwrap().clone();
    without.remove("csrf");
    assert_eq!(post(&mut browser, step.url(), Value::Object(without)).await.says(), [("TRY_AGAIN", None)]);
}

async fn s05_without_cookies_the_second_time_says_so(app: &App) {
    let mut browser = Browser::new(&browser_routes(app).await);
    browser.keeps_cookies = false;
    let step = get(&mut browser, "/auth/login").await;
    let again = submit(&mut browser, &step, ada(PASSWORD)).await;
    assert_eq!((again.status(), again.says()), (StatusCode::UNPROCESSABLE_ENTITY, vec![("TRY_AGAIN", None)]));
    let blocked = submit(&mut browser, &again, ada(PASSWORD)).await;
    assert_eq!((blocked.status(), blocked.name()), (StatusCode::UNPROCESSABLE_ENTITY, "cookies_blocked"));
    assert!(blocked.link("continue").starts_with("/auth/login?r="));
}

async fn s05_another_site_reaches_nothing(app: &App) {
    let (mut browser, step) = begun(app).await;
    let body = step.filled(&step.json["fields"], &ada(PASSWORD)).to_string();
    let json = ("content-type", "application/json");
    for headers in [
        vec![("sec-fetch-site", "cross-site"), ("origin", "https://evil.example"), json],
        vec![("sec-fetch-site", "same-site"), ("origin", "http://other.localhost:8000"), json],
        vec![("origin", "https://evil.example"), json],
        vec![("origin", "null"), json],
        vec![json],
    ] {
        for target in [step.url(), "/auth/logout", "/auth/account", "/auth/register", "/auth/forgot"] {
            let refused = browser.send("POST", target, &headers, body.clone()).await;
            // Registration is off here, which is no secret.
            let unknown = target == "/auth/register";
            let status = if unknown { StatusCode::NOT_FOUND } else { StatusCode::FORBIDDEN };
            assert_eq!((refused.status, refused.cookie(SESSION)), (status, None), "{target} {headers:?}");
            assert_eq!(Step::of(refused).name(), if unknown { "NOT_FOUND" } else { "CROSS_SITE_REQUEST" });
        }
    }
    // What another site's form can send without asking.
    for kind in ["text/plain", "text/plain;application/json", "multipart/form-data; boundary=x"] {
        for site in ["cross-site", "same-origin"] {
            let headers = [("sec-fetch-site", site), ("content-type", kind), ("accept", "application/json")];
            let refused = Step::of(browser.send("POST", step.url(), &headers, body.clone()).await);
            let expected = if site == "same-origin" { "UNSUPPORTED_MEDIA_TYPE" } else { "CROSS_SITE_REQUEST" };
            assert_eq!((refused.name(), refused.page.cookie(SESSION)), (expected, None), "{kind}");
        }
    }
    // Its scripts read nothing, and a preflight of theirs is not allowed anything.
    for site in ["cross-site", "same-site"] {
        let headers = [("sec-fetch-site", site), ("accept", "application/json")];
        for target in [step.url(), "/auth/account", "/auth/logout"] {
            let refused = Step::of(browser.send("GET", target, &headers, String::new()).await);
            assert_eq!((refused.status(), refused.name()), (StatusCode::FORBIDDEN, "CROSS_SITE_REQUEST"));
        }
    }
    let asks = [
        ("origin", "https://evil.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type"),
    ];
    let preflight = browser.send("OPTIONS", step.url(), &asks, String::new()).await;
    assert!(preflight.headers.keys().all(|name| !name.as_str().starts_with("access-control-")), "{preflight:?}");
    assert_eq!(browser.cookies.get(SESSION), None);
}

async fn a_body_that_is_no_form_is_named(app: &App) {
    let (mut browser, step) = begun(app).await;
    let long = format!("{{\"{}\":\"\"}}", "a".repeat(65));
    let many: serde_json::Map<String, Value> = (0..65).map(|n| (format!("f{n}"), json!(""))).collect();
    let many = Value::Object(many).to_string();
    let large = json!({ "username": "a".repeat(70_000) }).to_string();
    let bad = StatusCode::BAD_REQUEST;
    for (body, status, reason, parameter) in [
        ("", bad, "REQUEST_MALFORMED", None),
        ("{", bad, "REQUEST_MALFORMED", None),
        ("[]", bad, "REQUEST_MALFORMED", None),
        ("\"username\"", bad, "REQUEST_MALFORMED", None),
        ("{\"username\":\"ada\"} x", bad, "REQUEST_MALFORMED", None),
        ("username=ada", bad, "REQUEST_MALFORMED", None),
        ("{\"username\":\"\\ud800\"}", bad, "REQUEST_MALFORMED", None),
        ("{\"username\":1}", bad, "REQUEST_MALFORMED", Some("username")),
        ("{\"username\":null}", bad, "REQUEST_MALFORMED", Some("username")),
        ("{\"username\":[\"ada\"]}", bad, "REQUEST_MALFORMED", Some("username")),
        ("{\"username\":{\"a\":\"b\"}}", bad, "REQUEST_MALFORMED", Some("username")),
        ("{\"username\":\"a\",\"user\\u006eame\":\"b\"}", bad, "REQUEST_MALFORMED", Some("username")),
        (&long, bad, "REQUEST_MALFORMED", None),
        (&many, bad, "REQUEST_MALFORMED", None),
        (&large, StatusCode::PAYLOAD_TOO_LARGE, "REQUEST_TOO_LARGE", None),
    ] {
        let headers = [("origin", ORIGIN), ("content-type", "application/json; charset=UTF-8")];
        let refused = Step::of(browser.send("POST", step.url(), &headers, body.to_owned()).await);
        let short = &body[..body.len().min(40)];
        assert_eq!((refused.status(), refused.name()), (status, reason), "{short}");
        assert_eq!(refused.json["status"], status.as_u16(), "{short}");
        assert_eq!(refused.json["parameter"].as_str(), parameter, "{short}");
        assert!(!refused.json["detail"].as_str().unwrap().is_empty() && !refused.json["title"].is_null());
    }
    for headers in [
        vec![("content-type", "application/json; charset=latin1")],
        vec![("content-type", "application/json"), ("content-encoding", "gzip")],
        vec![("content-type", "application/json"), ("content-type", "application/json")],
    ] {
        let headers = [&headers[..], &[("origin", ORIGIN)]].concat();
        let refused = Step::of(browser.send("POST", step.url(), &headers, "{}".to_owned()).await);
        assert_eq!((refused.status(), refused.name()), (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE"));
    }
}

async fn a_box_is_ticked_by_true_alone(app: &App) {
    let (mut browser, step) = begun(app).await;
    for ticked in [false, true] {
        let mut browser = browser.clone();
        let typed = |password: &str| json!({ "username": "ada", "password": password, "shared_computer": ticked });
        let wrong = submit(&mut browser, &step, typed("wrong password")).await;
        let field =
            wrong.json["fields"].as_array().unwrap().iter().find(|one| one["name"] == "shared_computer").unwrap();
        assert_eq!((&field["type"], &field["value"]), (&json!("checkbox"), &json!(ticked)));
        let done = submit(&mut browser, &wrong, typed(PASSWORD)).await;
        assert_eq!(done.page.cookie(SESSION).unwrap().contains("Max-Age"), !ticked);
    }
    // What was not asked for is not looked at.
    let done = submit(&mut browser, &step, json!({ "username": "ada", "password": PASSWORD, "other": true })).await;
    assert_eq!(done.name(), "done");
}
